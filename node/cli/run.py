"""``lilypad run``: one job from what the user typed to the result on disk."""

from __future__ import annotations

import contextlib
import json as json_format
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from node.cli.ending import complain, run_trio
from node.cli.progress import Progress
from node.config import LOCAL, Config
from node.errors import ExitCode, UserError
from node.preparing import Prepared, bind_inputs, find_module, parse_pairs, prepare

LOCAL_CHECK = 1.0
CHECK = 0.1
"""The starting rules' share of checks; in a local market the mediators cost nothing, so all is checked."""

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
    timeout: float
    dry_run: bool
    detach: bool
    json: bool


def run_job(config: Config, wish: Wish) -> None:
    """Do what the user wishes; ends the process with the job's exit code."""
    _check_numbers(wish)
    module = find_module(wish.module)
    bound = bind_inputs(module, wish.text, parse_pairs(wish.values, "-i"), _paths(wish.files))
    if wish.output is not None and wish.output.exists():
        raise UserError(ExitCode.USAGE, f"{wish.output} exists already", "name a new folder with -o")
    with tempfile.TemporaryDirectory(prefix="lilypad-run-") as folder:
        prepared = prepare(module, bound, Path(folder))
        code = run_trio(lambda: _run(config, wish, prepared))
    if code:
        raise typer.Exit(code)


def get_job(config: Config, job: str, output: Path | None, json: bool) -> None:
    """Wait for a job of the running node and fetch its result."""
    from node.client import need_node

    async def get() -> int:
        progress = Progress(quiet=json)
        async with need_node(config.home) as client:
            return await _finish(config, client, job, output, json, progress)

    code = run_trio(get)
    if code:
        raise typer.Exit(code)


async def _run(config: Config, wish: Wish, prepared: Prepared) -> int:
    import trio

    progress = Progress(quiet=wish.json)
    job: str | None = None
    client: Any = None
    local = False
    try:
        with trio.fail_after(wish.timeout):
            async with _node(config, progress) as (client, local):
                if wish.dry_run:
                    _show_offers(await client.get("/api/v1/offers"), wish.json)
                    return ExitCode.OK
                if local and wish.detach:
                    raise UserError(
                        ExitCode.USAGE, "--detach needs a running node", "start one with `lilypad node start`"
                    )
                await client.upload(prepared.module_cid, prepared.blocks)
                await client.upload(prepared.inputs_cid, prepared.blocks)
                job = (await client.post("/api/v1/jobs", _request(wish, prepared, local)))["job"]
                if wish.detach:
                    print(json_format.dumps({"job": job}) if wish.json else job)
                    return ExitCode.OK
                try:
                    return await _finish(config, client, job, wish.output, wish.json, progress)
                except BaseException:
                    await _let_go(client, job)
                    raise
    except trio.TooSlowError:
        complain(f"no result within {wish.timeout:g} s", _what_goes_on(local, job, "give it more with --timeout"))
        return ExitCode.TIMED_OUT
    except KeyboardInterrupt:
        complain("interrupted", _what_goes_on(local, job, ""))
        return ExitCode.INTERRUPTED


@contextlib.asynccontextmanager
async def _node(config: Config, progress: Progress) -> AsyncIterator[tuple[Any, bool]]:
    from node.client import NodeClient, running_node

    client = running_node(config.home)
    if client is not None:
        async with client:
            yield client, False
        return
    if config.network != LOCAL:
        raise UserError(
            ExitCode.UNREACHABLE,
            f"no node works in {config.home} for network '{config.network}'",
            f"start one with `lilypad node start --network {config.network}`",
        )
    from node.local_market import open_local_market

    progress.say("starting a market on this machine")
    async with open_local_market() as peer, NodeClient(peer.url, peer.api.token) as client:
        progress.say("3 providers and 3 mediators are there")
        yield client, True


def _request(wish: Wish, prepared: Prepared, local: bool) -> dict[str, Any]:
    check = wish.check if wish.check is not None else (LOCAL_CHECK if local else CHECK)
    return {
        "job": prepared.job,
        "about": prepared.about,
        "max_price": wish.max_price,
        "check": check,
        "strategy": wish.strategy,
        "wait": min(wish.timeout, 30.0 if local else 60.0),
    }


async def _finish(config: Config, client: Any, job: str, output: Path | None, json: bool, progress: Progress) -> int:
    from content.cid import Cid

    async for event in client.follow(job):
        progress.event(event)
    document = await client.get(f"/api/v1/jobs/{job}")
    cid = document["result"]["cid"]
    got = document["outcome"] in ("DONE", "FAILED", "DISPUTED") and cid is not None
    if got:
        place = output or config.home / "results" / job
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            await client.download(Cid.parse(cid), place)
        document["result"] |= _content(place)
    _print(document, json)
    return EXIT_CODES[document["outcome"]]


def _content(place: Path) -> dict[str, Any]:
    streams = {name: (place / name).read_bytes() for name in ("stdout", "stderr") if (place / name).is_file()}
    texts = {name: streams.get(name, b"").decode(errors="replace") for name in ("stdout", "stderr")}
    return {"path": str(place.resolve()), **texts}


def _print(document: dict[str, Any], json: bool) -> None:
    if json:
        print(json_format.dumps(document, indent=2))
        return
    result = document["result"]
    sys.stdout.write(result.get("stdout", ""))
    sys.stdout.flush()
    sys.stderr.write(result.get("stderr", ""))
    if document["outcome"] == "DONE":
        place = result.get("path")
        print(f"lilypad: paid {document['price']['paid']}; the result is in {place}", file=sys.stderr)
    else:
        complain(_outcome_text(document), _outcome_mend(document))


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
    from node.cli.tables import print_offers

    if json:
        print(json_format.dumps(offers, indent=2))
    else:
        print_offers(offers)


async def _let_go(client: Any, job: str) -> None:
    import trio

    with trio.CancelScope(shield=True), trio.move_on_after(1), contextlib.suppress(UserError):
        await client.post(f"/api/v1/jobs/{job}/cancel")


def _what_goes_on(local: bool, job: str | None, otherwise: str) -> str:
    if local:
        return "the local market and all that was in it are gone" + (f"; {otherwise}" if otherwise else "")
    if job is None:
        return otherwise
    return f"a deal that was signed goes on: `lilypad jobs get {job}` fetches its result"


def _check_numbers(wish: Wish) -> None:
    if wish.max_price is not None and not (wish.max_price.isascii() and wish.max_price.isdigit()):
        raise UserError(
            ExitCode.USAGE, f"--max-price {wish.max_price} is no whole number", "give base units, as in 1500"
        )
    if wish.check is not None and not 0 <= wish.check <= 1:
        raise UserError(ExitCode.USAGE, f"--check {wish.check} is no chance", "give a number from 0 to 1")
    if not 0 < wish.timeout < 1e9:
        raise UserError(ExitCode.USAGE, f"--timeout {wish.timeout} is out of range", "give seconds, more than 0")


def _paths(files: list[str]) -> dict[str, Path]:
    return {name: Path(path) for name, path in parse_pairs(files, "--input-file").items()}
