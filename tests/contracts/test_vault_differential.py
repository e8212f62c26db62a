"""Thousands of random calls: the model predicts every answer of both implementations, and every balance after it."""

from __future__ import annotations

import os

from tests.contracts.fuzz_vault import fuzz_together
from tests.contracts.solidity import solidity_creation

SECONDS = float(os.environ.get("LILYPAD_FUZZ_SECONDS", "60"))
ENOUGH = 10_000
"""Calls among which even a rare one is done; a busy machine makes fewer in the time."""
SEED = int(os.environ.get("LILYPAD_FUZZ_SEED", "1"))


def test_model_vyper_and_solidity_never_disagree() -> None:
    tally = fuzz_together(SECONDS, SEED, None, processes=2, others=[solidity_creation()])
    print(f"{tally.calls} calls, {tally.accepted / tally.calls:.0%} accepted")
    assert tally.accepted / tally.calls > 0.4
    assert len(tally.seen) > 20
    rare = ("Vacate",) if tally.calls > ENOUGH else ()
    for door in ("Open", "Commit", "Enter", "SettleLock", *rare):
        assert tally.seen[f"{door}: ok"] > 0, door
