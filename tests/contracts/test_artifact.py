"""What ships is what the source says."""

from __future__ import annotations

import json

import pytest

from contracts.artifact import ARTIFACT, vault_artifact
from contracts.build import SOURCE, build
from protocol import deal
from protocol.eip712 import layout


def test_the_shipped_bytecode_is_the_compiled_source() -> None:
    assert build() == json.loads(ARTIFACT.read_text())


def test_the_bytecode_fits_into_a_contract() -> None:
    assert len(vault_artifact().runtime) + 128 <= 24_576


@pytest.mark.parametrize(
    "struct",
    [
        deal.Deal,
        deal.Started,
        deal.Result,
        deal.Receipt,
        deal.Voucher,
        deal.Bill,
        deal.Release,
        deal.Vote,
    ],
    ids=lambda s: s.__name__,
)
def test_the_contract_repeats_each_signed_text_to_the_letter(struct: type) -> None:
    assert f'keccak256("{layout(struct).text}")' in SOURCE.read_text()
