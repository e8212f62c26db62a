"""Where a node fetches, runs and publishes: content in, module run, result directory out, all named by CID."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from math import ceil
from pathlib import Path

import httpx
import trio

from content.adding import add_path
from content.blocks import Blocks
from content.cid import Cid
from content.errors import MissingBlock
from content.exporting import export
from content.limits import Limits as ContentLimits
from content.walk import walk
from modules.collecting import start_over
from modules.executor import EXIT_CODES, Executor, Failed, Finished, Limits, Task
from modules.module import Module, load
from node.fetching import FetchLimits, fetch
from protocol.errors import PeerFault
from protocol.isolation import satisfies
from protocol.job import Job, Resources, Run

MIB = 1024 * 1024
_DIRECTORY_SLACK = MIB
"""Bytes that the nodes of a DAG may add to its content."""


class NotRunnable(PeerFault):
    """A job whose module is not what the deal says."""


class Workshop:
    """One node's store of blocks, its executors, and its client for other peers' gateways."""

    def __init__(
        self, blocks: Blocks, executors: Mapping[str, Executor], folder: Path, client: httpx.AsyncClient
    ) -> None:
        self.blocks = blocks
        self.executors = executors
        self._folder = folder
        self._client = client

    async def fetch(self, cid_text: str, source: str, most_bytes: int) -> int:
        """Have every block of a DAG here, verified; raises `PeerFault` where the source does not give it.

        Returns the bytes of all its distinct blocks.
        """
        cid = Cid.parse(cid_text)
        size = await trio.to_thread.run_sync(self.size, cid)
        if size is None:
            limits = FetchLimits(content=ContentLimits(max_bytes=most_bytes + _DIRECTORY_SLACK))
            await fetch(cid, source, self.blocks, limits=limits, client=self._client)
            size = await trio.to_thread.run_sync(self.size, cid)
        return size or 0

    def size(self, cid: Cid) -> int | None:
        """Bytes of all distinct blocks below this CID; None where one is missing."""
        try:
            return sum(len(block) for _, block in walk(cid, self.blocks))
        except MissingBlock:
            return None

    async def run(self, about: bytes, job: Job) -> Run:
        """Run a job whose module and inputs are here, and keep the result directory as a DAG.

        A job that can't be run as its deal describes it ends in a failed run with an empty result: an answer too.
        """
        place = Path(await trio.to_thread.run_sync(lambda: tempfile.mkdtemp(dir=self._folder, prefix="run-")))
        try:
            return await self._run_in(place, about, job)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))

    async def _run_in(self, place: Path, about: bytes, job: Job) -> Run:
        output = place / "result"
        try:
            module = await trio.to_thread.run_sync(self._lay_out, place, job)
        except PeerFault as fault:
            return await self._nothing(output, f"not runnable: {fault}"[:200])
        executor = self.executors[job.executor]
        if not satisfies(executor.isolation.word, job.isolation):
            return await self._nothing(output, f"not runnable: {job.executor} has no isolation {job.isolation} here")
        limits = Limits.of(module.manifest.resources)
        task = Task(about.hex(), module, place / "inputs", output, limits, job.seed)
        outcome = await executor.run(task)
        cid = await trio.to_thread.run_sync(add_path, output, self.blocks)
        match outcome:
            case Finished():
                failure = ""
            case Failed(reason=reason, detail=detail):
                failure = f"{reason}: {detail}"[:200]
        size = await trio.to_thread.run_sync(self.size, cid)
        return Run(
            str(cid),
            outcome.exit_code & 0xFF,
            outcome.fuel,
            outcome.profile[:200],
            failure,
            milliseconds=ceil(outcome.milliseconds),
            size=size or 0,
        )

    def _lay_out(self, place: Path, job: Job) -> Module:
        content = ContentLimits(max_bytes=job.resources.disk_mib * MIB + 256 * MIB)
        export(Cid.parse(job.module_cid), self.blocks, place / "module", content)
        export(Cid.parse(job.inputs_cid), self.blocks, place / "inputs", content)
        module = load(place / "module")
        if module.digest != job.module:
            raise NotRunnable(f"the module's digest is {module.digest}, the deal says {job.module}")
        if job_resources(module) != job.resources or module.manifest.executor != job.executor:
            raise NotRunnable("the deal's resources or executor are not those of the module")
        return module

    async def _nothing(self, output: Path, failure: str) -> Run:
        cid = await trio.to_thread.run_sync(self._publish_nothing, output)
        return Run(str(cid), EXIT_CODES["could_not_start"], 0, "", failure)

    def _publish_nothing(self, output: Path) -> Cid:
        start_over(output, EXIT_CODES["could_not_start"])
        return add_path(output, self.blocks)


def job_resources(module: Module) -> Resources:
    """A manifest's resources in the market's units."""
    needs = module.manifest.resources
    return Resources(
        cpu_millis=round(needs.cpu * 1000),
        memory_mib=needs.memory_mib,
        disk_mib=needs.disk_mib,
        gpus=needs.gpus,
        vram_mib=needs.vram_mib,
        timeout=needs.timeout_s,
        gpu=needs.gpu,
    )
