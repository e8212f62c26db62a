"""The story of every job that this node's user asked for, and the document that `lilypad run --json` prints of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, assert_never

import trio

from agents.effects import Tell
from agents.reports import (
    Agreed,
    Arrived,
    Checked,
    Chosen,
    DisputeOpened,
    Ended,
    Held,
    InVault,
    JuryDrawn,
    Noted,
    Report,
    Ruled,
    Running,
    TalkOver,
    Tendering,
    Verdict,
    Voted,
)
from node.chain_link import Landed
from node.clock import Clock
from node.directory import Directory
from node.job_money import money_of
from node.store import Store
from protocol.deal import Deal
from protocol.eip712 import Domain
from protocol.identity import Address, PeerId, address_of_peer, show
from protocol.job import Run
from protocol.terms import MILLION
from protocol.vault_state import Outcome as VaultOutcome

Story = Sequence[tuple[int, float, dict[str, Any]]]
"""Number, moment and event, oldest first."""


class Jobs:
    """Stories, written as they happen and readable while they do."""

    def __init__(self, store: Store, clock: Clock, directory: Directory, domain: Domain) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._domain = domain
        self._changed: defaultdict[str, trio.Event] = defaultdict(trio.Event)
        self._job_of: dict[bytes, bytes] = {}
        self._landed: set[bytes] = set()
        for job, _, _, ended in store.jobs():
            if ended is None:
                for _, _, event in store.events(job):
                    if event["event"] == "agreed":
                        self._job_of[bytes.fromhex(event["deal"][2:])] = bytes.fromhex(job)

    def partners(self) -> Iterator[tuple[Address, Sequence[str]]]:
        """Providers of jobs that have not ended, with the multiaddrs where they were found."""
        for job, _, _, ended in self._store.jobs():
            if ended is None:
                for _, _, event in self._store.events(job):
                    if event["event"] == "agreed" and event.get("places"):
                        yield address_of_peer(PeerId(event["provider"])), event["places"]

    def begin(self, job: bytes, about: dict[str, Any]) -> None:
        """A user has asked for a job; ``about`` is what its document says of the module."""
        self._store.begin_job(job, self._clock.now(), about)

    def tell(self, tell: Tell) -> None:
        """An agent reports."""
        self._add(tell.job, self._event(tell.report))
        if isinstance(tell.report, Agreed):
            self._job_of[tell.report.deal.id(self._domain)] = tell.job
        if isinstance(tell.report, Ended):
            self._store.end_job(tell.job, tell.report.outcome.name, self.document(tell.job.hex()))

    def landed(self, landed: Landed) -> None:
        """A transaction of ours is on the chain."""
        job = self._job_of.get(landed.about[:32])
        if job is not None and landed.hash not in self._landed:
            self._landed.add(landed.hash)  # a call that was asked for twice is sent, and told, once
            event = {"event": "transaction", "hash": "0x" + landed.hash.hex(), "call": landed.call, "gas": landed.gas}
            self._add(job, event)

    async def follow(self, job: str, after: int = -1) -> AsyncIterator[tuple[int, float, dict[str, Any]]]:
        """A job's story from an event on, as it is written, to its end."""
        while True:
            changed = self._changed[job]
            for number, at, event in self._store.events(job, after):
                yield number, at, event
                after = number
                if event["event"] == "ended":
                    return
            await changed.wait()

    def document(self, job: str) -> dict[str, Any]:
        """What `lilypad run --json` prints, as far as it is known; the one who fetches the result adds its content."""
        found = self._store.job(job)
        if found is None:
            raise KeyError(job)
        started, about, document, _ = found
        story = self._store.events(job)
        if document is None:
            return build_document(job, about, started, story, self._domain)
        # a denied delivery may be judged after its job has ended
        return {**document, "dispute": _dispute(story), "money": money_of([event for _, _, event in story])}

    def _add(self, job: bytes, event: dict[str, Any]) -> None:
        self._store.add_event(job, self._clock.now(), event)
        self._changed.pop(job.hex(), trio.Event()).set()

    def _event(self, report: Report) -> dict[str, Any]:
        name = self._directory.name
        match report:
            case Tendering(contacted):
                return {"event": "tendering", "contacted": [name(who) for who in contacted]}
            case TalkOver(provider, by_us, reason, bid, ask, rounds):
                return {
                    "event": "talk over",
                    "provider": name(provider),
                    "by": "us" if by_us else "them",
                    "reason": reason,
                    "bid": None if bid is None else str(bid),
                    "ask": None if ask is None else str(ask),
                    "rounds": rounds,
                }
            case Chosen(provider, pay, doubt, others):
                return {
                    "event": "chosen",
                    "provider": name(provider),
                    "pay": str(pay),
                    "doubt": round(doubt, 4),
                    "others": [str(other) for other in others],
                }
            case Agreed(deal, terms, provider, rounds):
                mediators = [name(who) for who in terms.mediators]
                return {
                    "event": "agreed",
                    "deal": self._deal(deal),
                    "provider": name(provider),
                    "places": list(self._directory.places(provider)),
                    "pay": str(terms.pay),
                    "per": terms.unit,
                    "rate": str(terms.rate),
                    "rounds": rounds,
                    "mediators": mediators,
                    "checks": terms.check_ppm / MILLION,
                    "check_fee": str(terms.check_fee),
                    "check_payer": terms.check_payer,
                    "locks": str(deal.jc_share),
                    "provider_locks": str(deal.rp_share),
                    "cheat": str(deal.cheat),
                    "jurors": deal.jurors,
                    "juror_fee": str(deal.fee),
                }
            case InVault(deal):
                return {"event": "locked", "deal": self._deal(deal)}
            case Running(deal):
                return {"event": "running", "deal": self._deal(deal)}
            case Arrived(run):
                return {"event": "arrived", **_run(run)}
            case Held(run):
                return {"event": "held", "cid": run.cid}
            case Checked(verdict, mediators, reason):
                who = [name(mediator) for mediator in mediators]
                return {"event": "checked", "verdict": verdict.value, "mediators": who, "reason": reason}
            case DisputeOpened(deal, contested, reason, run):
                found = {} if run is None else {"claimed": run.cid}
                kind = "contested" if contested else "accused"
                return {"event": "dispute", "deal": self._deal(deal), "kind": kind, "reason": reason, **found}
            case JuryDrawn(round_, jurors):
                return {"event": "jury", "round": round_, "jurors": [name(who) for who in jurors]}
            case Voted(juror, round_, ruling, own):
                vote = {"event": "vote", "round": round_, "juror": name(juror), "ruling": _ruling(ruling)}
                return {**vote, "own": own} if own else vote
            case Ruled(round_, ruling, final):
                return {"event": "ruling", "round": round_, "ruling": _ruling(ruling), "final": final}
            case Noted(text):
                return {"event": "noted", "text": text}
            case Ended(outcome, reason, run, paid):
                found = {} if run is None else _run(run)
                return {"event": "ended", "outcome": outcome.name, "reason": reason, "paid": str(paid), **found}
            case _:
                assert_never(report)

    def _deal(self, deal: Deal) -> str:
        return "0x" + deal.id(self._domain).hex()


