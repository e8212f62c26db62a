"""The built-in strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from agents.strategies.fixed_price import FixedPrice
from agents.strategies.market_seller import MarketSeller
from agents.strategies.micro import Micro
from agents.strategies.time_dependent import TimeDependent
from agents.strategies.tit_for_tat import TitForTat
from agents.strategy import Strategy

DEFAULT = "micro"

BUILT_IN: dict[str, Callable[[], Strategy]] = {
    "micro": Micro,
    "fixed": FixedPrice,
    "boulware": lambda: TimeDependent(0.25),
    "linear": lambda: TimeDependent(1.0),
    "conceder": lambda: TimeDependent(4.0),
    "combi": lambda: TimeDependent(0.25, late=True),
    "tit-for-tat": TitForTat,
    "market": MarketSeller,
}
