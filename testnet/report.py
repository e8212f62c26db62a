"""What a testnet did, in one document: deals, failures by cause, welfare, traffic, gas, times, money, resources.

The documents of jobs come from the clients that asked for them, money from the chain (`testnet.money`), traffic and
resources from samples of every peer's metrics. All times are in milliseconds, money in base units.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from node.errors import UserError
from testnet.load import JOBS_FILE, SAMPLES_FILE
from testnet.money import Books, read_books
from testnet.plan import SLOTS, Plan
from testnet.town import Town
from testnet.welfare import Wanted, welfare

FILE = "report.json"
PHASES = ("discover", "negotiate", "guarantee", "execute", "fetch", "verify", "settle", "total")
TRAFFIC = ("lilypad_p2p_frames_out_total", "lilypad_p2p_bytes_out_total", "lilypad_p2p_gossip_out_total")
GROWTH = {
    "memory": "process_resident_memory_bytes",
    "files": "process_open_fds",
    "tasks": "lilypad_tasks",
    "state": "lilypad_state_bytes",
}
"""What must level off, and the metric that tells."""


def build_report(town: Town) -> dict[str, Any]:
    """Everything there is to tell now; raises `UserError` where a client does not answer."""
    plan = town.plan
    asked = {line["job"]: line for line in read_lines(plan.folder / JOBS_FILE)}
    documents = _documents(town)
    samples = read_lines(plan.folder / SAMPLES_FILE)
    books = trio.run(read_books, plan)
    deals = [each for each in documents if each["deal"]]
    traffic = _traffic(samples)
    return {
        "testnet": {
            "name": plan.name,
            "engine": plan.engine,
            "chain": plan.chain,
            "peers": Counter(member.role for member in plan.members),
            "cheats": {member.name: member.kind for member in plan.members if not member.honest},
            "scenario": plan.scenario,
        },
        "jobs": len(documents),
        "deals": len(deals),
        "outcomes": Counter(each["outcome"] for each in documents),
        "failures": _failures(documents),
        "disputes": Counter(str(each["dispute"]["ruling"]) for each in documents if each.get("dispute")),
        "welfare": _welfare(plan, documents, asked),
        "messages_a_deal": _share(traffic["frames"], len(deals)),
        "bytes_a_deal": _share(traffic["bytes"], len(deals)),
        "gossip_a_deal": _share(traffic["gossip"], len(deals)),
        "gas_a_deal": _share(books.gas, len(deals)),
        "phases": {phase: _phase(documents, phase) for phase in PHASES},
        "money": _money(books, documents),
        "resources": _resources(samples),
        "series": _series(samples),
        "done": _done(asked, documents),
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines; empty where there is none. A line that was cut off by a crash is left out."""
    found = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def failed(report: Mapping[str, Any]) -> list[str]:
    """What in a report is not as it must be, whatever went wrong on the network; empty where all is well."""
    money = report["money"]
    found = []
    if report["outcomes"].get("RUNNING"):
        found.append(f"{report['outcomes']['RUNNING']} jobs have not ended")
    if not money["explained"]:
        found.append(f"money is missing or left over: the vault holds {money['held']}, accounts have {money['total']}")
    if money["slashed"]:
        found.append(f"honest peers lost money: {', '.join(money['slashed'])}")
    if money["overpaid"]:
        found.append(f"paid other than agreed: {', '.join(money['overpaid'])}")
    return found


def _documents(town: Town) -> list[dict[str, Any]]:
    found = []
    for member in town.plan.of("client"):
        for each in town.get(member, "/api/v1/jobs"):
            document = town.get(member, f"/api/v1/jobs/{each['job']}")
            found.append({**document, "client": member.name, "started": each["started"]})
    return sorted(found, key=lambda each: float(each["started"]))


