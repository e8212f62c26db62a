"""What one peer is told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.mediator import Bench
from agents.shop import Shop
from contracts.batching import Policy
from contracts.profile import ChainAccess
from node.dishonest import HONEST, Habit
from node.keys import Key
from p2p.settings import Settings
from protocol.rules import Rules


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that one peer is told at its start."""

    key: Key
    home: Path
    """The data folder."""
    rules: Rules
    access: ChainAccess
    """How the chain is reached, and what it is like."""
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    http: str = "127.0.0.1:0"
    bootstrap: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    """Multiaddrs to give out instead of those listened on."""
    shop: Shop | None = None
    """What it sells, if it is a provider."""
    bench: Bench | None = None
    """What it re-runs, if it is a mediator."""
    client: bool = True
    """Whether it buys for its user."""
    habit: Habit = HONEST
    """How it cheats, in tests."""
    strategies: Mapping[str, str] | None = None
    """Strategy names by role."""
    durable: bool = True
    """False for a market that ends with its process anyway."""
    settings: Settings = Settings()  # noqa: RUF009  (frozen)
    guarded: tuple[Path, ...] = ()
    """Copies of other peers' state files, whose claims this one answers as their watchtower."""
    batching: Policy | None = None
    """How long payments wait for company; None: not at all."""
