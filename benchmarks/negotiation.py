"""How good and how fast the built-in strategies haggle, beside NegMAS's BOA negotiators in the same run.

A domain has two issues of 100 values each, price and delivery; each side's utility is linear with random weights in
[0.2, 0.8] and a random reserve in [0, 0.3]. Talks are alternating offers over a number of
rounds, one offer a side each.

    python benchmarks/negotiation.py [--domains 40] [--rounds 60] [--parity 1000] [--json FILE]

NegMAS (0.16) is an optional extra: without it (`pip install -e .[negmas]`) its columns are left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents.arena import SIZE, Measure, Scenario, Side, outcome, talk
from agents.strategies.built_in import BUILT_IN

CONCESSION = ("boulware", "linear", "conceder", "tit-for-tat")

Player = Callable[[Scenario, int], tuple[int, int] | None]


def ours(buyer: str, seller: str, scenario: Scenario, rounds: int) -> tuple[int, int] | None:
    """One talk between two of the built-in strategies."""
    rng = Random(0)
    agreed, _ = talk(
        Side(BUILT_IN[buyer](), scenario.mandate("buyer"), rounds, rng),
        Side(BUILT_IN[seller](), scenario.mandate("seller"), rounds, rng),
    )
    return None if agreed is None else outcome(agreed)


BOA_EXPONENTS = {"boulware": 4.0, "linear": 1.0, "conceder": 0.25}


def boa(buyer: str, seller: str, scenario: Scenario, rounds: int) -> tuple[int, int] | None:
    """The same talk between two of NegMAS's negotiators: a time-based offering policy and AC_next."""
    from negmas import PolyAspiration, make_issue
    from negmas.gb.components import ACNext, TimeBasedOfferingPolicy
    from negmas.outcomes import make_os
    from negmas.preferences import LinearAdditiveUtilityFunction
    from negmas.preferences.value_fun import AffineFun
    from negmas.sao import SAOMechanism
    from negmas.sao.negotiators.modular.boa import BOANegotiator

    space = make_os([make_issue(SIZE, "price"), make_issue(SIZE, "delivery")])
    down, up = AffineFun(slope=-1 / (SIZE - 1), bias=1.0), AffineFun(slope=1 / (SIZE - 1), bias=0.0)
    mechanism = SAOMechanism(outcome_space=space, n_steps=rounds)
    for kind, shape, weight, reserve in (
        (buyer, down, scenario.buyer, scenario.buyer_reserve),
        (seller, up, scenario.seller, scenario.seller_reserve),
    ):
        utility = LinearAdditiveUtilityFunction(
            values=[shape, shape], weights=[weight, 1 - weight], outcome_space=space, reserved_value=reserve
        )
        offering = TimeBasedOfferingPolicy(curve=PolyAspiration(1.0, BOA_EXPONENTS[kind]))
        mechanism.add(BOANegotiator(offering=offering, acceptance=ACNext(offering), ufun=utility))
    state = mechanism.run()
    return None if state.agreement is None else (int(state.agreement[0]), int(state.agreement[1]))


def play(player: Player, measures: list[Measure], rounds: int) -> dict[str, float]:
    """One row of the table."""
    gc.collect()
    began = time.process_time()
    agreed = [player(measure.scenario, rounds) for measure in measures]
    spent = time.process_time() - began
    scores = [measure.score(it) for measure, it in zip(measures, agreed, strict=True)]
    made = [score for score in scores if score.agreed] or scores
    return {
        "agreement_rate": fmean(score.agreed for score in scores),
        "utility": fmean(score.buyer for score in scores),
        "opponent_utility": fmean(score.seller for score in scores),
        "welfare": fmean(score.welfare for score in scores),
        "pareto_distance": fmean(score.pareto for score in made),
        "nash_distance": fmean(score.nash for score in made),
        "per_cpu_second": len(measures) / max(spent, 1e-9),
    }


HEAD = (
    f"{'buyer / seller':26}{'agree':>7}{'u buyer':>9}{'u seller':>9}{'W/Wmax':>8}{'Pareto':>8}{'Nash':>7}{'a CPU s':>9}"
)


