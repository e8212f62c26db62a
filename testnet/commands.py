"""What each of ``lilypad testnet``'s commands does."""

from __future__ import annotations

import json as json_format
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import typer

from node.cli.ending import run_trio
from node.cli.progress import Progress
from node.cli.strategies import check_strategy
from node.cli.tables import print_table
from node.errors import ExitCode, UserError
from testnet.containers import need_image
from testnet.engine import side_by_side
from testnet.faults import Fault, parse_words, peers_of, words_of
from testnet.load import need_ended, run_load
from testnet.plan import CHAIN, FILE, Member
from testnet.scenario import Load, Scenario, check_scenario, load_scenario
from testnet.town import Town, make, node_variables
from testnet.trouble import inflict, revive

IMAGE = "lilypad:latest"


def begin(folder: Path, scenario: Path | None, peers: dict[str, Any], chain: str, processes: bool, image: str) -> None:
    """Make a testnet and wait until it can be used; nothing stays where that fails."""
    if chain not in ("anvil", "py-evm"):
        raise UserError(ExitCode.USAGE, f"--chain {chain}", "choose anvil or py-evm")
    found = load_scenario(scenario) if scenario else Scenario()
    found = check_scenario(replace(found, peers=replace(found.peers, **peers)))
    if found.peers.strategy:
        check_strategy(found.peers.strategy)
    engine: Literal["processes", "containers"] = "processes" if processes else "containers"
    if not processes:
        need_image(image or IMAGE)
    town = make(folder, found, engine, cast(Literal["anvil", "py-evm"], chain), image or IMAGE)
    progress = Progress(quiet=False)
    try:
        _name_all(town, [timed.fault for timed in found.faults])
        town.up(progress.say)
    except BaseException:
        progress.say("ending what was started")
        down(folder, keep=False)
        raise
    progress.say(f"`lilypad testnet run cowsay:v0.1 hello` buys something; {folder} has all there is to see")


def ps(folder: Path, json: bool) -> None:
    """Everybody's state, and what they say of themselves."""
    town = Town.at(folder)
    states, rows = town.engine.states(), []
    for member in town.plan.members:
        status = _status(town, member) if states[member.name] == "running" else None
        money = (status or {}).get("money", {})
        rows.append(
            {
                "peer": member.name,
                "kind": member.kind,
                "state": states[member.name],
                "connected": len(status["peers"]) if status else None,
                "free": money.get("free"),
                "locked": money.get("locked"),
                "stake": money.get("stake"),
                "http": town.url(member),
                "place": member.place,
            }
        )
    rows.append({"peer": CHAIN, "kind": town.plan.chain, "state": states[CHAIN], "http": town.plan.rpc})
    if json:
        print(json_format.dumps(rows, indent=2))
        return
    heads = ("peer", "kind", "state", "connected", "free", "locked", "stake", "http")
    shown = [["" if row.get(head) is None else row[head] for head in heads] for row in rows]
    print_table([head.upper() for head in heads], shown)


def logs(folder: Path, peer: str, follow: bool) -> None:
    """Become the command that shows them."""
    town = Town.at(folder)
    if peer != CHAIN:
        town.plan.member(peer)
    _become(town.engine.logs(peer, follow), dict(os.environ), stderr=subprocess.STDOUT)  # a node logs to stderr


def shell(folder: Path, peer: str) -> None:
    """Become a shell."""
    town = Town.at(folder)
    words, given = town.engine.shell(town.plan.member(peer).name)
    if "PWD" in given:
        os.chdir(given["PWD"])
    _become(words, {**os.environ, **given})


def run(folder: Path, client: str, arguments: list[str]) -> None:
    """`lilypad run`, spoken to that client's node."""
    town = Town.at(folder)
    member = town.plan.member(client)
    if member.role != "client":
        raise UserError(ExitCode.USAGE, f"{client} buys nothing", "name a client with --client")
    _become([sys.executable, "-m", "testnet", "run", *arguments], node_variables(town, member))


