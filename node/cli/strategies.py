"""The names of strategies, as users give them."""

from __future__ import annotations

from node.errors import ExitCode, UserError


def check_strategy(name: str | None) -> str | None:
    """The same name; raises `UserError` where no strategy has it."""
    from agents.strategies.built_in import BUILT_IN

    if name is not None and name not in BUILT_IN:
        raise UserError(ExitCode.USAGE, f"unknown strategy '{name}'", f"choose from {', '.join(BUILT_IN)}")
    return name
