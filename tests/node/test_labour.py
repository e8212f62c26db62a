"""Whatever happens to a fetch or a run, the agent hears an answer: its silence would cost it its stake."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agents.effects import Execute, Fetch
from agents.events import NotFetched, NotRan, Ran
from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid, Codec
from content.errors import NoSuchEntry
from content.limits import Limits as ContentLimits
from modules.catalogue import find
from modules.executor import Executor, Outcome, Task
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
    ran = await labour.execute(shop, Execute(ABOUT, job))
    assert ran == NotRan(ABOUT, "KeyError: 'nobody has thought of this'")
    absent = str(Cid.of(Codec.RAW, b"absent"))
    fetched = await labour.fetch(shop, Fetch(ABOUT, absent, Address(bytes(20)), 1))
    assert isinstance(fetched, NotFetched)
    assert "nothing is here" in fetched.reason


async def test_a_module_that_names_a_number_of_thousands_of_digits_is_not_runnable(
    tmp_path: Path, pool: WasmPool
) -> None:
    shop = workshop(tmp_path, {"wasm": pool})
    job = job_for(shop, tmp_path, find("cowsay:v0.1"), "hello")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "module.toml").write_bytes(b"a = " + b"1" * 5000)
    odd = replace(job, module_cid=str(add_path(tmp_path / "odd", shop.blocks)))
    answer = await labour.execute(shop, Execute(ABOUT, odd))
    assert isinstance(answer, Ran)
    assert answer.run.failure.startswith("not runnable: ")