def _failures(documents: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    bad = [each for each in documents if each["outcome"] not in ("DONE", "RUNNING")]
    return dict(Counter(f"{each['outcome']}: {_cause(each['reason'])}" for each in bad).most_common())


def _cause(reason: str) -> str:
    return " ".join("…" if any(sign.isdigit() for sign in word) and len(word) > 6 else word for word in reason.split())


def _welfare(
    plan: Plan, documents: Sequence[Mapping[str, Any]], asked: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    floors = {member.peer_id: member.floor for member in plan.of("provider")}
    wanted = []
    for each in documents:
        if each["job"] in asked:
            line, times = asked[each["job"]], each["milliseconds"]
            floor = floors.get(each["provider"]) if each["outcome"] == "DONE" else None
            held = (times["guarantee"] + times["execute"]) / 1000  # then its place is free
            wanted.append(Wanted(float(line["asked"]), int(line["worth"]), floor, held))
    return welfare(wanted, [member.floor for member in plan.of("provider") for _ in range(SLOTS)])


def _phase(documents: Sequence[Mapping[str, Any]], phase: str) -> dict[str, float | None]:
    times = [float(each["milliseconds"][phase]) for each in documents if each["outcome"] == "DONE"]
    return {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99)}


def _money(books: Books, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    wrong = [
        each["job"]
        for each in documents
        if each["outcome"] == "DONE" and each["price"]["paid"] != each["price"]["agreed"]
    ]
    return {
        "explained": books.explained,
        "held": str(books.held),
        "total": str(sum(each.ended for each in books.statements)),
        "slashed": books.slashed,
        "overpaid": wrong,
        "calls": books.calls,
        "gas": books.gas,
        "statements": [
            {
                "peer": each.peer,
                "kind": each.kind,
                "began": str(each.began),
                "ended": str(each.ended),
                "locked": str(each.locked),
                "moves": len(each.moved),
                "in": str(sum(move.amount for move in each.moved if move.amount > 0)),
                "out": str(-sum(move.amount for move in each.moved if move.amount < 0)),
            }
            for each in books.statements
        ],
    }


def _traffic(samples: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over all peers; a counter that fell began anew with its process."""
    last: dict[tuple[str, str], float] = {}
    total: Counter[str] = Counter()
    for sample in samples:
        for name in TRAFFIC:
            if name in sample:
                key, value = (sample["peer"], name), float(sample[name])
                before = last.get(key, 0.0)
                total[name] += value - before if value >= before else value  # type: ignore[assignment]
                last[key] = value
    frames, size, gossip = (float(total[name]) for name in TRAFFIC)
    return {"frames": frames, "bytes": size, "gossip": gossip}


def _resources(samples: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each peer and quantity: the first and last values, and the most."""
    found: defaultdict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for what, name in GROWTH.items():
        by_peer: defaultdict[str, list[float]] = defaultdict(list)
        for sample in samples:
            if name in sample:
                by_peer[sample["peer"]].append(float(sample[name]))
        for peer, values in by_peer.items():
            found[peer][what] = {"first": values[0], "last": values[-1], "most": max(values)}
    return dict(found)


def _series(samples: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[list[float]]]]:
    """For each quantity and peer: seconds since the first sample, and the value."""
    if not samples:
        return {}
    began = float(samples[0]["at"])
    found: dict[str, defaultdict[str, list[list[float]]]] = {what: defaultdict(list) for what in GROWTH}
    for sample in samples:
        for what, name in GROWTH.items():
            if name in sample:
                found[what][sample["peer"]].append([round(float(sample["at"]) - began, 1), float(sample[name])])
    return {what: dict(lines) for what, lines in found.items()}


def _done(asked: Mapping[str, Mapping[str, Any]], documents: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """When each job of the load ended, seconds from the first one's asking, in order: for a plot of progress."""
    rows = [each for each in documents if each["job"] in asked and each["outcome"] != "RUNNING"]
    if not rows:
        return []
    # by the load's clock: a client's own follows the chain's, which may have jumped
    moments = [(float(asked[each["job"]]["asked"]), each["milliseconds"]["total"] / 1000) for each in rows]
    began = min(at for at, _ in moments)
    ends = sorted(at - began + took for at, took in moments)
    return [[round(end, 2), float(number)] for number, end in enumerate(ends, 1)]


def _share(amount: float, count: int) -> float | None:
    return round(amount / count, 1) if count else None


def need_report(path: Path) -> dict[str, Any]:
    """A report that was written before; raises `UserError`."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        from node.errors import ExitCode

        raise UserError(ExitCode.USAGE, f"{path} is no report: {error}", "make one with testnet report") from None
    return found