def line(name: str, row: dict[str, float]) -> str:
    """One row as text."""
    return (
        f"{name:26}{row['agreement_rate']:7.3f}{row['utility']:9.3f}{row['opponent_utility']:9.3f}"
        f"{row['welfare']:8.4f}{row['pareto_distance']:8.4f}{row['nash_distance']:7.3f}{row['per_cpu_second']:9.1f}"
    )


def goals(rows: dict[str, dict[str, float]], parity: dict[str, float], speed: dict[str, float]) -> Iterator[tuple]:
    """Each goal, its bound and the figure."""
    own = rows["micro/micro"]
    with_default = [
        row for name, row in rows.items() if "micro" in name and "fixed" not in name and "market" not in name
    ]
    yield (
        "the default agrees with itself and each concession",
        ">= 1",
        min(r["agreement_rate"] for r in with_default),
        1.0,
    )
    yield "the default's W/Wmax against itself", ">= .98", own["welfare"], 0.98
    yield "the default's Pareto distance against itself", "<= .005", -own["pareto_distance"], -0.005
    yield "the default's utility against boulware, as buyer", ">= .45", rows["micro/boulware"]["utility"], 0.45
    yield (
        "the default's utility against boulware, as seller",
        ">= .45",
        rows["boulware/micro"]["opponent_utility"],
        0.45,
    )
    for name, share in parity.items():
        yield f"agreements identical to BOA's, {name}", ">= .98", share, 0.98
    for name, ratio in speed.items():
        yield f"speed, cold, in multiples of BOA's, {name}", ">= 10", ratio, 10.0


def main() -> int:
    """Print the table and the goals; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--domains", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--parity", type=int, default=1000, help="domains for the comparison with BOA, deal by deal")
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    measures = [Measure(Scenario.draw(seed)) for seed in range(wish.domains)]
    measures = [measure for measure in measures if measure.zone]
    pairs = [("micro", "micro")]
    pairs += [pair for other in (*CONCESSION, "combi", "market") for pair in (("micro", other), (other, "micro"))]
    pairs += [(name, name) for name in (*CONCESSION, "market")] + [("boulware", "conceder")]
    print(f"{len(measures)} domains of {SIZE} x {SIZE} outcomes, {wish.rounds} rounds\n{HEAD}")
    rows: dict[str, dict[str, float]] = {}
    for buyer, seller in pairs:
        rows[f"{buyer}/{seller}"] = play(partial(ours, buyer, seller), measures, wish.rounds)
        print(line(f"{buyer} / {seller}", rows[f"{buyer}/{seller}"]), flush=True)
    parity: dict[str, float] = {}
    speed: dict[str, float] = {}
    try:
        warnings.filterwarnings("ignore")
        boa("linear", "linear", measures[0].scenario, 5)  # imports are not what is measured
    except ImportError:
        print("NegMAS is not installed: no comparison", file=sys.stderr)
    else:
        boa_pairs = [(name, name) for name in BOA_EXPONENTS] + [("boulware", "conceder")]
        for buyer, seller in boa_pairs:
            rows[f"BOA {buyer}/{seller}"] = row = play(partial(boa, buyer, seller), measures, wish.rounds)
            print(line(f"BOA {buyer} / {seller}", row), flush=True)
            speed[f"{buyer}/{seller}"] = rows[f"{buyer}/{seller}"]["per_cpu_second"] / row["per_cpu_second"]
        each = max(1, wish.parity // len(boa_pairs))
        for number, (buyer, seller) in enumerate(boa_pairs):
            scenarios = [Scenario.draw(10_000 + number * each + i) for i in range(each)]
            same = [ours(buyer, seller, it, 100) == boa(buyer, seller, it, 100) for it in scenarios]
            parity[f"{buyer}/{seller}"] = fmean(same)
            print(f"{buyer} / {seller}: {sum(same)} of {each} domains end in the same deal as BOA's", flush=True)
    print(f"\n{'goal':58}{'bound':>8}{'reached':>10}")
    missed = 0
    for text, bound, value, least in goals(rows, parity, speed):
        missed += value < least
        print(f"{text:58}{bound:>8}{abs(value):10.4f}  {'ok' if value >= least else 'MISSED'}")
    if wish.json:
        wish.json.write_text(json.dumps({"rows": rows, "parity": parity, "speed": speed}, indent=2))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
