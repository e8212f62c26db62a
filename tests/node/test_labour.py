"""Whatever happens to a fetch or a run, the agent hears an answer: its silence would cost it its stake."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agents.effects import Execute, Fetch
from agents.events import Fetched, Launched, NotFetched, NotRan, Ran
from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid, Codec
from content.errors import NoSuchEntry
from content.limits import Limits as ContentLimits
from modules.catalogue import find
from modules.collecting import start_over
from modules.executor import Executor, Failed, Outcome, Task
from modules.inputs import bind, write
from modules.module import Module
from modules.wasm.pool import WasmPool, open_pool
from node import labour
from node.keyring import Keyring
from node.keys import new_key
from node.workshop import Workshop, job_resources
from protocol.identity import Address
from protocol.isolation import Isolation
from protocol.job import Job
from protocol.judging import CUT_OFF

ABOUT = bytes(32)


class Torn:
    """An executor with a fault that nobody has thought of."""

    name = "wasm"
    isolation = Isolation.SANDBOXED_WASM
    profile = "torn"

    async def prepare(self, module: Module) -> str:
        return ""

    async def run(self, task: Task) -> Outcome:
        raise KeyError("nobody has thought of this")


class Slow:
    """An executor that is cut off by time, and has written something by then."""

    name = "wasm"
    isolation = Isolation.SANDBOXED_WASM
    profile = "slow"

    async def prepare(self, module: Module) -> str:
        return ""

    async def run(self, task: Task) -> Outcome:
        failed = Failed("out_of_time", "it ran for 30 s", 12, self.profile, 30_000.0, 5)
        start_over(task.output, failed.exit_code)
        (task.output / "stdout").write_text("so far")
        return failed


async def lost(cid: Cid, whose: Address, gateway: int, limits: ContentLimits) -> None:
    """A way to other peers' content that ends in a fault of its own."""
    raise NoSuchEntry("nothing is here")


def workshop(place: Path, executors: Mapping[str, Executor]) -> Workshop:
    """One with nothing but these executors."""
    keyring = Keyring(sqlite3.connect(":memory:", isolation_level=None), new_key())
    runs = place / "runs"
    runs.mkdir()
    return Workshop(MemoryBlocks(), MemoryBlocks(), keyring, executors, runs, lost)


def job_for(shop: Workshop, place: Path, module: Module, *words: str) -> Job:
    """A run of a module, whose content lies in the workshop's store."""
    module.copy_to(place / "m")
    write(bind(module.manifest, *words), place / "in")
    module_cid, inputs = (str(add_path(place / name, shop.blocks)) for name in ("m", "in"))
    return Job(module.digest, module_cid, inputs, "wasm", job_resources(module), "exact", bytes(32))


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[WasmPool]:
    async with open_pool(1, scratch=tmp_path / "scratch") as opened:
        yield opened


async def test_a_fault_that_nobody_thought_of_is_told_to_the_agent(tmp_path: Path) -> None:
    shop = workshop(tmp_path, {"wasm": Torn()})
    job = job_for(shop, tmp_path, find("cowsay:v0.1"), "hello")
    ran = await labour.execute(shop, Execute(ABOUT, job), [].append)
    assert ran == NotRan(ABOUT, "KeyError: 'nobody has thought of this'")
    absent = str(Cid.of(Codec.RAW, b"absent"))
    fetched = await labour.fetch(shop, Fetch(ABOUT, absent, Address(bytes(20)), 1))
    assert isinstance(fetched, NotFetched)
    assert "nothing is here" in fetched.reason


async def test_a_run_that_is_cut_off_by_time_leaves_the_same_result_on_every_machine(tmp_path: Path) -> None:
    shop = workshop(tmp_path, {"wasm": Slow()})
    job = job_for(shop, tmp_path, find("cowsay:v0.1"), "hello")
    ran = await labour.execute(shop, Execute(ABOUT, job), [].append)
    assert isinstance(ran, Ran)
    assert (ran.run.cid, ran.run.exit_code, ran.run.failure) == (CUT_OFF, 124, "out_of_time: it ran for 30 s")
    assert (ran.run.units, ran.run.milliseconds) == (12, 30_000)
    assert shop.doubt(CUT_OFF) == ""


async def test_a_result_that_is_fetched_says_itself_how_its_run_ended(tmp_path: Path) -> None:
    shop = workshop(tmp_path, {})
    for code in (0, 3, 255):
        start_over(tmp_path / f"result-{code}", code)
        cid = str(add_path(tmp_path / f"result-{code}", shop.blocks))
        fetched = await labour.fetch(shop, Fetch(ABOUT, cid, Address(bytes(20)), 1))
        assert isinstance(fetched, Fetched)
        assert (fetched.exit_code, fetched.doubt) == (code, "")
    (tmp_path / "result-0" / "exit_code").write_text("no number")
    odd = str(add_path(tmp_path / "result-0", shop.blocks))
    assert shop.exit_code(odd) is None


async def test_a_module_that_names_a_number_of_thousands_of_digits_is_not_runnable(
    tmp_path: Path, pool: WasmPool
) -> None:
    shop = workshop(tmp_path, {"wasm": pool})
    job = job_for(shop, tmp_path, find("cowsay:v0.1"), "hello")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "module.toml").write_bytes(b"a = " + b"1" * 5000)
    odd = replace(job, module_cid=str(add_path(tmp_path / "odd", shop.blocks)))
    answer = await labour.execute(shop, Execute(ABOUT, odd), [].append)
    assert isinstance(answer, Ran)
    assert answer.run.failure.startswith("not runnable: ")


async def test_the_agent_hears_when_its_program_has_begun_and_not_of_one_that_never_does(
    tmp_path: Path, pool: WasmPool
) -> None:
    shop = workshop(tmp_path, {"wasm": pool})
    job = job_for(shop, tmp_path, find("cowsay:v0.1"), "hello")
    heard: list[Launched] = []
    assert isinstance(await labour.execute(shop, Execute(ABOUT, job), heard.append), Ran)
    assert heard == [Launched(ABOUT)]
    shop.executors = {"wasm": Torn()}
    await labour.execute(shop, Execute(ABOUT, job), heard.append)
    assert len(heard) == 1
