"""The names and references of strategies, as users give them."""

from __future__ import annotations


def check_strategy(name: str | None) -> str | None:
    """The same strategy, named so that a node in another folder finds it; raises `UserError` where there is none."""
    if name is None:
        return None
    from node.strategies.finding import find, for_others

    return for_others(find(name))
