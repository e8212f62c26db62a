"""A program runs, sees what it was given, and does the same again on every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modules import folders
from modules.executor import Finished, Task
from modules.wasm.pool import WasmPool, open_pool
from protocol.isolation import Isolation

COW = r"""        \   ^__^
         \  (oo)\_______
            (__)\       )\/\
                ||----w |
                ||     ||
"""

NOSY = r"""
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void list(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        struct stat status;
        char inner[300];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        stat(inner, &status);
        printf("%s ino=%llu size=%lld mtime=%lld mode=%o\n", inner, status.st_ino, status.st_size,
               (long long)status.st_mtim.tv_sec, status.st_mode);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    unsigned char random[16];
    struct timespec now;
    getentropy(random, 16);
    for (int i = 0; i < 16; i++) printf("%02x", random[i]);
    for (int clock = 0; clock < 2; clock++) {
        clock_gettime(clock ? CLOCK_MONOTONIC : CLOCK_REALTIME, &now);
        printf(" %lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
    }
    sleep(3600);
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf(" %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    for (int i = 0; i < argc; i++) printf("argv %s\n", argv[i]);
    char *home = getenv("HOME"), *path = getenv("PATH");
    printf("environment %s %s\n", home ? home : "none", path ? path : "none");
    list("/");
    list("/inputs/data");
    printf("%p %.17g\n", malloc(1000), 0.1 + 0.2);
    for (int i = 9; i >= 0; i--) {
        char name[32];
        snprintf(name, sizeof name, "/outputs/%d.txt", i * 7 % 10);
        FILE *file = fopen(name, "w");
        fprintf(file, "%d", i);
        fclose(file);
    }
    list("/outputs");
    return 7;
}
"""


def contents(result: Path) -> dict[str, bytes]:
    return {
        entry.path: (result / entry.path).read_bytes() if entry.kind == "file" else b"a directory"
        for entry in folders.walk(result)
    }


async def test_a_cow_says_what_it_is_told(pool: WasmPool, cowsay: Callable[[str], Task]) -> None:
    task = cowsay("hello")
    outcome = await pool.run(task)
    assert isinstance(outcome, Finished)
    assert outcome.exit_code == 0
    assert outcome.profile == pool.profile
    assert outcome.fuel > 10_000
    expected = " _______\n< hello >\n -------\n" + COW
    assert contents(task.output) == {
        "stdout": expected.encode(),
        "stderr": b"",
        "exit_code": b"0\n",
        "outputs": b"a directory",
    }
    assert outcome.bytes_out == len(expected) + 2


@pytest.mark.parametrize(
    ("message", "balloon"),
    [
        ("", " __\n<  >\n --\n"),
        ("one\ntwo", " _____\n/ one \\\n\\ two /\n -----\n"),
        ("a\n\nb\n", " ___\n/ a \\\n|   |\n| b |\n\\   /\n ---\n"),
        ("x" * 41, " " + "_" * 42 + "\n/ " + "x" * 40 + " \\\n\\ x" + " " * 39 + " /\n " + "-" * 42 + "\n"),
        ("grün", " ______\n< grün >\n ------\n"),
        ("蛙", " ____\n< 蛙 >\n ----\n"),
        ("$(id) \"'`; ${message}", " _______________________\n< $(id) \"'`; ${message} >\n -----------------------\n"),
        ("bell\a tab\t.", " _____________\n< bell  tab . >\n -------------\n"),
    ],
)
async def test_the_balloon_fits_any_message(
    pool: WasmPool, cowsay: Callable[[str], Task], message: str, balloon: str
) -> None:
    task = cowsay(message)
    assert isinstance(await pool.run(task), Finished)
    assert (task.output / "stdout").read_text() == balloon + COW


async def test_a_message_of_100_kilobytes_arrives_unharmed(pool: WasmPool, cowsay: Callable[[str], Task]) -> None:
    message = "moo \u00e9\U0001f404 " * 10_000
    task = cowsay(message)
    assert isinstance(await pool.run(task), Finished)
    said = "".join(line[2:-2] for line in (task.output / "stdout").read_text().splitlines()[1:-6])
    assert said.split() == message.split()


async def test_the_same_job_gives_the_same_bytes_and_fuel_warm_or_fresh(
    tmp_path: Path, compile_c: Callable[[str], Path], make_task: Callable[..., Task]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("zebra", "Ape", "émeu", "ant", "10", "9"):
        (data / name).write_text(name)
    (data / "nest").mkdir()
    program = compile_c(NOSY)
    seen: list[tuple[dict[str, bytes], int]] = []
    for _ in range(2):
        async with open_pool(1, scratch=tmp_path / "scratch") as pool:
            for _ in range(3):
                task = make_task(program, ["a", "b c"], inputs={"data": data})
                outcome = await pool.run(task)
                assert isinstance(outcome, Finished)
                assert outcome.exit_code == 7
                seen.append((contents(task.output), outcome.fuel))
    assert all(each == seen[0] for each in seen)
    stdout = seen[0][0]["stdout"].decode()
    listed = [line.split()[0] for line in stdout.splitlines() if line.startswith("/inputs/data/")]
    assert [name.removeprefix("/inputs/data/") for name in listed] == [
        ".", "..", "10", "9", "Ape", "ant", "nest", "zebra", "émeu",
    ]  # fmt: skip
    assert "argv program\nargv a\nargv b c\nenvironment none none\n" in stdout
    assert "1577836800.000001" in stdout
    assert "3600.0000" in stdout
    assert "mtime=0" in stdout


async def test_another_seed_gives_other_random_numbers(
    pool: WasmPool, compile_c: Callable[[str], Path], make_task: Callable[..., Task], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    said = set()
    for seed in (b"one", b"two"):
        task = make_task(compile_c(NOSY), seed=seed, inputs={"data": tmp_path / "data"})
        await pool.run(task)
        said.add((task.output / "stdout").read_text().split()[0])
    assert len(said) == 2


async def test_nan_bits_are_the_same_however_they_came_about(
    pool: WasmPool, compile_c: Callable[[str], Path], make_task: Callable[..., Task]
) -> None:
    program = compile_c(r"""
        #include <stdint.h>
        #include <stdio.h>
        #include <string.h>
        volatile double zero = 0.0;
        static void show(double x) { uint64_t bits; memcpy(&bits, &x, 8); printf("%016llx ", bits); }
        int main(void) {
            volatile double odd = __builtin_nan("0x1234"), infinity = 1.0 / zero;
            show(zero / zero); show(infinity - infinity); show(odd + 1.0);
        }""")
    task = make_task(program)
    await pool.run(task)
    assert set((task.output / "stdout").read_text().split()) == {"7ff8000000000000"}


async def test_a_program_reads_its_standard_input_and_a_file_given_under_a_free_name(
    pool: WasmPool, compile_c: Callable[[str], Path], make_task: Callable[..., Task], tmp_path: Path
) -> None:
    program = compile_c(r"""
        #include <stdio.h>
        int main(int argc, char **argv) {
            int byte;
            while ((byte = getchar()) != EOF) putchar(byte);
            FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
            while (file && (byte = getc(file)) != EOF) putchar(byte);
            fputs("done", stderr);
        }""")
    (tmp_path / "text").write_bytes(b"\0first\n" * 1000)
    (tmp_path / "more").write_bytes(b"second")
    task = make_task(program, ["/inputs/extra"], inputs={"stdin": tmp_path / "text", "extra": tmp_path / "more"})
    assert isinstance(await pool.run(task), Finished)
    assert (task.output / "stdout").read_bytes() == b"\0first\n" * 1000 + b"second"
    assert (task.output / "stderr").read_bytes() == b"done"
    silent = make_task(program)
    assert isinstance(await pool.run(silent), Finished)
    assert (silent.output / "stdout").read_bytes() == b""


async def test_files_can_be_made_changed_moved_and_removed(
    pool: WasmPool, compile_c: Callable[[str], Path], make_task: Callable[..., Task]
) -> None:
    program = compile_c(r"""
        #include <errno.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/stat.h>
        #include <unistd.h>
        #define CHECK(what) \
            do { if (!(what)) { printf("line %d: %s (%s)\n", __LINE__, #what, strerror(errno)); return 1; } } while (0)
        int main(void) {
            struct stat status;
            char text[64] = {0};
            CHECK(mkdir("/outputs/a", 0755) == 0 && mkdir("/outputs/a/b", 0755) == 0);
            CHECK(mkdir("/outputs/a", 0755) == -1 && errno == EEXIST);
            int file = open("/outputs/a/b/f", O_RDWR | O_CREAT | O_EXCL, 0644);
            CHECK(file >= 0 && write(file, "0123456789", 10) == 10);
            CHECK(open("/outputs/a/b/f", O_RDWR | O_CREAT | O_EXCL, 0644) == -1 && errno == EEXIST);
            CHECK(lseek(file, -4, SEEK_END) == 6 && read(file, text, 64) == 4 && !strcmp(text, "6789"));
            CHECK(pwrite(file, "xy", 2, 20) == 2 && fstat(file, &status) == 0 && status.st_size == 22);
            CHECK(pread(file, text, 1, 15) == 1 && text[0] == 0);
            CHECK(ftruncate(file, 3) == 0 && lseek(file, 0, SEEK_END) == 3 && close(file) == 0);
            CHECK((file = open("/outputs/a/b/f", O_WRONLY | O_APPEND)) >= 0);
            CHECK(write(file, "end", 3) == 3 && write(file, ".", 1) == 1);
            CHECK(read(file, text, 1) == -1 && close(file) == 0);
            CHECK(rmdir("/outputs/a/b") == -1 && errno == ENOTEMPTY);
            CHECK(rename("/outputs/a", "/outputs/a/b/c") == -1 && errno == EINVAL);
            CHECK(rename("/outputs/a/b/f", "/outputs/g") == 0 && rmdir("/outputs/a/b") == 0);
            CHECK(rename("/outputs/a", "/outputs/moved") == 0 && stat("/outputs/a", &status) == -1 && errno == ENOENT);
            CHECK((file = open("/outputs/gone", O_RDWR | O_CREAT, 0644)) >= 0 && unlink("/outputs/gone") == 0);
            CHECK(write(file, "still", 5) == 5 && pread(file, text, 5, 0) == 5 && close(file) == 0);
            CHECK(symlink("/etc/passwd", "/outputs/link") == -1 && link("/outputs/g", "/outputs/h") == -1);
            CHECK(open("/outputs/moved", O_WRONLY) == -1 && errno == EISDIR);
            CHECK(open("/outputs/g/x", O_RDONLY) == -1 && errno == ENOTDIR);
            CHECK(unlink("/outputs/moved") == -1 && errno == EISDIR);
            CHECK(chdir("/outputs") == 0 && (file = open("./moved/../h", O_CREAT | O_WRONLY, 0644)) >= 0);
            puts("well");
            return 0;
        }""")
    task = make_task(program)
    await pool.run(task)
    assert (task.output / "stdout").read_text() == "well\n"
    assert contents(task.output / "outputs") == {"g": b"012end.", "h": b"", "moved": b"a directory"}


def test_a_sandboxed_worker_ranks_above_a_plain_one() -> None:
    assert Isolation.SANDBOXED_WASM > Isolation.CONTAINER > Isolation.WASM > Isolation.PROCESS