def _ruling(ruling: int) -> str:
    return VaultOutcome(ruling).name


def _run(run: Run) -> dict[str, Any]:
    return {
        "cid": run.cid,
        "exit_code": run.exit_code,
        "fuel": run.units,
        "profile": run.profile,
        "failure": run.failure,
    }


def build_document(job: str, about: dict[str, Any], started: float, story: Story, domain: Domain) -> dict[str, Any]:
    """The document of one job out of its story."""
    last: dict[str, dict[str, Any]] = {event["event"]: event for _, _, event in story}
    agreed, arrived = last.get("agreed", {}), last.get("arrived", {})
    checked, ended = last.get("checked", {}), last.get("ended", {})
    sent = [event for _, _, event in story if event["event"] == "transaction"]
    transactions = [{key: event[key] for key in ("hash", "call", "gas")} for event in sent]
    verdict = checked.get("verdict", Verdict.UNCHECKED.value)
    return {
        "job": job,
        "outcome": ended.get("outcome", "RUNNING"),
        "reason": ended.get("reason", ""),
        "deal": agreed.get("deal"),
        "module": about["module"],
        "provider": agreed.get("provider"),
        "price": {
            "agreed": agreed.get("rate"),
            "per": agreed.get("per"),
            "most": agreed.get("pay"),
            "paid": ended.get("paid", "0"),
        },
        "rounds": agreed.get("rounds", 0),
        "result": {
            "cid": arrived.get("cid"),
            "exit_code": arrived.get("exit_code"),
            "fuel": arrived.get("fuel"),
            "profile": arrived.get("profile"),
            "failure": arrived.get("failure", ""),
        },
        "money": money_of([event for _, _, event in story]),
        "dispute": _dispute(story),
        "verification": {
            "mode": about["compare"],
            "checked": verdict != Verdict.UNCHECKED.value,
            "mediators": checked.get("mediators", []),
            "verdict": verdict,
            "reason": checked.get("reason", ""),
        },
        "chain": {
            "id": domain.chain_id,
            "vault": show(domain.vault),
            "transactions": transactions,
            "gas": sum(event["gas"] for event in sent),
        },
        "milliseconds": _times(started, story),
    }


def _dispute(story: Story) -> dict[str, Any] | None:
    """Who accused whom of what, who judged it, and how it ended; None without a dispute."""
    opened = [event for _, _, event in story if event["event"] == "dispute"]
    if not opened:
        return None
    rulings = [event for _, _, event in story if event["event"] == "ruling"]
    return {
        "kind": opened[-1]["kind"],
        "reason": opened[-1]["reason"],
        "claimed": opened[-1].get("claimed"),
        "juries": [event["jurors"] for _, _, event in story if event["event"] == "jury"],
        "votes": [
            {key: event[key] for key in ("round", "juror", "ruling")}
            for _, _, event in story
            if event["event"] == "vote"
        ],
        "ruling": rulings[-1]["ruling"] if rulings else None,
        "final": bool(rulings) and rulings[-1]["final"],
    }


_PHASES = (
    ("discover", "tendering"),
    ("negotiate", "agreed"),
    ("guarantee", "locked"),
    ("execute", "arrived"),
    ("fetch", "held"),
    ("verify", "checked"),
    ("settle", "ended"),
)
"""Each phase and the event that ends it; it began when the phase before it ended."""


def _times(started: float, story: Story) -> dict[str, float]:
    moments = {event["event"]: at for _, at, event in story}
    times: dict[str, float] = {}
    before = started
    for phase, event in _PHASES:
        at = moments.get(event, before)
        times[phase] = round((at - before) * 1000, 1)
        before = at
    return {**times, "total": round((before - started) * 1000, 1)}
