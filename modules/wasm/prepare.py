"""Turns a task into what a worker gets: a request, and an inbox with the program and the input files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from modules import folders
from modules.arguments import expand
from modules.errors import InputError
from modules.executor import Task
from modules.inputs import BoundInputs, read
from modules.manifest import PLACEHOLDER
from modules.module import MAX_PROGRAM_BYTES
from modules.wasm.inside.verdict import Request
from protocol.errors import Misuse


def prepare(task: Task, inbox: Path, *, link: bool) -> Request:
    """Fill the empty ``inbox``; with ``link``, files are linked where the file system can, since the worker only reads.

    Raises `InputError` when the task's inputs don't fit its module.
    """
    wasm = task.module.manifest.wasm
    if wasm is None:
        raise Misuse(f"{task.module.manifest.reference} is not for the wasm executor")
    bound = read(task.inputs, task.module.manifest)
    program = _program(task, bound, wasm.program)
    if program.stat().st_size > MAX_PROGRAM_BYTES:
        raise InputError(f"the program is larger than {MAX_PROGRAM_BYTES} bytes; make it smaller")
    _hand_over(program, inbox / "program", link=link)
    (inbox / "files").mkdir()
    for name, path in bound.files.items():
        _hand_over(path, inbox / "files" / name, link=link)
    return Request(
        args=list(expand(wasm.args, bound)),
        stdin=_stdin(bound, wasm.stdin),
        seed=task.seed,
        fuel=task.limits.fuel,
        memory_bytes=task.limits.memory_bytes,
        disk_bytes=task.limits.disk_bytes,
        stream_bytes=task.limits.stream_bytes,
        files=task.limits.files,
        seconds=task.limits.seconds,
    )


def _program(task: Task, bound: BoundInputs, program: str) -> Path:
    placeholder = PLACEHOLDER.fullmatch(program)
    return task.module.folder / program if placeholder is None else bound.files[placeholder[1]]


def _stdin(bound: BoundInputs, stdin: str | None) -> str | None:
    placeholder = PLACEHOLDER.fullmatch(stdin) if stdin is not None else None
    return placeholder[1] if placeholder is not None and placeholder[1] in bound.files else None


def _hand_over(source: Path, target: Path, *, link: bool) -> None:
    if not link:
        folders.copy(source, target)
        return
    if source.is_dir():
        target.mkdir()
        for entry in folders.walk(source):
            if entry.kind == "directory":
                (target / entry.path).mkdir()
            else:
                _link(source / entry.path, target / entry.path)
    else:
        _link(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        folders.copy(source, target)
