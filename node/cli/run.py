"""``lilypad run``: one job from what the user typed to the result on disk."""

from __future__ import annotations

import contextlib
import json as json_format
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from agents.request import CheckBy
from node.cli.ending import complain, run_trio
from node.cli.progress import Progress, pass_on, still_locked
from node.cli.strategies import check_strategy
from node.cli.tables import print_event, print_offers
from node.config import LOCAL, Config
from node.errors import ExitCode, UserError
from node.mandate import parse_mandate
from node.parsing import job_path
from node.preparing import Prepared, bind_inputs, find_module, parse_pairs, prepare

if TYPE_CHECKING:
    from modules.module import Module
    from node.client import NodeClient

LOCAL_CHECK = 1.0
CHECK = 0.1
"""The starting rules' share of checks; in a local market the mediators cost nothing, so all is checked."""

LOCAL_WAIT = 5.0
WAIT = 20.0
"""Seconds to look for a provider; in a local market all are there from the start."""
MOST_TEXT = 256 * 1024
"""Characters of each output stream that a document or a terminal is given; the file has all."""

EXIT_CODES = {
    "DONE": ExitCode.OK,
    "NO_OFFER": ExitCode.NO_OFFER,
    "NO_AGREEMENT": ExitCode.NO_AGREEMENT,
    "FAILED": ExitCode.JOB_FAILED,
    "DISPUTED": ExitCode.NOT_VERIFIED,
    "TIMED_OUT": ExitCode.TIMED_OUT,
    "NO_FUNDS": ExitCode.FUNDS_OR_KEY,
    "CANCELLED": ExitCode.INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Form:
    """How a job's progress and end are told: to people, as one document, or as lines of JSON with the document last."""

    json: bool
    lines: bool

    @property
    def quiet(self) -> bool:
        """Whether no progress goes to stderr."""
        return self.json or self.lines

    def end(self, document: dict[str, Any]) -> None:
        """Print the job's document."""
        if self.lines:
            print_event({"event": "document", "document": document})
        elif self.json:
            print(json_format.dumps(document, indent=2))


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user typed."""

    module: str
    text: str | None
    values: list[str]
    files: list[str]
    output: Path | None
    max_price: str | None
    strategy: str | None
    check: float | None
    per: list[str]
    isolation: str | None
    check_by: str
    mediators: list[str]
    wishes: list[str]
    private: bool
    timeout: float
    dry_run: bool
    chain: str | None
    detach: bool
    json: bool
    json_lines: bool = False

    @property
    def form(self) -> Form:
        """How its progress and its end are told."""
        return Form(self.json, self.json_lines)


def run_job(config: Config, wish: Wish) -> None:
    """Do what the user wishes; ends the process with the job's exit code."""
    config.chain_kind(wish.chain)
    module = find_module(wish.module, config.home)
    bound = bind_inputs(module, wish.text, parse_pairs(wish.values, "-i"), _paths(wish.files))
    check_strategy(wish.strategy)
    mandate = _mandate(config, wish, module)
    _check_place(config, wish.output)
    with tempfile.TemporaryDirectory(prefix="lilypad-run-") as folder:
        prepared = prepare(module, bound, Path(folder), str(mandate.get("isolation") or ""))
        attempt, progress = _Attempt(mandate), Progress(quiet=wish.form.quiet)

        def interrupted() -> int:
            attempt.broken_off(wish, "CANCELLED", "interrupted")
            raise UserError(ExitCode.INTERRUPTED, "interrupted", attempt.goes_on())

        client = _running_node(config)

        def load() -> None:
            if client is None:
                attempt.local = True
                progress.say("starting a market on this machine")
                import node.local_market  # noqa: F401

        code = run_trio(lambda: _run(config, wish, prepared, attempt, client, progress), interrupted, load)
    if code:
        raise typer.Exit(code)


def get_job(config: Config, job: str, output: Path | None, json: bool, json_lines: bool) -> None:
    """Wait for a job of the running node and fetch its result."""
    from node.client import need_node

    async def get() -> int:
        form = Form(json, json_lines)
        async with need_node(config.home) as client:
            return await _finish(config, client, job, output, form, Progress(quiet=form.quiet), local=False)

    _check_place(config, output)

    def interrupted() -> int:
        raise UserError(
            ExitCode.INTERRUPTED, "interrupted", f"the job goes on: `lilypad jobs resume {job}` follows it again"
        )

    code = run_trio(get, interrupted)
    if code:
        raise typer.Exit(code)


@dataclass(slots=True)
class _Attempt:
    """How far a run has come: what its ending has to tell."""

    mandate: dict[str, Any]
    """What is wanted of the deal, as the node's API takes it."""
    job: str | None = None
    local: bool = False
    document: dict[str, Any] | None = None
    """As far as it was known when the run was broken off."""

    def goes_on(self, otherwise: str = "") -> str:
        """What is not lost when the command ends now."""
        if self.local:
            return "the local market and all that was in it are gone" + (f"; {otherwise}" if otherwise else "")
        if self.job is None:
            return otherwise
        return f"a deal that was signed goes on: `lilypad jobs resume {self.job}` follows it and fetches its result"

    def broken_off(self, wish: Wish, outcome: str, reason: str) -> None:
        """Print the document of a run that did not come to its end."""
        if not wish.form.quiet or self.document is None:
            return
        if self.document["outcome"] in ("RUNNING", "CANCELLED"):
            self.document |= {"outcome": outcome, "reason": reason}
        wish.form.end(self.document)


async def _run(
    config: Config, wish: Wish, prepared: Prepared, attempt: _Attempt, node: NodeClient | None, progress: Progress
) -> int:
    import trio

    try:
        with trio.fail_after(wish.timeout):
            async with node or _local_market(config, progress, prepared, config.chain_kind(wish.chain)) as client:
                return await _ask(config, wish, prepared, attempt, client, progress)
    except trio.TooSlowError:
        if attempt.document is not None and attempt.document["outcome"] in ("NO_OFFER", "NO_AGREEMENT"):
            _print(attempt.document, wish.form)  # it has just ended by itself, and nothing is to be fetched
            return EXIT_CODES[attempt.document["outcome"]]
        reason = f"no result within {wish.timeout:g} s"
        attempt.broken_off(wish, "TIMED_OUT", reason)
        complain(reason, attempt.goes_on("give it more with --timeout"))
        return ExitCode.TIMED_OUT


async def _ask(
    config: Config, wish: Wish, prepared: Prepared, attempt: _Attempt, client: NodeClient, progress: Progress
) -> int:
    if wish.dry_run:
        _show_offers(await client.get("/api/v1/offers"), wish.form.quiet)
        return ExitCode.OK
    if attempt.local and wish.detach:
        raise UserError(ExitCode.USAGE, "--detach needs a running node", "start one with `lilypad node start`")
    await client.upload(prepared.module_cid, prepared.blocks)
    inputs = await client.upload(prepared.inputs_cid, prepared.blocks, private=wish.private)
    asked = _request(wish, prepared.job(inputs), prepared.about, attempt)
    job = attempt.job = (await client.post("/api/v1/jobs", asked))["job"]
    if wish.detach:
        print(json_format.dumps({"job": job}) if wish.form.quiet else job)
        return ExitCode.OK
    try:
        return await _finish(config, client, job, wish.output, wish.form, progress, local=attempt.local)
    except BaseException:
        attempt.document = await _let_go(client, job)
        raise


def _running_node(config: Config) -> NodeClient | None:
    """The node that works in the data folder, None where a local market is to be started; raises `UserError`."""
    from node.client import running_node

    client = running_node(config.home)
    if client is None and config.network != LOCAL:
        raise UserError(
            ExitCode.UNREACHABLE,
            f"no node works in {config.home} for network '{config.network}'",
            f"start one with `lilypad node start --network {config.network}`",
        )
    return client


@contextlib.asynccontextmanager
async def _local_market(
    config: Config, progress: Progress, prepared: Prepared, chain: str
) -> AsyncIterator[NodeClient]:
    from node.client import NodeClient, forget_contact
    from node.local_market import open_local_market
    from node.lock import only_one

    with only_one(config.home):
        forget_contact(config.home)
        async with open_local_market(prepared.module, chain) as peer, NodeClient(peer.url, peer.token) as client:
            progress.say("3 providers and 3 mediators are there")
            yield client


def _mandate(config: Config, wish: Wish, module: Module) -> dict[str, Any]:
    """The user's own ``[mandate]`` with what was typed in its place; raises `UserError`."""
    table = dict(config.mandate)
    typed = {
        "per": wish.per,
        "isolation": wish.isolation,
        "mediators": wish.mediators,
        "max_price": wish.max_price,
        "check": wish.check,
    }
    table |= {name: value for name, value in typed.items() if value not in (None, [])}
    if wish.wishes:
        table["wishes"] = wish.wishes
    elif isinstance(table.get("wishes"), dict):
        table["wishes"] = [f"{name}={text}" for name, text in table["wishes"].items()]
    table["max_price"] = None if table.get("max_price") is None else str(table["max_price"])
    _check_numbers(wish, table)
    mandate = parse_mandate(table)
    allowed = module.manifest.pricing.units
    units = [unit for unit in mandate.units or allowed if unit in allowed]
    if not units:
        wanted = " or ".join(mandate.units)
        raise UserError(
            ExitCode.USAGE,
            f"{module.manifest.name} can't be priced by {wanted}",
            f"its module allows {', '.join(allowed)}",
        )
    return {**table, "per": units}


def _request(wish: Wish, job: dict[str, Any], about: dict[str, Any], attempt: _Attempt) -> dict[str, Any]:
    local = attempt.local
    check = attempt.mandate.get("check")
    return {
        **attempt.mandate,
        "job": job,
        "about": about,
        "check_by": wish.check_by,
        "check": check if check is not None else (LOCAL_CHECK if local else CHECK),
        "strategy": check_strategy(wish.strategy),
        "wait": min(wish.timeout, LOCAL_WAIT if local else WAIT),
    }


async def _finish(
    config: Config, client: NodeClient, job: str, output: Path | None, form: Form, progress: Progress, *, local: bool
) -> int:
    from content.cid import Cid
    from protocol.errors import PeerFault

    async for event in client.follow(job):
        progress.event(event)
        if form.lines:
            print_event(event)
    document = await client.get(job_path(job))
    if document["outcome"] not in EXIT_CODES:
        raise UserError(
            ExitCode.UNREACHABLE,
            "the node ended before the job did",
            f"start it again and follow the job with `lilypad jobs resume {job}`",
        )
    cid = document["result"]["cid"]
    got = document["outcome"] in ("DONE", "FAILED", "DISPUTED") and cid is not None
    if got:
        place = output or config.home / "results" / job
        try:
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                await client.download(Cid.parse(cid), place)
        except (OSError, PeerFault) as error:
            form.end(document)
            paid = f"paid {document['price']['paid']} for job {job}"
            mend = f"`lilypad jobs get {job} -o FOLDER` fetches it again"
            gone = "the local market, and the result with it, are gone: name a folder that can be written with -o"
            what = f"the result can't be saved in {place}: {error}; {paid}, which ended {document['outcome']}"
            raise UserError(ExitCode.USAGE, what, gone if local else mend) from error
        document["result"] |= _content(place)
    _print(document, form)
    return EXIT_CODES[document["outcome"]]


def _content(place: Path) -> dict[str, Any]:
    return {"path": str(place.resolve()), **{name: _text(place / name) for name in ("stdout", "stderr")}}


def _text(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        text = stream.read(MOST_TEXT + 1).decode(errors="replace")
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "… (the file has the rest)\n"


def _print(document: dict[str, Any], form: Form) -> None:
    result = document["result"]
    if form.quiet:
        form.end(document)
    else:
        pass_on(result.get("stdout", ""), sys.stdout)
        pass_on(result.get("stderr", ""), sys.stderr)
    there = f"paid {document['price']['paid']}; the result is in {result['path']}" if "path" in result else ""
    if not form.quiet and (said := still_locked(document)):
        print(f"lilypad: {said}", file=sys.stderr)
    if document["outcome"] != "DONE":
        complain(_outcome_text(document), _outcome_mend(document) or there)
    elif not form.quiet:
        print(f"lilypad: {there}", file=sys.stderr)


def _outcome_text(document: dict[str, Any]) -> str:
    said = {
        "NO_OFFER": "no offer fits this job",
        "NO_AGREEMENT": "no provider agreed",
        "FAILED": "the job failed",
        "DISPUTED": "the result was not accepted",
        "TIMED_OUT": "no result came in time",
        "NO_FUNDS": "not enough money in the vault",
        "CANCELLED": "cancelled",
    }[document["outcome"]]
    return f"{said}: {document['reason']}" if document["reason"] else said


def _outcome_mend(document: dict[str, Any]) -> str:
    return {
        "NO_OFFER": "see `lilypad offers ls`, or ask for less in the module's [resources]",
        "NO_AGREEMENT": "raise --max-price, or leave it out",
        "NO_FUNDS": "put more into the vault with `lilypad wallet deposit`",
    }.get(document["outcome"], "")


def _show_offers(offers: list[dict[str, Any]], json: bool) -> None:
    if json:
        print(json_format.dumps(offers, indent=2))
    else:
        print_offers(offers)


async def _let_go(client: NodeClient, job: str) -> dict[str, Any] | None:
    """Drop the job if it has no deal yet; its document as it stands, if the node still answers."""
    import trio

    with trio.CancelScope(shield=True), trio.move_on_after(1), contextlib.suppress(UserError):
        with contextlib.suppress(UserError):  # it may have just ended
            await client.post(job_path(job, "cancel"))
        found: dict[str, Any] = await client.get(job_path(job))
        return found
    return None


def _check_numbers(wish: Wish, table: dict[str, Any]) -> None:
    most, check = table["max_price"], table.get("check")
    if most is not None and not (most.isascii() and most.isdigit()):
        raise UserError(ExitCode.USAGE, f"--max-price {most} is no whole number", "give base units, as in 1500")
    if check is not None and (isinstance(check, bool) or not isinstance(check, int | float) or not 0 <= check <= 1):
        raise UserError(ExitCode.USAGE, f"--check {check} is no chance", "give a number from 0 to 1")
    if wish.check_by.upper() not in CheckBy.__members__:
        known = ", ".join(each.name.lower() for each in CheckBy)
        raise UserError(ExitCode.USAGE, f"--check-by {wish.check_by} is nobody", f"choose from {known}")
    if not 0 < wish.timeout < 1e9:
        raise UserError(ExitCode.USAGE, f"--timeout {wish.timeout} is out of range", "give seconds, more than 0")


def _check_place(config: Config, output: Path | None) -> None:
    """Before anything is bought: whether a result can be written there; raises `UserError`."""
    place = output or config.home / "results" / "job"
    if output is not None and os.path.lexists(output):
        raise UserError(ExitCode.USAGE, f"{output} exists already", "name a new folder with -o")
    try:
        beside = next(folder for folder in place.absolute().parents if os.path.lexists(folder))
        with tempfile.TemporaryDirectory(prefix=".lilypad-", dir=beside) as folder:
            (Path(folder) / place.name).mkdir()
    except OSError as error:
        what = f"no result can be written to {place}: {error.strerror}"
        raise UserError(ExitCode.USAGE, what, "name a new folder, in one that you can write, with -o") from None


def _paths(files: list[str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in parse_pairs(files, "--input-file").items()}