def load(folder: Path, jobs: int | None, rate: float | None, within: float, json: bool) -> None:
    """The scenario's load and faults, or as many jobs as wanted."""
    town = Town.at(folder)
    wanted = dict(town.plan.scenario["load"])
    wanted |= {key: value for key, value in (("jobs", jobs), ("rate", rate)) if value is not None}
    chosen = Load(**{**wanted, "worth": tuple(wanted["worth"])})
    check_scenario(Scenario(load=chosen))
    faults = planned_faults(town)
    progress = Progress(quiet=json)
    began = time.monotonic()
    progress.say(f"{chosen.jobs} jobs of {chosen.module} at {chosen.rate:g} a second")
    done = run_trio(lambda: run_load(town, chosen, faults, progress.say, within=within))
    outcomes: dict[str, int] = {}
    for outcome in done.ended.values():
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    seconds = time.monotonic() - began
    if json:
        found = {"asked": done.asked, "outcomes": outcomes, "open": len(done.open), "lost": done.lost}
        print(json_format.dumps({**found, "seconds": round(seconds, 1)}, indent=2))
    else:
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"{done.asked} jobs in {seconds:.0f} s: {said or 'none ended'}")
    need_ended(done)


def planned_faults(town: Town) -> list[tuple[float, Fault]]:
    """The scenario's faults and their moments."""
    return [(entry["at"], parse_words(entry["fault"])) for entry in town.plan.scenario["faults"]]


def fault(folder: Path, words: Sequence[str]) -> None:
    """Break something now; waits for the end of what lasts a while."""
    town = Town.at(folder)
    wanted = parse_words(words)
    _name_all(town, [wanted])
    undo = inflict(town, wanted)
    lasts = getattr(wanted, "lasts", None)
    Progress(quiet=False).say(" ".join(words_of(wanted)))
    if undo is not None and lasts is not None:
        try:
            time.sleep(lasts)
        finally:
            undo()
        Progress(quiet=False).say("over")


def restart(folder: Path, peers: Sequence[str]) -> None:
    """Kill them all, then start them all."""
    town = Town.at(folder)
    names = [town.plan.member(name).name for name in peers] or [member.name for member in town.plan.members]
    states = town.engine.states()
    side_by_side(town.engine.kill, [name for name in names if states[name] != "gone"])
    side_by_side(lambda name: revive(town, name), names)
    town.wait_until_ready()


def trace(folder: Path, deal: str, json: bool) -> None:
    """Read everybody's log."""
    from testnet.trace import show_trace
    from testnet.trace import trace as follow

    town = Town.at(folder)
    logs = [(member.name, town.log_lines(member.name)) for member in town.plan.members]
    steps = follow(town.plan, logs, deal)
    if json:
        print(json_format.dumps(steps, indent=2))
    else:
        print("\n".join(show_trace(steps)))


def report(folder: Path, simulate: bool, json: bool) -> None:
    """Write it, and say it in short."""
    from testnet.page import write_page
    from testnet.report import FILE as REPORT
    from testnet.report import build_report, failed
    from testnet.simulated import simulate as play

    town = Town.at(folder)
    found = build_report(town)
    found["simulated"] = play(town.plan) if simulate else None
    (folder / REPORT).write_text(json_format.dumps(found, indent=2) + "\n")
    write_page(found, folder / "report.html")
    wrong = failed(found)
    if json:
        print(json_format.dumps({**found, "wrong": wrong}, indent=2))
    else:
        from testnet.page import summary

        print("\n".join(f"{name:22} {value}" for name, value in summary(found)))
        print(f"{'page':22} {folder / 'report.html'}")
    if wrong:
        raise UserError(ExitCode.NOT_VERIFIED, "; ".join(wrong), "see report.json, and `lilypad testnet trace DEAL`")


def down(folder: Path, keep: bool) -> None:
    """End everything; also what a broken start has left."""
    town = Town.at(folder)
    town.down()
    if not keep:
        assert (folder / FILE).exists()
        shutil.rmtree(folder)


def _name_all(town: Town, faults: Sequence[Fault]) -> None:
    for each in faults:
        for name in peers_of(each):
            town.plan.member(name)


def _status(town: Town, member: Member) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = town.get(member, "/api/v1/status")
    except UserError:
        return None
    return found


def _become(words: list[str], variables: dict[str, str], stderr: int | None = None) -> None:
    sys.stdout.flush()
    done = subprocess.run(words, env=variables, stderr=stderr, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
