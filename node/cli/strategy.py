"""``lilypad strategy``: find, make, test, measure and compare strategies."""

from __future__ import annotations

import json as json_format
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any, Protocol

from agents.arena import Measure, Scenario, Score, Side, outcome, talking
from agents.strategies.built_in import BUILT_IN
from agents.strategy import Answer, View
from node.cli.bargaining_picture import Bargaining, draw
from node.cli.ending import run_trio
from node.cli.tables import print_table
from node.config import Config
from node.errors import ExitCode, UserError
from node.strategies.finding import BuiltIn, find, installed
from node.strategies.worker import PluginFault, Worker, open_worker

DOMAIN = "100x100"
OPPONENTS = ("micro", "boulware", "linear", "conceder", "tit-for-tat")
TEMPLATE = '''"""A strategy for haggling over the price of a job, and whatever else is on the table."""

from agents.strategy import Accept, Counter, View, Walk


class {name}:
    """Asks for much at first, gives in slowly, and takes what is better than what it would ask for next."""

    def decide(self, view: View) -> Accept | Counter | Walk:
        wanted = 1.0 - 0.8 * view.time ** 2
        if view.acceptable() and view.utility(view.theirs) >= wanted:
            return Accept()
        if view.rounds_left <= 0:
            return Accept() if view.acceptable() else Walk("no agreement within the rounds")
        return Counter(view.offer_at(wanted))
'''


class Player(Protocol):
    """Anything that can be asked."""

    async def decide(self, view: View) -> Answer: ...


class AtOnce:
    """A built-in strategy; a new one for each talk, so that nothing learnt leaks from one measurement to the next."""

    def __init__(self, name: str) -> None:
        self._strategy = BUILT_IN[name]()

    async def decide(self, view: View) -> Answer:
        return self._strategy.decide(view)


Make = Callable[[], Player]


def ls(config: Config, json: bool) -> None:
    """What can be named."""
    rows = [{"name": name, "from": "built in"} for name in BUILT_IN]
    rows += [{"name": name, "from": value} for name, value in installed()]
    if json:
        print(json_format.dumps(rows, indent=2))
    else:
        print_table(("STRATEGY", "FROM"), [(row["name"], row["from"]) for row in rows])


def new(config: Config, name: str) -> None:
    """Write a working plugin."""
    words = [word for word in name.replace("-", "_").split("_") if word]
    if not name.replace("-", "_").isidentifier() or not words:
        raise UserError(ExitCode.USAGE, f"'{name}' can't be a file's and a class's name", "use letters and -")
    path, title = Path(f"{'_'.join(words).lower()}.py"), "".join(word[0].upper() + word[1:] for word in words)
    try:
        with path.open("x") as file:
            file.write(TEMPLATE.format(name=title))
    except FileExistsError:
        raise UserError(ExitCode.USAGE, f"{path} exists already", "choose another name, or another folder") from None
    print(f"./{path}:{title}")


