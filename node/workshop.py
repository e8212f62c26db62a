"""Where a node fetches, runs and publishes: content in, module run, result directory out, all named by CID."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from pathlib import Path

import trio

from content.adding import add_path
from content.blocks import Blocks, LayeredBlocks
from content.box import close_box, is_box, new_key, open_box
from content.cid import Cid
from content.errors import MissingBlock
from content.exporting import export
from content.limits import Limits as ContentLimits
from content.reading import cat, look, resolve
from content.unixfs import Directory
from content.walk import walk
from modules.collecting import start_over
from modules.compare import CannotCompare, Different, Result
from modules.compare_apart import compare_apart
from modules.executor import EXIT_CODES, Executor, Failed, Finished, Limits, Task
from modules.module import Module, load
from node.keyring import Keyring
from protocol.errors import PeerFault
from protocol.identity import Address
from protocol.isolation import satisfies
from protocol.job import Job, Resources, Run, most_content

MIB = 1024 * 1024
MOST_EXIT_CODE = 255
_DIRECTORY_SLACK = MIB
"""Bytes that the nodes of a DAG may add to its content."""


Carry = Callable[[Cid, Address, int, ContentLimits], Awaitable[None]]
"""Has a peer's DAG brought into the public store; the port is that of the peer's gateway (`node.carrying`)."""


class NotOpened(PeerFault):
    """Private content without what opens it."""


class NotRunnable(PeerFault):
    """A job whose module is not what the deal says."""


class SickExecutor(Exception):
    """This machine could not run a job that others may well run: what is left of it is nobody's result."""


