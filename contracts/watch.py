"""Looks after deals while their owner sleeps: answers claims in time, and warns while a window runs out.

`Watch` is the core: it is told what stands on chain and says what to do, and knows no clock and no network.
`run_watch` carries it out, for oneself or, as a delegate, for somebody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import trio

from contracts.client import Intent, Snapshot, VaultClient
from contracts.errors import ChainError
from protocol.deal import Deal, DealId
from protocol.errors import Misuse, PeerFault
from protocol.vault_calls import VaultCall
from protocol.vault_state import DealState, State

MARKS = (25, 50, 75)
"""Percent of a window after which a warning is due."""


class Side(Enum):
    """Whose deal it is."""

    PAYER = "payer"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class ClaimSeen:
    """The other side claimed something, or a jury is at work."""

    deal: DealId
    standing: DealState


@dataclass(frozen=True, slots=True)
class WindowPasses:
    """So much of the window to answer is over, and nothing was answered."""

    deal: DealId
    standing: DealState
    percent: int
    left: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class WindowMissed:
    """It is too late to answer."""

    deal: DealId
    standing: DealState


@dataclass(frozen=True, slots=True)
class Answer:
    """Send this now."""

    deal: DealId
    standing: DealState
    call: VaultCall


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """It could not be sent now, and is tried again."""

    deal: DealId
    standing: DealState
    call: VaultCall
    reason: str


Notice = ClaimSeen | WindowPasses | WindowMissed | Answer | NotAnswered


@dataclass
class _Watched:
    deal: Deal
    side: Side
    answers: dict[State, VaultCall]
    patience: int
    seen: tuple[State, int] | None = None
    """State and deadline of the claim that was told of last."""
    told: set[int] = field(default_factory=set)
    """Percentages that were warned of; 100: missed."""


class Watch:
    """Pure: deals in, notices out."""

    def __init__(self) -> None:
        self._watched: dict[DealId, _Watched] = {}

    def add(
        self,
        name: DealId,
        deal: Deal,
        side: Side,
        answers: Mapping[State, VaultCall] | None = None,
        *,
        patience: int = 0,
    ) -> None:
        """Look after a deal; ``answers`` are sent where a claim leads to that state.

        They are sent at once, or when ``patience`` percent of the time to answer are over.

        A provider answers `State.ABSENT` with `Redeem`, `Deliver` or `NoInputs`, a payer `State.DELIVERED` with
        `Settle` or `Contest`. Adding it again replaces answers and patience: later evidence is better evidence.
        """
        known = self._watched.get(name)
        if known is None:
            self._watched[name] = _Watched(deal, side, dict(answers or {}), patience)
        else:
            known.answers = known.answers if answers is None else dict(answers)
            known.patience = patience

    def drop(self, name: DealId) -> None:
        """Look after it no longer."""
        self._watched.pop(name, None)

    @property
    def names(self) -> tuple[DealId, ...]:
        """What must be read from the chain."""
        return tuple(self._watched)

    def observe(self, now: int, standings: Mapping[DealId, DealState]) -> tuple[Notice, ...]:
        """What follows from the chain as it stands; ``now`` is the newest block's moment, seconds of Unix time.

        An answer is said again until the claim is gone: sending it is the caller's, once by its name.
        """
        notices: list[Notice] = []
        for name, watched in list(self._watched.items()):
            standing = standings.get(name)
            if standing is None:
                continue
            if standing.state is State.CLOSED:
                del self._watched[name]
            elif _concerns(watched.side, standing):
                notices += self._claim(name, watched, standing, now)
            else:
                watched.seen = None
        return tuple(notices)

    def _claim(self, name: DealId, watched: _Watched, standing: DealState, now: int) -> list[Notice]:
        notices: list[Notice] = []
        claim = standing.state, standing.deadline
        if watched.seen != claim:
            watched.seen = claim
            watched.told = set()
            notices.append(ClaimSeen(name, standing))
        answer = watched.answers.get(standing.state)
        if now > standing.deadline:
            if 100 not in watched.told:
                watched.told.add(100)
                notices.append(WindowMissed(name, standing))
            return notices
        left = standing.deadline - now
        passed = 100 * (window(watched.deal, standing.state) - left) // window(watched.deal, standing.state)
        if answer is not None and passed >= watched.patience:
            notices.append(Answer(name, standing, answer))
        due = [mark for mark in MARKS if mark <= passed and mark not in watched.told]
        if due:
            watched.told.update(due)
            notices.append(WindowPasses(name, standing, due[-1], left))
        return notices


def window(deal: Deal, state: State) -> int:
    """How long the stage lasts that a deal is in, seconds."""
    if state is State.JURY:
        return deal.judge
    return deal.appeal if state is State.RULED else deal.answer


def _concerns(side: Side, standing: DealState) -> bool:
    match standing.state:
        case State.ABSENT:
            return side is Side.PROVIDER
        case State.DELIVERED:
            return side is Side.PAYER
        case State.JURY | State.RULED:
            return True
        case _:
            return False


Tell = Callable[[Notice], Awaitable[None]]


Look = Callable[[Sequence[DealId]], Awaitable[Snapshot]]


async def run_watch(client: VaultClient, look: Look, watch: Watch, tell: Tell, every: float) -> None:
    """Look every ``every`` seconds, send answers, tell everything; for ever.

    ``look`` reads the newest block, best as most of several endpoints have it. An answer is tried until the claim is
    gone or the window is over, since an endpoint may be away; what comes of it is told when it changes.
    """
    told: dict[DealId, str] = {}
    while True:
        try:
            names = watch.names
            seen = await look(names)
        except ChainError:
            pass  # the next look may succeed; warnings go by the chain's clock, so none is lost
        else:
            for notice in watch.observe(seen.head.timestamp, dict(zip(names, seen.deals, strict=True))):
                if not isinstance(notice, Answer):
                    await tell(notice)
                    continue
                failed = await _answer(client, notice)
                if told.get(notice.deal) != (said := f"{_intent(notice)}: {failed}"):
                    told[notice.deal] = said
                    await tell(notice if not failed else NotAnswered(notice.deal, notice.standing, notice.call, failed))
        await trio.sleep(every)


def _intent(answer: Answer) -> str:
    return f"answer:{answer.deal.hex()}:{answer.standing.state.name}:{answer.standing.deadline}"


async def _answer(client: VaultClient, answer: Answer) -> str:
    """Send it; why it could not be, empty where it was. One that fails must not keep the others from being sent."""
    try:
        await client.submit(Intent(_intent(answer), answer.call))
    except (ChainError, PeerFault, Misuse) as error:  # already answered, not possible now, or bad evidence in a copy
        return str(error) or type(error).__name__
    return ""
