"""``lilypad jobs``: what a running node knows of the jobs that its user asked for."""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from node.cli.ending import run_trio
from node.cli.progress import Progress, counted, printable, short, still_locked, tell, won_or_lost
from node.cli.tables import print_event, print_table
from node.config import Config
from node.errors import ExitCode, UserError
from node.parsing import job_path


def _ask(config: Config, path: str, method: str = "get") -> Any:
    from node.client import need_node

    async def ask() -> Any:
        async with need_node(config.home) as client:
            return await (client.get(path) if method == "get" else client.post(path))

    return run_trio(ask)


def ls(config: Config, json: bool) -> None:
    """All jobs, newest first."""
    found = _ask(config, "/api/v1/jobs")
    if json:
        print(json_format.dumps(found, indent=2))
        return
    rows = []
    for job in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["started"]))
        rows.append((job["job"], f"{job['module']['name']}:{job['module']['version']}", when, job["outcome"]))
    print_table(("JOB", "MODULE", "ASKED FOR AT", "OUTCOME"), rows)


def show(config: Config, job: str, json: bool, record: Path | None) -> None:
    """A job's document, or its story; or the record of its dispute, into a file."""
    if record is not None:
        _write_record(config, job, record)
        if json:
            print(json_format.dumps({"job": job, "record": str(record.resolve())}, indent=2))
        return
    document = _ask(config, job_path(job))
    if json:
        print(json_format.dumps(document, indent=2))
        return
    story = _ask(config, job_path(job, "story"))
    for line in (*_summary(document), *(tell(event) for event in story if event["event"] in _OF_A_DISPUTE)):
        print(printable(line))
    if said := still_locked(document):
        print(said)


_OF_A_DISPUTE = frozenset({"dispute", "jury", "vote", "ruling"})


def _summary(document: dict[str, Any]) -> Iterator[str]:
    """What a job has come to so far; only what there is."""
    module, price, result = document["module"], document["price"], document["result"]
    yield f"{module['name']}:{module['version']}  {document['outcome']}  {document['reason']}".rstrip()
    if document["provider"] is None:
        yield "no deal"
    else:
        yield f"provider {document['provider']}  agreed {price['agreed']} per {price['per']}  paid {price['paid']}"
    if result["cid"] is None:
        yield "no result"
    else:
        yield f"result {result['cid']}  exit code {result['exit_code']}"
    if document["deal"] is not None:
        yield f"deal {document['deal']}  {document['chain']['gas']:,} gas"
    if money := document.get("money"):
        locked = money["locked"]
        bond = f", and a bond of {locked['bond']} by us" if locked["bond"] != "0" else ""
        yield f"locked {locked['ours']} by us, {locked['provider']} by the provider{bond}"
        if money["check_fees"] != "0":
            yield f"checks cost {money['check_fees']}"
        if (ruling := money["ruling"]) is not None:
            yield f"the ruling: {won_or_lost(ruling)}"


def logs(config: Config, job: str, follow: bool, json_lines: bool) -> None:
    """Every event of a job's story, and with ``follow`` those to come."""
    from node.client import need_node

    async def go() -> None:
        async with need_node(config.home) as client:
            if follow:
                async for event in client.follow(job):
                    _log(event, json_lines)
            else:
                for event in await client.get(job_path(job, "story")):
                    _log(event, json_lines)

    run_trio(go)


def _log(event: dict[str, Any], json_lines: bool) -> None:
    if json_lines:
        print_event(event)
        return
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"])) + f"{event['at'] % 1:.3f}"[1:]
    print(printable(f"{moment}  {event['event']:12} {_explained(event) or tell(event)}".rstrip()), flush=True)


def _write_record(config: Config, job: str, place: Path) -> None:
    if place.exists():
        raise UserError(ExitCode.USAGE, f"{place} exists already", "name a new file with --record")
    place.write_text(json_format.dumps(_ask(config, job_path(job, "record")), indent=1) + "\n")
    Progress(quiet=False).say(f"anybody can check it: `lilypad dispute verify {place}`")


def explain(config: Config, job: str, json: bool) -> None:
    """Who was asked, who said no to what and when, and why the one that got it did: all from this node's own story."""
    story = _ask(config, job_path(job, "story"))
    if json:
        print(json_format.dumps(story, indent=2))
        return
    began = story[0]["at"] if story else 0.0
    for event in story:
        line = _explained(event)
        if line:
            print(f"{event['at'] - began:7.2f} s  {printable(line)}")


def _explained(event: dict[str, Any]) -> str:
    match event["event"]:
        case "tendering":
            many = counted(len(event["contacted"]), "provider")
            return f"asked {many}: {', '.join(map(short, event['contacted']))}"
        case "talk over":
            who = "we left" if event["by"] == "us" else "they left"
            money = f"we bid {event['bid'] or 'nothing'}, they asked {event['ask'] or 'nothing'}"
            return (
                f"{short(event['provider'])}: no deal, {who}: {event['reason']} ({money}, {event['rounds']} proposals)"
            )
        case "chosen":
            others = event["others"]
            rest = f"the others wanted {', '.join(others)}" if others else "nobody else held a machine for us"
            doubt = f"; broke its word before, doubt {event['doubt']:.0%}" if event["doubt"] else ""
            return f"{short(event['provider'])}: chosen at {event['pay']}; {rest}{doubt}"
        case "agreed":
            checks = _checks_of(event)
            return f"{short(event['provider'])}: signed at {event['pay']} after {event['rounds']} proposals{checks}"
        case "noted":
            return str(event["text"])
        case "checked":
            return f"result {event['verdict']}: {event['reason']}"
        case "dispute" | "jury" | "vote" | "ruling":
            return tell(event)
        case "transaction":
            return f"on chain: {event['call']}, {event['gas']:,} gas, {event['hash']}"
        case "ended":
            return f"ended: {event['outcome']}, {event['reason']}"
        case _:
            return ""


def _checks_of(agreed: dict[str, Any]) -> str:
    """How many results are checked at most, and who pays for that; nothing in stories from before it was told."""
    if "check_payer" not in agreed:
        return ""
    theirs = agreed["check_payer"]
    bears = {0: "we bear all of it", 100: "the provider bears all of it"}.get(theirs, f"the provider bears {theirs} %")
    fee = f"; a mediator's check costs {agreed['check_fee']}, and {bears}" if agreed["check_fee"] != "0" else ""
    return f"; {agreed['checks']:.0%} of results are checked{fee}"


def cancel(config: Config, job: str) -> None:
    """Drop a job that has no deal yet."""
    deal = _ask(config, job_path(job, "cancel"), "post")["deal"]
    if deal is None:
        said = "told the node to drop it; it has no deal"
    else:
        said = f"its deal is signed and goes on: `lilypad jobs get {job}` fetches the result"
    Progress(quiet=False).say(said)
