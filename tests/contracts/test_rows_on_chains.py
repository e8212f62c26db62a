"""Every row of the outcome table, end to end, on py-evm and on anvil."""

from __future__ import annotations

import pytest

from contracts.anvil import find_anvil
from tests.contracts.chain_rows import ROWS, Row, Scene
from tests.contracts.chains import AnvilChain, LedgerChain, on_anvil


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(LedgerChain())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_on_py_evm(scene: Scene, row: Row) -> None:
    scene.begin()
    row(scene)


@pytest.mark.skipif(find_anvil() is None, reason="anvil is not installed")
def test_every_row_on_anvil() -> None:
    def play(chain: AnvilChain) -> int:
        scene = Scene(chain)
        for row in ROWS:
            scene.begin()
            try:
                row(scene)
            except AssertionError as error:
                error.add_note(row.__name__)
                raise
        return len(ROWS)

    assert on_anvil(play) == len(ROWS)