def bench(config: Config, reference: str, domains: int, rounds: int, json: bool) -> None:
    """How it does against the built-in strategies, as a buyer and as a seller."""
    rows = run_trio(lambda: _bench(reference, OPPONENTS, domains, rounds))
    if json:
        print(json_format.dumps({"strategy": reference, "rows": rows}, indent=2))
        return
    heads = ("OPPONENT", "AGREED", "UTILITY", "OPPONENT'S", "PARETO", "NASH", "A CPU SECOND")
    keys = ("agreement_rate", "utility", "opponent_utility", "pareto_distance", "nash_distance")
    print_table(
        heads,
        [(row["opponent"], *(_figure(row[key]) for key in keys), f"{row['per_cpu_second']:.0f}") for row in rows],
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


async def _bench(reference: str, opponents: tuple[str, ...], domains: int, rounds: int) -> list[dict[str, Any]]:
    measures = _measures(domains)
    async with AsyncExitStack() as stack:
        mine = await _player(stack, reference)
        return [await _row(mine, opponent, partial(AtOnce, opponent), measures, rounds) for opponent in opponents]


async def _row(mine: Make, name: str, theirs: Make, measures: list[Measure], rounds: int) -> dict[str, Any]:
    began = time.process_time()
    scores = await _meet(mine, theirs, measures, rounds)
    spent = time.process_time() - began
    made = [score for _, _, score in scores if score.agreed]
    return {
        "opponent": name,
        "domain": DOMAIN,
        "negotiations": len(scores),
        "agreement_rate": len(made) / len(scores),
        "utility": fmean(own for own, _, _ in scores),
        "opponent_utility": fmean(other for _, other, _ in scores),
        "pareto_distance": fmean(score.pareto for score in made) if made else None,
        "nash_distance": fmean(score.nash for score in made) if made else None,
        "per_cpu_second": len(scores) / max(spent, 1e-9),
    }


async def _meet(mine: Make, theirs: Make, measures: list[Measure], rounds: int) -> list[tuple[float, float, Score]]:
    """Own and other utility and the score of each domain, played from both sides."""
    found = []
    for measure in measures:
        agreed, _ = await _talk(mine(), theirs(), measure.scenario, rounds)
        score = measure.score(agreed)
        found.append((score.buyer, score.seller, score))
        agreed, _ = await _talk(theirs(), mine(), measure.scenario, rounds)
        score = measure.score(agreed)
        found.append((score.seller, score.buyer, score))
    return found


async def _talk(
    buyer: Player, seller: Player, scenario: Scenario, rounds: int
) -> tuple[tuple[int, int] | None, list[tuple[int, int]]]:
    rng = Random(0)
    sides = [Side(BUILT_IN["micro"](), scenario.mandate(role), rounds, rng) for role in ("buyer", "seller")]
    talk = talking(sides[0], sides[1])
    answer: Answer | None = None
    while True:
        try:
            side, view = next(talk) if answer is None else talk.send(answer)
        except StopIteration as end:
            agreed, history = end.value
            return None if agreed is None else outcome(agreed), [outcome(terms) for terms in history]
        try:
            answer = await (buyer if side is sides[0] else seller).decide(view)
        except PluginFault as fault:
            raise UserError(
                ExitCode.JOB_FAILED, f"the strategy failed: {fault}", "try `lilypad strategy test`"
            ) from None


async def _player(stack: AsyncExitStack, reference: str) -> Make:
    found = find(reference)
    if isinstance(found, BuiltIn):
        return lambda: AtOnce(found.name)
    worker: Worker = await stack.enter_async_context(open_worker(found))
    return lambda: worker


def _measures(domains: int) -> list[Measure]:
    measures = [Measure(Scenario.draw(seed)) for seed in range(domains)]
    return [measure for measure in measures if measure.zone]


# --- the conformance kit ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a strategy should do."""

    name: str
    passed: bool
    note: str = ""


def test(config: Config, reference: str, json: bool) -> None:
    """Whether a strategy keeps the rules of the house."""
    checks = run_trio(lambda: _test(reference))
    if json:
        rows = [{"check": it.name, "passed": it.passed, "note": it.note} for it in checks]
        print(json_format.dumps({"strategy": reference, "passed": all(it.passed for it in checks), "checks": rows}))
    else:
        for it in checks:
            print(f"{'ok    ' if it.passed else 'FAILED'}  {it.name}{f': {it.note}' if it.note else ''}")
    if not all(it.passed for it in checks):
        raise UserError(ExitCode.NOT_VERIFIED, "the strategy does not keep the rules", "see docs/strategies.md")


async def _test(reference: str) -> list[Check]:
    checks: list[Check] = []
    async with AsyncExitStack() as stack:
        mine = await _player(stack, reference)
        checks.append(Check("it can be loaded", True))
        try:
            checks += await _rules_kept(mine)
        except PluginFault as fault:
            checks.append(Check("it answers every question in time with an answer", False, str(fault)))
        else:
            checks.append(Check("it answers every question in time with an answer", True))
    return checks


async def _rules_kept(mine: Make) -> list[Check]:
    measures = _measures(6)
    slowest, outside, unwise, asked = 0.0, 0, 0, 0
    deals = 0
    for measure in measures:
        for role in ("buyer", "seller"):
            rng = Random(1)
            sides = {
                it: Side(BUILT_IN["linear"](), measure.scenario.mandate(it), 30, rng) for it in ("buyer", "seller")
            }
            own, player = sides[role], mine()
            talk = talking(sides["buyer"], sides["seller"])
            answer: Answer | None = None
            while True:
                try:
                    side, view = next(talk) if answer is None else talk.send(answer)
                except StopIteration as end:
                    deals += end.value[0] is not None
                    break
                if side is not own:
                    answer = side.strategy.decide(view)
                    continue
                began = time.perf_counter()
                answer = await player.decide(view)
                slowest, asked = max(slowest, time.perf_counter() - began), asked + 1
                terms = getattr(answer, "terms", None)
                outside += terms is not None and not view.mandate.admits(terms)
                unwise += type(answer).__name__ == "Accept" and not view.acceptable()
    total = 2 * len(measures)
    return [
        Check(
            "it proposes only what its mandate admits (the node would clamp it)",
            outside == 0,
            f"{outside} of {asked}" if outside else "",
        ),
        Check(
            "it accepts only what its mandate admits (the node would walk away)",
            unwise == 0,
            f"{unwise} times" if unwise else "",
        ),
        Check("it thinks for less than half a second", slowest < 0.5, f"{slowest * 1000:.1f} ms at most"),
        Check("it makes deals with a linear opponent", deals > total // 2, f"{deals} of {total}"),
    ]


# --- the tournament --------------------------------------------------------------------------------------------------


def tournament(
    config: Config, references: list[str], domains: int, rounds: int, picture: Path | None, json: bool
) -> None:
    """Everybody against everybody: a leaderboard, and the picture of one talk between the two best."""
    names = list(dict.fromkeys(references or OPPONENTS))
    if len(names) < 2:
        names += [name for name in OPPONENTS if name not in names]
    board, seen = run_trio(lambda: _tournament(names, domains, rounds))
    if picture is not None:
        picture.write_text(draw(seen, board[0]["strategy"], board[1]["strategy"]))
    if json:
        print(json_format.dumps({"domain": DOMAIN, "rounds": rounds, "rows": board}, indent=2))
        return
    heads = ("", "STRATEGY", "UTILITY", "+- 95 %", "AGREED", "TALKS")
    print_table(
        heads,
        [
            (
                place,
                row["strategy"],
                f"{row['utility']:.3f}",
                f"{row['confidence']:.3f}",
                f"{row['agreement_rate']:.3f}",
                row["negotiations"],
            )
            for place, row in enumerate(board, 1)
        ],
    )
    if picture is not None:
        print(f"picture of a talk: {picture}")


async def _tournament(names: list[str], domains: int, rounds: int) -> tuple[list[dict[str, Any]], Bargaining]:
    measures = _measures(domains)
    gained: dict[str, list[float]] = {name: [] for name in names}
    agreed: dict[str, int] = dict.fromkeys(names, 0)
    async with AsyncExitStack() as stack:
        players = {name: await _player(stack, name) for name in names}
        for i, one in enumerate(names):
            for other in names[i:]:
                for own, theirs, score in await _meet(players[one], players[other], measures, rounds):
                    gained[one].append(own)
                    gained[other].append(theirs)
                    agreed[one] += score.agreed
                    agreed[other] += score.agreed
        board = [
            {
                "strategy": name,
                "utility": fmean(values),
                "confidence": 1.96 * stdev(values) / math.sqrt(len(values)),
                "agreement_rate": agreed[name] / len(values),
                "negotiations": len(values),
            }
            for name, values in gained.items()
        ]
        board.sort(key=lambda row: -float(str(row["utility"])))
        first, second = (players[str(row["strategy"])] for row in board[:2])
        shown = measures[0]
        deal, proposals = await _talk(first(), second(), shown.scenario, rounds)
    utilities = shown.scenario.utilities
    seen = Bargaining(
        [utilities(*it) for it in proposals],
        None if deal is None else utilities(*deal),
        shown.front,
        shown.best,
        (shown.scenario.buyer_reserve, shown.scenario.seller_reserve),
    )
    return board, seen
