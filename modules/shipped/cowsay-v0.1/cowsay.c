/* Draws a cow that says its argument, wrapped at 40 columns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 40 };

/* Bytes of the character that starts at s; a byte that starts none counts as a character of its own. */
static size_t character(const unsigned char *s, const unsigned char *end) {
    size_t wanted = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 1;
    size_t there = 1;
    while (there < wanted && s + there < end && (s[there] & 0xC0) == 0x80) there++;
    return there == wanted ? wanted : 1;
}

/* Columns that a character takes on a terminal: none for marks that join, two for wide ones. */
static size_t width(const unsigned char *s, size_t size) {
    unsigned long point = size == 2   ? (s[0] & 0x1FUL) << 6 | (s[1] & 0x3FUL)
                          : size == 3 ? (s[0] & 0x0FUL) << 12 | (s[1] & 0x3FUL) << 6 | (s[2] & 0x3FUL)
                          : size == 4 ? (s[0] & 0x07UL) << 18 | (s[1] & 0x3FUL) << 12 | (s[2] & 0x3FUL) << 6 | (s[3] & 0x3FUL)
                                      : s[0];
    if ((point >= 0x300 && point < 0x370) || point == 0x200D || (point >= 0xFE00 && point <= 0xFE0F)) return 0;
    if ((point >= 0x1100 && point < 0x1160) || (point >= 0x2E80 && point < 0xA4D0) || (point >= 0xAC00 && point < 0xD7A4) ||
        (point >= 0xF900 && point < 0xFB00) || (point >= 0xFF00 && point < 0xFF61) || (point >= 0x1F300 && point < 0x1FB00))
        return 2;
    return 1;
}

typedef struct {
    const unsigned char *start;
    size_t bytes, columns;
} line;

static line *lines;
static size_t count, room;

static void add(const unsigned char *start, size_t bytes, size_t columns) {
    if (count == room) {
        room = room ? 2 * room : 16;
        lines = realloc(lines, room * sizeof *lines);
        if (!lines) {
            fputs("cowsay: the message is too long\n", stderr);
            exit(1);
        }
    }
    lines[count++] = (line){start, bytes, columns};
}

/* Breaks one paragraph at the last space that fits, or inside a word that is longer than a line. */
static void wrap(const unsigned char *at, const unsigned char *end) {
    const unsigned char *start = at, *space = NULL;
    size_t columns = 0, columns_at_space = 0;
    while (at < end) {
        size_t size = character(at, end), wide = width(at, size);
        if (columns + wide > COLUMNS) {
            if (*at == ' ') {
                add(start, (size_t)(at - start), columns);
                start = at + 1;
            } else if (space) {
                add(start, (size_t)(space - start), columns_at_space);
                start = space + 1;
            } else {
                add(start, (size_t)(at - start), columns);
                start = at;
            }
            at = start;
            space = NULL;
            columns = 0;
            continue;
        }
        if (*at == ' ') {
            space = at;
            columns_at_space = columns;
        }
        columns += wide;
        at += size;
    }
    add(start, (size_t)(end - start), columns);
}

static void edge(char mark, size_t columns) {
    putchar(' ');
    for (size_t i = 0; i < columns + 2; i++) putchar(mark);
    putchar('\n');
}

int main(int argc, char **argv) {
    unsigned char *message = (unsigned char *)(argc > 1 ? argv[1] : "moo");
    unsigned char *end = message + strlen((char *)message);
    /* A tab or a control character would break the balloon (or drive the reader's terminal). */
    for (unsigned char *s = message; s < end; s++)
        if ((*s < ' ' && *s != '\n') || *s == 0x7F) *s = ' ';
    for (unsigned char *start = message;;) {
        unsigned char *stop = memchr(start, '\n', (size_t)(end - start));
        wrap(start, stop ? stop : end);
        if (!stop) break;
        start = stop + 1;
    }
    size_t widest = 0;
    for (size_t i = 0; i < count; i++)
        if (lines[i].columns > widest) widest = lines[i].columns;
    edge('_', widest);
    for (size_t i = 0; i < count; i++) {
        const char *sides = count == 1 ? "<>" : i == 0 ? "/\\" : i == count - 1 ? "\\/" : "||";
        printf("%c ", sides[0]);
        fwrite(lines[i].start, 1, lines[i].bytes, stdout);
        printf("%*s %c\n", (int)(widest - lines[i].columns), "", sides[1]);
    }
    edge('-', widest);
    fputs("        \\   ^__^\n"
          "         \\  (oo)\\_______\n"
          "            (__)\\       )\\/\\\n"
          "                ||----w |\n"
          "                ||     ||\n",
          stdout);
    return 0;
}
