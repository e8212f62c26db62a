"""Strategies of NegMAS where it is not installed; where it is, see `nightly_negmas.py`."""

from __future__ import annotations

import pytest

from node.errors import UserError
from node.strategies.finding import find


def test_without_negmas_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(UserError, match="pip install 'lilypad-p2p"):
        find("negmas:MiCRONegotiator")
    with pytest.raises(UserError, match="names no class"):
        find("negmas:not a class")
