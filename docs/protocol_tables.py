"""Writes the tables of docs/protocol.md out of the code: every message, every field, its type and its meaning.

``python docs/protocol_tables.py`` renews the page; with ``--check`` it only says whether the page is up to date.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from protocol.deal import Bill, Deal, Receipt, Result, Started, Vote, Voucher
from protocol.eip712 import layout
from protocol.job import Capacity, Gpus, Job, Resources
from protocol.messages import DealMessage, Gossip, MediationMessage, Move
from protocol.offers import Price, VaultRef
from protocol.terms import Terms
from protocol.types import Amount, Limit
from protocol.wire import members, name_of

PAGE = Path(__file__).parent / "protocol.md"
SIGNED = (Deal, Started, Result, Receipt, Voucher, Bill, Vote)
START, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def tables() -> str:
    """All tables, as Markdown."""
    parts = [
        "## Moves of a negotiation: `/lilypad/negotiate/1`\n",
        *(_message(kind) for kind in members(Move)),
        "## Messages of a deal: `/lilypad/deal/1`\n",
        *(_message(kind) for kind in members(DealMessage)),
        "## Messages of mediation: `/lilypad/mediate/1`\n",
        *(_message(kind) for kind in members(MediationMessage)),
        "## Gossip\n",
        *(_message(kind) for kind in members(Gossip)),
        "## Parts of messages\n",
        *(_part(kind) for kind in (Job, Resources, Terms, Deal, Capacity, Gpus, Price, VaultRef)),
        "## Structs signed by EIP-712\n",
        "```\n" + "\n".join(layout(kind).text for kind in SIGNED) + "\n```\n",
    ]
    return "\n".join(parts)


def _message(kind: type) -> str:
    return f"### `{name_of(kind)}`\n\n{_about(kind)}\n\n{_table(kind)}"


def _part(kind: type) -> str:
    return f"### {kind.__name__}\n\n{_about(kind)}\n\n{_table(kind)}"


def _about(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _table(kind: type) -> str:
    meanings = _meanings(kind)
    hints = get_type_hints(kind, include_extras=True)
    rows = [
        f"| `{field.name}` | {_type(hints[field.name])} | {meanings.get(field.name, '')} |" for field in fields(kind)
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows]) + "\n"


def _meanings(kind: type) -> dict[str, str]:
    tree = ast.parse(inspect.cleandoc(inspect.getsource(kind)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    found = {}
    for statement, following in itertools.pairwise(body):
        text = following.value if isinstance(following, ast.Expr) else None
        if isinstance(statement, ast.AnnAssign) and isinstance(text, ast.Constant):
            found[statement.target.id] = " ".join(str(text.value).split())  # type: ignore[union-attr]
    return found


def _type(hint: Any) -> str:
    if hint == Amount:
        return "money"
    if get_origin(hint) is tuple:
        return f"list of {_type(get_args(hint)[0])}"
    arguments = get_args(hint)
    if len(arguments) == 2 and isinstance(arguments[1], Limit):
        base = _type(arguments[0])
        return f"{base}, at most {arguments[1].most}"
    if len(arguments) == 2 and isinstance(arguments[1], str):
        return arguments[1]
    return {str: "text", bool: "bool"}.get(hint, getattr(hint, "__name__", str(hint)))


def renewed(page: str) -> str:
    """The page with its tables as the code has them now."""
    head, _, rest = page.partition(START)
    tail = rest.partition(END)[2]
    return f"{head}{START}\n\n{tables()}\n{END}{tail}"


def main() -> int:
    """Renew or check; 1 if a check finds an old page."""
    page = PAGE.read_text()
    if "--check" in sys.argv:
        return 0 if renewed(page) == page else 1
    PAGE.write_text(renewed(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
