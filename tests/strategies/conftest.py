"""Lets the tests of strategies share `views`, and try the benchmark's markets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE.parent.parent):
    if str(place) not in sys.path:
        sys.path.append(str(place))

from views import SELLER, view_of  # noqa: E402  (found by the path above)

from agents.strategy import View  # noqa: E402


@pytest.fixture
def seller_view() -> View:
    """A seller that has been offered 800."""
    return view_of(SELLER, theirs=800)
