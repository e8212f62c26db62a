"""The built-in strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from agents.strategies.fixed_price import FixedPrice
from agents.strategies.time_dependent import TimeDependent
from agents.strategy import Strategy

DEFAULT = "linear"

BUILT_IN: dict[str, Callable[[], Strategy]] = {
    "fixed": FixedPrice,
    "boulware": lambda: TimeDependent(0.25),
    "linear": lambda: TimeDependent(1.0),
    "conceder": lambda: TimeDependent(4.0),
}
