"""Programs that mean harm fail with their reason, leave a complete result, and see nothing of the host."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.executor import Failed, Finished, Task
from modules.wasm.pool import WasmPool

Compile = Callable[[str], Path]
MakeTask = Callable[..., Task]


def assert_complete(result: Path, exit_code: int) -> None:
    assert sorted(entry.name for entry in result.iterdir()) == ["exit_code", "outputs", "stderr", "stdout"]
    assert (result / "exit_code").read_text() == f"{exit_code}\n"


async def fails(pool: WasmPool, task: Task, reason: str) -> Failed:
    outcome = await pool.run(task)
    assert isinstance(outcome, Failed), outcome
    assert outcome.reason == reason, outcome
    assert_complete(task.output, outcome.exit_code)
    return outcome


async def test_a_trap_is_a_failure_that_keeps_what_was_said_and_written(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask
) -> None:
    program = compile_c(r"""
        #include <stdio.h>
        int main(void) {
            FILE *file = fopen("/outputs/half", "w");
            fputs("half a file", file); fflush(file);
            puts("so far"); fflush(stdout);
            __builtin_trap();
        }""")
    seen = []
    for _ in range(2):
        task = make_task(program)
        outcome = await fails(pool, task, "trapped")
        assert "unreachable" in outcome.detail
        assert outcome.repeats
        seen.append((outcome.fuel, (task.output / "stdout").read_bytes()))
        assert (task.output / "outputs" / "half").read_text() == "half a file"
    assert seen[0] == seen[1]
    assert seen[0][1] == b"so far\n"


async def test_abort_and_exit_codes_are_told_apart(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    await fails(pool, make_task(compile_c("#include <stdlib.h>\nint main(void) { abort(); }")), "trapped")
    task = make_task(compile_c("#include <stdlib.h>\nint main(void) { exit(42); }"))
    outcome = await pool.run(task)
    assert isinstance(outcome, Finished)
    assert outcome.exit_code == 42
    assert_complete(task.output, 42)


async def test_a_loop_without_end_burns_its_fuel(pool: WasmPool, assemble: Compile, make_task: MakeTask) -> None:
    program = assemble('(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))')
    outcome = await fails(pool, make_task(program, fuel=50_000_000), "out_of_fuel")
    assert outcome.fuel == 50_000_000
    assert outcome.repeats


async def test_a_loop_of_host_calls_burns_its_fuel_too(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c("#include <sched.h>\nint main(void) { for (;;) sched_yield(); }")
    outcome = await fails(pool, make_task(program, fuel=20_000_000), "out_of_fuel")
    assert outcome.fuel == 20_000_000


async def test_a_loop_with_fuel_to_spare_runs_out_of_time(
    pool: WasmPool, assemble: Compile, make_task: MakeTask
) -> None:
    program = assemble('(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))')
    outcome = await fails(pool, make_task(program, fuel=2**60, seconds=0.3), "out_of_time")
    assert 250 <= outcome.milliseconds < 3000
    assert not outcome.repeats
    assert pool.statistics().replaced == 0


async def test_a_loop_of_host_calls_with_fuel_to_spare_runs_out_of_time(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask
) -> None:
    program = compile_c("#include <sched.h>\nint main(void) { for (;;) sched_yield(); }")
    await fails(pool, make_task(program, fuel=2**60, seconds=0.3), "out_of_time")


async def test_sleeping_for_a_year_takes_no_time(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c("#include <unistd.h>\nint main(void) { for (int i = 0; i < 365; i++) sleep(86400); }")
    outcome = await pool.run(make_task(program))
    assert isinstance(outcome, Finished)
    assert outcome.milliseconds < 5000


async def test_memory_ends_where_the_limit_says(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c(r"""
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        int main(void) {
            int got = 0;
            for (char *volatile more; (more = malloc(1 << 20)); got++) memset(more, 1, 1 << 20);
            printf("%d", got);
        }""")
    got = []
    for mebibytes in (16, 64):
        task = make_task(program, memory_bytes=mebibytes << 20)
        assert isinstance(await pool.run(task), Finished)
        got.append(int((task.output / "stdout").read_text()))
    assert 10 <= got[0] < 16
    assert 55 <= got[1] < 64


async def test_a_program_that_starts_with_too_much_memory_is_out_of_memory(
    pool: WasmPool, assemble: Compile, make_task: MakeTask
) -> None:
    program = assemble('(module (memory (export "memory") 2000) (func (export "_start")))')
    await fails(pool, make_task(program, memory_bytes=64 << 20), "out_of_memory")


async def test_recursion_without_end_traps(pool: WasmPool, assemble: Compile, make_task: MakeTask) -> None:
    program = assemble(
        '(module (memory (export "memory") 1) (func $f (call $f) (call $f)) (export "_start" (func $f)))'
    )
    outcome = await fails(pool, make_task(program), "trapped")
    assert "stack overflow" in outcome.detail


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_talk_without_end_is_cut_at_the_same_byte(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask, stream: str
) -> None:
    program = compile_c(f'#include <stdio.h>\nint main(void) {{ for (;;) fputs("0123456789", {stream}); }}')
    fuel = set()
    for _ in range(2):
        task = make_task(program, stream_bytes=100_003)
        outcome = await fails(pool, task, "output_too_large")
        assert (task.output / stream).read_bytes() == (b"0123456789" * 10_001)[:100_003]
        fuel.add(outcome.fuel)
    assert len(fuel) == 1


async def test_a_file_without_end_is_too_large(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c(r"""
        #include <stdio.h>
        static char block[1 << 16];
        int main(void) {
            FILE *file = fopen("/outputs/big", "w");
            for (;;) fwrite(block, 1, sizeof block, file);
        }""")
    task = make_task(program, disk_bytes=1_000_000)
    outcome = await fails(pool, task, "output_too_large")
    assert (task.output / "outputs" / "big").stat().st_size <= 1_000_000
    assert outcome.bytes_out <= 1_000_000


async def test_a_hole_counts_like_the_bytes_it_stands_for(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask
) -> None:
    for call in ("ftruncate(file, 1LL << 40)", 'pwrite(file, "x", 1, 1LL << 61)', "posix_fallocate(file, 0, 1 << 30)"):
        program = compile_c(f"""
            #include <fcntl.h>
            #include <unistd.h>
            int main(void) {{ int file = open("/outputs/f", O_CREAT | O_RDWR, 0644); {call}; return 0; }}""")
        await fails(pool, make_task(program), "output_too_large")


async def test_space_of_removed_files_can_be_used_again(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask
) -> None:
    program = compile_c(r"""
        #include <stdio.h>
        #include <unistd.h>
        static char block[1 << 19];
        int main(void) {
            for (int i = 0; i < 300; i++) {
                FILE *file = fopen("/outputs/f", "w");
                if (fwrite(block, 1, sizeof block, file) != sizeof block) return 1;
                if (fclose(file) || unlink("/outputs/f")) return 2;
            }
        }""")
    outcome = await pool.run(make_task(program, disk_bytes=1 << 20, files=2))
    assert isinstance(outcome, Finished)
    assert outcome.exit_code == 0


@pytest.mark.parametrize("make", ['fopen(name, "w")', "mkdir(name, 0755)"])
async def test_files_without_end_are_too_many(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask, make: str
) -> None:
    program = compile_c(f"""
        #include <stdio.h>
        #include <sys/stat.h>
        int main(void) {{
            for (int i = 0;; i++) {{
                char name[40];
                snprintf(name, sizeof name, "/outputs/%d", i % 200);
                {make};
            }}
        }}""")
    task = make_task(program, files=150)
    await fails(pool, task, "output_too_large")
    assert len(list((task.output / "outputs").iterdir())) == 150


async def test_a_tower_of_directories_ends(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c(r"""
        #include <errno.h>
        #include <stdio.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int main(void) {
            char path[2000] = "/outputs";
            int at = 8, deep = 0;
            for (; deep < 500; deep++) {
                at += sprintf(path + at, "/d");
                if (mkdir(path, 0755)) break;
            }
            printf("%d %d", deep, errno == ENAMETOOLONG);
        }""")
    task = make_task(program, files=1000)
    assert isinstance(await pool.run(task), Finished)
    deep, refused = (task.output / "stdout").read_text().split()
    assert refused == "1"
    assert 30 < int(deep) < 64


async def test_nothing_of_the_host_can_be_opened(
    pool: WasmPool, compile_c: Compile, make_task: MakeTask, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("fine")
    program = compile_c(r"""
        #include <dirent.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            for (int i = 1; i < argc; i++) printf("%s", fopen(argv[i], "r") ? "OPEN " : "");
            printf("%s", fopen("/inputs/data/a.txt", "a") ? "WRITTEN " : "");
            printf("%s", fopen("/inputs/new", "w") ? "WRITTEN " : "");
            printf("%s", fopen("/new", "w") ? "WRITTEN " : "");
            printf("%s", rename("/inputs/data/a.txt", "/outputs/a.txt") ? "" : "MOVED ");
            printf("%s", unlink("/inputs/data/a.txt") ? "" : "REMOVED ");
            int folder = open("/inputs/data", O_RDONLY | O_DIRECTORY);
            printf("%s", openat(folder, "../../outputs", O_RDONLY) < 0 ? "" : "ABOVE ");
            for (int i = 5; i < 64; i++) if (close(i) == 0) printf("DESCRIPTOR ");
            struct dirent *entry;
            for (DIR *root = opendir("/"); (entry = readdir(root));) printf("%s ", entry->d_name);
        }""")
    paths = ["/etc/passwd", "/inputs/../../../../etc/passwd", "../etc/passwd", "/proc/self/environ", "/dev/null"]
    paths += ["/inputs/data/../../../etc/passwd", str(secret), "//etc/passwd", "/inputs/data/a.txt/../../../x"]
    task = make_task(program, paths, inputs={"data": data})
    assert isinstance(await pool.run(task), Finished)
    assert (task.output / "stdout").read_text() == ". .. inputs outputs "
    assert (data / "a.txt").read_text() == "fine"


async def test_a_link_smuggled_into_the_inputs_is_refused(
    pool: WasmPool, assemble: Compile, make_task: MakeTask
) -> None:
    task = make_task(assemble('(module (memory (export "memory") 1) (func (export "_start")))'))
    (task.inputs / "files" / "data").mkdir()
    (task.inputs / "files" / "data" / "link").symlink_to("/etc/passwd")
    outcome = await fails(pool, task, "bad_inputs")
    assert "symbolic link" in outcome.detail


async def test_a_pipe_smuggled_into_the_inputs_does_not_hang(
    pool: WasmPool, assemble: Compile, make_task: MakeTask
) -> None:
    task = make_task(assemble('(module (memory (export "memory") 1) (func (export "_start")))'))
    os.mkfifo(task.inputs / "files" / "data")
    await fails(pool, task, "bad_inputs")


@pytest.mark.parametrize(
    ("program", "word"),
    [
        (b"", "not WebAssembly"),
        (b"#!/bin/sh\necho hello\n", "not WebAssembly"),
        (b"(module)", "not WebAssembly"),
        (b"\x7fELF" + b"\0" * 100, "not WebAssembly"),
        (b"\0asm", "compiled"),
        (b"\0asm\1\0\0\0" + b"\xff" * 40, "compiled"),
        (b"\0asm\x0d\0\1\0", "compiled"),
    ],
)
async def test_what_is_no_program_does_not_start(
    pool: WasmPool, make_task: MakeTask, tmp_path: Path, program: bytes, word: str
) -> None:
    (tmp_path / "program").write_bytes(program)
    outcome = await fails(pool, make_task(tmp_path / "program"), "could_not_start")
    assert word in outcome.detail


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('(module (import "env" "system" (func (param i32))) (func (export "_start")))', "env.system"),
        ('(module (import "wasi_snapshot_preview1" "fork" (func)) (func (export "_start")))', "fork"),
        (
            '(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64))) (func (export "_start")))',
            "signature",
        ),
        ('(module (import "wasi_snapshot_preview1" "fd_close" (memory 1)) (func (export "_start")))', "signature"),
        ('(module (memory (export "memory") 1))', "_start"),
        ('(module (func (export "_start") (param i32)))', "_start"),
        ('(module (global (export "_start") i32 (i32.const 1)))', "_start"),
        ('(module (memory (export "memory") 1 1 shared) (func (export "_start")))', "compiled"),
        ('(module (memory i64 1) (func (export "_start")))', "compiled"),
    ],
)
async def test_a_program_for_another_world_does_not_start(
    pool: WasmPool, assemble: Compile, make_task: MakeTask, text: str, word: str
) -> None:
    outcome = await fails(pool, make_task(assemble(text)), "could_not_start")
    assert word in outcome.detail


async def test_host_calls_with_wild_pointers_do_no_harm(pool: WasmPool, assemble: Compile, make_task: MakeTask) -> None:
    wild = (-1, 65535, 65536, 0x7FFFFFFF, -65536)
    signatures = {
        "args_get": "ii", "args_sizes_get": "ii", "random_get": "ii", "fd_write": "iiii", "fd_read": "iiii",
        "clock_time_get": "iIi", "poll_oneoff": "iiii", "fd_readdir": "iiiIi", "path_open": "iiiiiIIii",
        "fd_prestat_get": "ii", "fd_filestat_get": "ii", "fd_seek": "iIii", "path_rename": "iiiiii",
    }  # fmt: skip
    imports, calls = [], []
    for name, kinds in signatures.items():
        types = " ".join("i64" if kind == "I" else "i32" for kind in kinds)
        imports.append(f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {types}) (result i32)))')
        for first in (0, 1, 3, 77, -1):
            for value in wild:
                values = [first, *[value] * (len(kinds) - 1)]
                pushed = "".join(
                    f"({'i64' if kind == 'I' else 'i32'}.const {number})"
                    for kind, number in zip(kinds, values, strict=True)
                )
                calls.append(f"(drop (call ${name} {pushed}))")
    program = assemble(
        f'(module {"".join(imports)} (memory (export "memory") 1) (func (export "_start") {"".join(calls)}))'
    )
    outcome = await pool.run(make_task(program))
    assert isinstance(outcome, Finished), outcome
    assert pool.statistics().replaced == 0


async def test_host_calls_without_a_memory_do_no_harm(pool: WasmPool, assemble: Compile, make_task: MakeTask) -> None:
    program = assemble(
        '(module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))'
        '(func (export "_start")'
        " (if (i32.ne (call $r (i32.const 0) (i32.const 8)) (i32.const 21)) (then unreachable))))"
    )
    assert isinstance(await pool.run(make_task(program)), Finished)


async def test_descriptors_end(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c(r"""
        #include <errno.h>
        #include <fcntl.h>
        #include <stdio.h>
        int main(void) {
            int opened = 0;
            while (open("/inputs/program", O_RDONLY) >= 0) opened++;
            printf("%d %d", opened, errno == EMFILE);
        }""")
    task = make_task(program)
    assert isinstance(await pool.run(task), Finished)
    opened, told = (task.output / "stdout").read_text().split()
    assert int(opened) == 252
    assert told == "1"


async def test_names_that_are_no_text_are_refused(pool: WasmPool, compile_c: Compile, make_task: MakeTask) -> None:
    program = compile_c(r"""
        #include <stdio.h>
        #include <string.h>
        int main(void) {
            char big[302] = "/outputs/";
            memset(big + 9, 'x', 290);
            printf("%d %d ", !fopen("/outputs/\xff\xfe", "w"), !fopen(big, "w"));
            printf("%d", !!fopen("/outputs/ \n\\ok\xc3\xa9", "w"));
        }""")
    task = make_task(program)
    assert isinstance(await pool.run(task), Finished)
    assert (task.output / "stdout").read_text() == "1 1 1"
    assert [entry.name for entry in (task.output / "outputs").iterdir()] == [" \n\\oké"]


MANY_LONG_NAMES = """(module
 (import "wasi_snapshot_preview1" "path_create_directory" (func $mk (param i32 i32 i32) (result i32)))
 (memory (export "memory") 1) (data (i32.const 0) "outputs/")
 (func (export "_start") (local $n i32) (local $m i32) (local $i i32)
  (memory.fill (i32.const 8) (i32.const 120) (i32.const 242))
  (loop $next
   (local.set $m (local.get $n)) (local.set $i (i32.const 8))
   (loop $digit
     (i32.store8 (local.get $i) (i32.add (i32.const 97) (i32.rem_u (local.get $m) (i32.const 26))))
     (local.set $m (i32.div_u (local.get $m) (i32.const 26)))
     (br_if $digit (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 12))))
   (if (call $mk (i32.const 3) (i32.const 0) (i32.const 250)) (then unreachable))
   (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1200))))))"""


async def test_outputs_that_no_cid_can_be_given_are_too_large_for_everybody_alike(
    pool: WasmPool, assemble: Compile, make_task: MakeTask
) -> None:
    task = make_task(assemble(MANY_LONG_NAMES), files=10_000)
    outcome = await fails(pool, task, "output_too_large")
    assert outcome.repeats
    assert list((task.output / "outputs").iterdir()) == []
    assert (task.output / "exit_code").read_text() == "153\n"
