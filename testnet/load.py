"""The load generator: asks a testnet's clients for jobs at a rate, while faults happen, and waits until all have ended.

Every job is one line of ``load.jsonl`` in the testnet's folder: who asked for it, when, and what it was worth. Samples
of every peer's metrics go to ``samples.jsonl``.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import trio

from node.client import NodeClient
from node.errors import ExitCode, UserError
from node.preparing import Prepared, bind_inputs, find_module, prepare
from testnet.faults import Fault
from testnet.plan import Member
from testnet.scenario import Load
from testnet.town import Town
from testnet.trouble import Trouble

JOBS_FILE, SAMPLES_FILE = "load.jsonl", "samples.jsonl"
TRIES = 300
"""How often a client that is not there is asked again, a second apart, before its job is given up."""
SAMPLE = 5.0
"""Seconds between two looks at everybody's metrics."""
WAIT = 60.0
"""Seconds that a job looks for a provider."""


@dataclass(slots=True)
class Progress:
    """How far a load has come."""

    asked: int = 0
    lost: list[str] = field(default_factory=list)
    """Jobs that no client would take, with the reason."""
    ended: dict[str, str] = field(default_factory=dict)
    """Outcome by job."""
    open: dict[str, Member] = field(default_factory=dict)


async def run_load(
    town: Town,
    load: Load,
    faults: Sequence[tuple[float, Fault]],
    say: Callable[[str], None],
    *,
    within: float,
) -> Progress:
    """Play it to its end, or for ``within`` seconds after the last job was asked for."""
    progress, rng = Progress(), Random(f"load {load.seed}")
    with tempfile.TemporaryDirectory(prefix="lilypad-load-") as folder:
        module = find_module(load.module, Path(folder))
        prepared = prepare(module, bind_inputs(module, None, {}, {}), Path(folder))
        trouble = Trouble(town, faults, say)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_sample_for_ever, town)
            nursery.start_soon(_follow_for_ever, town, progress)
            # beside the asking: who can't be asked may be waiting to be started again
            nursery.start_soon(_have_trouble, trouble)
            async with trio.open_nursery() as asking:
                began = trio.current_time()
                for number in range(load.jobs):
                    member = town.plan.of("client")[number % len(town.plan.of("client"))]
                    worth = rng.randint(*load.worth)
                    asking.start_soon(_ask, town, member, prepared, worth, load.check, progress)
                    await trio.sleep_until(began + (number + 1) / load.rate)
            with trio.move_on_after(within):
                while progress.open or trouble.waiting:  # noqa: ASYNC110  (three tasks would have to tell)
                    await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
    return progress


async def _have_trouble(trouble: Trouble) -> None:
    try:
        while True:
            await trio.to_thread.run_sync(trouble.poll)
            await trio.sleep(0.1)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(trouble.calm)


async def _ask(town: Town, member: Member, prepared: Prepared, worth: int, check: float, progress: Progress) -> None:
    request = {
        "job": {**prepared.job(prepared.inputs_cid), "seed": Random(f"{progress.asked} {worth}").randbytes(32).hex()},
        "about": prepared.about,
        "max_price": str(worth),
        "check": check,
        "strategy": "",
        "wait": WAIT,
    }
    number = progress.asked
    progress.asked += 1
    why = ""
    for _ in range(TRIES):
        try:
            async with NodeClient(town.url(member), town.token(member)) as client:
                asked = time.time()
                await client.upload(prepared.module_cid, prepared.blocks)
                await client.upload(prepared.inputs_cid, prepared.blocks)
                job = str((await client.post("/api/v1/jobs", request))["job"])
        except UserError as error:
            # a client that died between taking the job and answering would be asked twice: its ledger tells, see report
            why = str(error)
            await trio.sleep(1.0)
            continue
        progress.open[job] = member
        line = {"job": job, "client": member.name, "worth": worth, "asked": asked, "number": number}
        _append(town.plan.folder / JOBS_FILE, line)
        return
    progress.lost.append(f"{member.name}: {why}")


async def _follow_for_ever(town: Town, progress: Progress) -> None:
    """Look at every client's jobs; those that ended are told."""
    while True:
        for member in town.plan.of("client"):
            if member not in progress.open.values():
                continue
            try:
                async with NodeClient(town.url(member), town.token(member)) as client:
                    listed = await client.get("/api/v1/jobs")
            except UserError:
                continue
            for each in listed:
                if each["job"] in progress.open and each["outcome"] != "RUNNING":
                    del progress.open[each["job"]]
                    progress.ended[each["job"]] = each["outcome"]
        await trio.sleep(1.0)


async def _sample_for_ever(town: Town) -> None:
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
        while True:
            for member in town.plan.members:
                sample = await _sample(town, member, client)
                if sample:
                    _append(town.plan.folder / SAMPLES_FILE, {"at": time.time(), "peer": member.name, **sample})
            await trio.sleep(SAMPLE)


async def _sample(town: Town, member: Member, client: httpx.AsyncClient) -> dict[str, float]:
    try:
        headers = {"Authorization": f"Bearer {town.token(member)}"}
        answer = await client.get(f"{town.url(member)}/metrics", headers=headers)
    except (UserError, httpx.HTTPError):
        return {}
    return parse_metrics(answer.text) if answer.status_code == 200 else {}


def parse_metrics(text: str) -> dict[str, float]:
    """Prometheus' text as numbers by name; those with labels are left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name and not line.startswith("#") and "{" not in name:
            found[name] = float(value)
    return found


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def need_ended(progress: Progress) -> None:
    """Raises `UserError` where a job did not end, or nobody took it."""
    if progress.lost:
        raise UserError(ExitCode.UNREACHABLE, f"{len(progress.lost)} jobs were not taken: {progress.lost[0]}")
    if progress.open:
        raise UserError(
            ExitCode.TIMED_OUT,
            f"{len(progress.open)} of {progress.asked} jobs have not ended",
            "see them with `lilypad testnet report`",
        )
