// Counts the words of its first argument. Compile it anew with ./build.sh after a change.
#include <ctype.h>
#include <stdio.h>

int main(int count, char **arguments) {
    const char *text = count > 1 ? arguments[1] : "";
    int words = 0, inside = 0;
    for (const char *at = text; *at; at++) {
        if (isspace((unsigned char)*at)) inside = 0;
        else if (!inside) { inside = 1; words++; }
    }
    printf("%d words\n", words);

    FILE *file = fopen("/outputs/words.txt", "w");    // what lies here in the end is part of the result
    if (!file) return 1;
    fprintf(file, "%d\n", words);
    return fclose(file) ? 1 : 0;
}
