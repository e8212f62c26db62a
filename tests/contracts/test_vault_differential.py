"""Thousands of random calls: the model predicts every answer of the bytecode, and every balance after it."""

from __future__ import annotations

import os

from tests.contracts.fuzz_vault import fuzz

SECONDS = float(os.environ.get("LILYPAD_FUZZ_SECONDS", "6"))


def test_model_and_bytecode_never_disagree() -> None:
    calls, accepted, seen = fuzz(SECONDS, seed=1)
    print(f"{calls} calls, {accepted / calls:.0%} accepted")
    assert accepted / calls > 0.4
    assert len(seen) > 20
    for door in ("Open", "Commit", "Enter", "SettleLock"):
        assert seen[f"{door}: ok"] > 0, door
