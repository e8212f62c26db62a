"""A hostile strategy loses its own talk and nothing else."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import pytest
import trio

from agents.strategy import Counter, View, Walk
from node.strategies.finding import Command, find
from node.strategies.walls import bubblewrap
from node.strategies.worker import FAILED, PluginFault, Worker, open_worker

needs_walls = pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap does not work on this machine")

HONEST = "return Counter(view.offer_at(0.5))"


def write(folder: Path, body: str, head: str = "") -> str:
    """A plugin file with this body of decide(); gives its reference."""
    lines = "\n".join("        " + line for line in body.splitlines())
    imports = f"from agents.strategy import Accept, Counter, Walk\n{head}\n"
    (folder / "mine.py").write_text(f"{imports}class Mine:\n    def decide(self, view):\n{lines}\n")
    return f"{folder}/mine.py:Mine"


async def ask(reference: str, view: View) -> object:
    """One answer, as the node would hear it."""
    plugin = find(reference)
    assert not isinstance(plugin, Command) or plugin.argv
    answers: list[object] = []
    worker = Worker(plugin)  # type: ignore[arg-type]  # no built-in name is used here
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        heard = trio.Event()

        def hear(answer: object) -> None:
            answers.append(answer)
            heard.set()

        worker.ask(view, hear)
        with trio.fail_after(20):
            await heard.wait()
        nursery.cancel_scope.cancel()
    return answers[0]


async def test_an_honest_plugin_is_heard(tmp_path: Path, seller_view: View) -> None:
    answer = await ask(write(tmp_path, HONEST), seller_view)
    assert answer == Counter(seller_view.offer_at(0.5))


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('no')",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import time; time.sleep(60)",
        "while True: pass",
        "return 'accept'",
        "return None",
        "return Counter('cheap')",
        "return Counter(10 ** 100)",
        'import os; os.write(1, b\'{"answers": [{"answer": "accept"}, 1]}\\n\'); return Accept()',
        "return [[]] * 10 ** 9",
        "x = bytearray(4 * 1024 ** 3); return Accept()",
        "from dataclasses import replace; return Counter(replace(view.base, pay=-1))",
        "from dataclasses import replace; return Counter(replace(view.base, pay=2 ** 96))",
        "import socket; socket.create_connection(('127.0.0.1', 22), 5); return Accept()",
        "open('/tmp/x', 'w').write('x'); return Accept()",
    ],
)
async def test_whatever_it_does_its_talk_walks_away(body: str, tmp_path: Path, seller_view: View) -> None:
    if bubblewrap() is None and ("socket" in body or "open(" in body):
        pytest.skip("bubblewrap does not work on this machine")
    if "os.write(1" in body:  # what it prints is no answer: the real one is still heard
        assert not isinstance(await ask(write(tmp_path, body), seller_view), Walk)
        return
    assert await ask(write(tmp_path, body), seller_view) == FAILED


async def test_forked_processes_end_with_the_talk(tmp_path: Path, seller_view: View) -> None:
    mark = secrets.token_hex(8)
    (tmp_path / mark).mkdir()
    body = "import os, time\nfor _ in range(5): os.fork()\ntime.sleep(60)"
    assert await ask(write(tmp_path / mark, body), seller_view) == FAILED
    with trio.fail_after(5):
        while any(mark.encode() in _command_line(pid) for pid in os.listdir("/proc") if pid.isdigit()):  # noqa: ASYNC110
            await trio.sleep(0.05)


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@needs_walls
@pytest.mark.parametrize("target", ["home", "environment", "parent"])
async def test_it_sees_neither_home_nor_environment_nor_the_node(
    target: str, tmp_path: Path, seller_view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "key.json"
    secret.write_text("the key")
    monkeypatch.setenv("LILYPAD_PASSPHRASE", "open sesame")
    look = {
        "home": f"open({str(secret)!r}).read()",
        "environment": "__import__('os').environ['LILYPAD_PASSPHRASE']",
        "parent": f"open('/proc/{os.getpid()}/environ', 'rb').read()",
    }[target]
    body = f"try:\n    found = {look}\nexcept (OSError, KeyError):\n    return Walk('nothing there')\nreturn Accept()"
    assert await ask(write(tmp_path, body), seller_view) == Walk("nothing there")


@needs_walls
async def test_walking_the_interpreter_finds_no_key(tmp_path: Path, seller_view: View) -> None:
    body = (
        "import gc, sys\n"
        "kinds = {type(it).__module__ for it in gc.get_objects()}\n"
        "found = [name for name in sys.modules if name.startswith(('node', 'contracts', 'p2p'))]\n"
        "secret = [it for it in gc.get_objects() if type(it).__name__ in ('Key', 'PrivateKey')]\n"
        "return Walk(','.join(found) or 'no ' + ('key' if not secret else 'luck'))"
    )
    assert await ask(write(tmp_path, body), seller_view) == Walk("no key")


async def test_after_a_failure_it_gets_another_chance_but_not_at_once(tmp_path: Path, seller_view: View) -> None:
    worker = Worker(find(write(tmp_path, "raise RuntimeError")))  # type: ignore[arg-type]
    with pytest.raises(PluginFault):
        await worker.decide(seller_view)
    with pytest.raises(PluginFault, match="a moment ago"):
        await worker.decide(seller_view)


async def test_a_plugin_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path: Path) -> None:
    from node.errors import ExitCode, UserError

    (tmp_path / "mine.py").write_text("import nothing_of_the_kind")
    with pytest.raises(UserError, match="nothing_of_the_kind") as caught:
        async with open_worker(find(f"{tmp_path}/mine.py:Mine")):  # type: ignore[arg-type]
            pass
    assert caught.value.code == ExitCode.USAGE


async def test_a_command_in_any_language_speaks_json_lines(tmp_path: Path, seller_view: View) -> None:
    script = tmp_path / "strategy.sh"
    script.write_text('while read -r line; do echo \'{"answer": "counter", "utility": 0.5}\'; done\n')
    assert await ask(f"exec:sh {script}", seller_view) == Counter(seller_view.offer_at(0.5))


async def test_a_command_that_floods_loses_its_talk(tmp_path: Path, seller_view: View) -> None:
    script = tmp_path / "flood.py"
    script.write_text("import sys\nwhile True: sys.stdout.write('[' * 65536)")
    assert await ask(f"exec:{sys.executable} {script}", seller_view) == FAILED


async def test_one_that_decides_all_at_once_sees_all_that_waits(tmp_path: Path, seller_view: View) -> None:
    (tmp_path / "mine.py").write_text(
        "from agents.strategy import Walk\n"
        "class Mine:\n"
        "    def counter_all(self, views):\n"
        "        return [Walk(str(len(views))) for _ in views]\n"
    )
    answers: list[object] = []
    async with open_worker(find(f"{tmp_path}/mine.py:Mine")) as worker:  # type: ignore[arg-type]
        for _ in range(5):
            worker.ask(seller_view, answers.append)
        with trio.fail_after(10):
            while len(answers) < 5:  # noqa: ASYNC110  (the worker calls back, it sets no event)
                await trio.sleep(0.01)
    assert answers == [Walk("5")] * 5