class Workshop:
    """One node's store of blocks, its executors, and its way to other peers' content."""

    def __init__(
        self,
        blocks: Blocks,
        private: Blocks,
        keyring: Keyring,
        executors: Mapping[str, Executor],
        folder: Path,
        carry: Carry,
    ) -> None:
        self.blocks = blocks
        """Served to anybody."""
        self.everything = LayeredBlocks(private, blocks)
        """With what is in opened boxes and private results, which only this node's user is given."""
        self.keyring = keyring
        self.executors = executors
        self._folder = folder
        self._carry = carry
        self._comparing = trio.Lock()
        """One at a time: what strangers made may take all of a comparison's memory and time."""

    async def fetch(self, cid_text: str, whose: Address, gateway: int, most_bytes: int) -> int:
        """Have every block of a DAG here, verified; raises `PeerFault` where the source does not give it.

        Private content comes in its box, and is opened with the key that the same peer has sent. Returns the bytes of
        all distinct blocks, without the box.
        """
        cid = Cid.parse(cid_text)
        size = await trio.to_thread.run_sync(self.size, self.keyring.root_of(cid))
        if size is None:
            await self._bring(cid, whose, gateway, most_bytes)
            size = await trio.to_thread.run_sync(self.size, self.keyring.root_of(cid))
        return size or 0

    async def _bring(self, cid: Cid, whose: Address, gateway: int, most_bytes: int) -> None:
        held = self.keyring.of(whose, str(cid))
        box = cid if held is None else held.box
        await self._carry(box, whose, gateway, ContentLimits(max_bytes=most_bytes + _DIRECTORY_SLACK))
        if held is None:
            if not await trio.to_thread.run_sync(is_box, cid, self.blocks):
                return
            held = await self.keyring.wait_for(whose, str(cid))
        if held is None or held.box != box:
            raise NotOpened(f"{cid} is private, and what opens it has not come")
        root = await trio.to_thread.run_sync(
            open_box, box, self.blocks, held.key, self.everything, ContentLimits(max_bytes=most_bytes)
        )
        if cid not in (box, root):
            raise NotOpened(f"the box that is said to hold {cid} holds {root}")
        self.keyring.keep(cid, box, held.key, root)

    async def close(self, root: Cid) -> Cid:
        """Put private content that is here into a box, to be served to anybody; the box's CID."""
        key = new_key()
        box = await trio.to_thread.run_sync(close_box, root, self.everything, key, self.blocks)
        self.keyring.keep(root, box, key, root)
        self.keyring.keep(box, box, key, root)
        return box

    def size(self, cid: Cid) -> int | None:
        """Bytes of all distinct blocks below this CID; None where one is missing."""
        try:
            return sum(len(block) for _, block in walk(cid, self.everything))
        except MissingBlock:
            return None

    async def run(self, about: bytes, job: Job, begun: Callable[[], None] = lambda: None) -> Run:
        """Run a job whose module and inputs are here, and keep the result directory as a DAG.

        ``begun`` is called once its program runs.
        A job that can't be run as its deal describes it ends in a failed run with an empty result: an answer too.
        """
        place = Path(await trio.to_thread.run_sync(lambda: tempfile.mkdtemp(dir=self._folder, prefix="run-")))
        try:
            return await self._run_in(place, about, job, begun)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))

    async def _run_in(self, place: Path, about: bytes, job: Job, begun: Callable[[], None]) -> Run:
        output = place / "result"
        try:
            inputs = self.keyring.root_of(Cid.parse(job.inputs_cid))
            module = await trio.to_thread.run_sync(self._lay_out, place, job, inputs)
        except PeerFault as fault:
            return await self._nothing(output, f"not runnable: {fault}"[:200])
        executor = self.executors.get(job.executor)
        if executor is None:
            raise SickExecutor(f"there is no {job.executor} executor here")
        if not satisfies(executor.isolation.word, job.isolation):
            return await self._nothing(output, f"not runnable: {job.executor} has no isolation {job.isolation} here")
        limits = Limits.of(module.manifest.resources)
        task = Task(about.hex(), module, place / "inputs", output, limits, job.seed, begun=begun)
        try:
            outcome = await executor.run(task)
        except OSError as error:
            raise SickExecutor(f"the run's files can't be handled: {error}") from error
        if isinstance(outcome, Failed) and _is_ours(outcome, job):
            raise SickExecutor(f"{outcome.reason}: {outcome.detail}")
        if isinstance(outcome, Failed) and not outcome.repeats:
            # what it had left by then is another thing on each machine, so everybody's is the same: nothing
            code = outcome.exit_code
            nothing = await trio.to_thread.run_sync(self._publish_nothing, output, code)
            failure = f"{outcome.reason}: {outcome.detail}"[:200]
            milliseconds, size = ceil(outcome.milliseconds), await trio.to_thread.run_sync(self.size, nothing)
            return Run(str(nothing), code, outcome.fuel, outcome.profile[:200], failure, milliseconds, size or 0)
        private = self.keyring.ours(job.inputs_cid) is not None
        cid = await trio.to_thread.run_sync(add_path, output, self.everything if private else self.blocks)
        if private and self.keyring.ours(str(cid)) is None:
            await self.close(cid)
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

    def _lay_out(self, place: Path, job: Job, inputs: Cid) -> Module:
        content = ContentLimits(max_bytes=most_content(job))
        export(Cid.parse(job.module_cid), self.blocks, place / "module", content)
        export(inputs, self.everything, place / "inputs", content)
        module = load(place / "module")
        if module.digest != job.module:
            raise NotRunnable(f"the module's digest is {module.digest}, the deal says {job.module}")
        if job_resources(module) != job.resources or module.manifest.executor != job.executor:
            raise NotRunnable("the deal's resources or executor are not those of the module")
        if module.manifest.verification.compare != job.compare:
            raise NotRunnable(f"the deal compares '{job.compare}', the module '{module.manifest.verification.compare}'")
        return module

    async def compare(self, job: Job, mine: str, theirs: str) -> str:
        """What differs between two results that are here, as the job's module compares; empty if they agree.

        Raises `CannotCompare` where that is not the doing of their result.
        """
        if mine == theirs:
            return ""
        async with self._comparing:
            try:
                place = Path(
                    await trio.to_thread.run_sync(lambda: tempfile.mkdtemp(dir=self._folder, prefix="compare-"))
                )
            except OSError as error:
                raise CannotCompare(f"there is no room for the results: {error}") from None
            try:
                return await self._compare_in(place, job, mine, theirs)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))

    async def _compare_in(self, place: Path, job: Job, mine: str, theirs: str) -> str:
        try:
            module = await trio.to_thread.run_sync(self._lay_out_to_compare, place, job, mine)
        except (PeerFault, OSError, MissingBlock) as error:
            raise CannotCompare(f"the module or our own result can't be laid out: {error}"[:200]) from None
        try:
            await trio.to_thread.run_sync(export, Cid.parse(theirs), self.everything, place / "theirs", _content(job))
        except (OSError, MissingBlock, MemoryError) as error:
            raise CannotCompare(f"their result can't be laid out: {error}"[:200]) from None
        except Exception as fault:  # whatever else there is comes of what a stranger made
            return f"their result is none: {fault}"[:200]
        results = Result(mine, place / "mine"), Result(theirs, place / "theirs")
        found = await compare_apart(module.manifest.verification, *results)
        return str(found) if isinstance(found, Different) else ""

    def _lay_out_to_compare(self, place: Path, job: Job, mine: str) -> Module:
        for name, cid in (("module", job.module_cid), ("mine", mine)):
            export(Cid.parse(cid), self.everything, place / name, _content(job))
        module = load(place / "module")
        if module.digest != job.module:
            raise NotRunnable(f"the module's digest is {module.digest}, the deal says {job.module}")
        return module

    def doubt(self, cid_text: str) -> str:
        """Why a DAG that is here does not look like a result directory; empty if it does."""
        try:
            root = look(Cid.parse(cid_text), self.everything)
        except PeerFault as fault:
            return str(fault)[:200]
        names = {entry.name for entry in root.entries} if isinstance(root, Directory) else set()
        missing = sorted({"stdout", "stderr", "exit_code", "outputs"} - names)
        return f"it has no {', '.join(missing)}" if missing else ""

    def exit_code(self, cid_text: str) -> int | None:
        """What a result that is here says of how its run ended; None where it doesn't look like one."""
        if self.doubt(cid_text):
            return None
        try:
            root = resolve(Cid.parse(cid_text), "exit_code", self.everything)
            text = b"".join(cat(root, self.everything, 0, 8)).decode("ascii").removesuffix("\n")
        except (PeerFault, LookupError, ValueError):
            return None
        return int(text) if text.isdecimal() and int(text) <= MOST_EXIT_CODE else None

    async def _nothing(self, output: Path, failure: str) -> Run:
        cid = await trio.to_thread.run_sync(self._publish_nothing, output, EXIT_CODES["could_not_start"])
        return Run(str(cid), EXIT_CODES["could_not_start"], 0, "", failure)

    def _publish_nothing(self, output: Path, exit_code: int) -> Cid:
        start_over(output, exit_code)
        return add_path(output, self.blocks)


def _content(job: Job) -> ContentLimits:
    return ContentLimits(max_bytes=job.resources.disk_mib * MIB + 256 * MIB)


def _is_ours(outcome: Failed, job: Job) -> bool:
    """Whether it was this machine that failed: its executor died, or an engine could not start what others can."""
    return outcome.reason == "executor_died" or (outcome.reason == "could_not_start" and job.executor != "wasm")


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
