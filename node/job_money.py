"""The money of one job out of its story: what was locked, what checks cost, and what a ruling won or lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Events = Sequence[dict[str, Any]]


def money_of(events: Events) -> dict[str, Any] | None:
    """Amounts in base units, as texts; None before a deal, and for stories from before they were told.

    Of several deals it is the latest, or the one that was disputed.
    """
    dispute = _last(events, "dispute")
    deals = [event for event in events if event["event"] == "agreed" and "locks" in event]
    if dispute is not None:
        deals = [event for event in deals if event["deal"] == dispute["deal"]]
    if not deals:
        return None
    deal = deals[-1]
    fee, n = int(deal["juror_fee"]), int(deal["jurors"])
    bond = fee * n if dispute is not None else 0
    is_locked = any(event["event"] == "locked" and event["deal"] == deal["deal"] for event in events)
    checkers = [who for event in events if event["event"] == "checked" for who in event["mediators"]]
    ruling = _last(events, "ruling")
    goes_on = dispute is not None and not (ruling is not None and ruling["final"])
    return {
        "locked": {
            "ours": deal["locks"] if is_locked else "0",
            "provider": deal["provider_locks"] if is_locked else "0",
            "bond": str(bond),
        },
        "still_locked": {
            "ours": str(int(deal["locks"]) + bond) if goes_on else "0",
            "provider": deal["provider_locks"] if goes_on else "0",
        },
        "check_fees": str(int(deal["check_fee"]) * len(checkers)),
        "ruling": None if dispute is None or ruling is None else _ruling(deal, dispute, ruling, bond),
    }


def _ruling(deal: dict[str, Any], dispute: dict[str, Any], ruling: dict[str, Any], bond: int) -> dict[str, Any]:
    """What it won us and cost us beside the pay, at least and at most, as jurors' fees depend on how many are paid.

    Source: `_end` of the vault (`protocol.vault_disputes`).
    """
    won: tuple[int, int] | None = (0, 0)
    lost: tuple[int, int] | None = (0, 0)
    match ruling["ruling"]:
        case _ if ruling["round"]:
            won = lost = None  # who bears what after an appeal hangs on which jurors were paid
        case "RIGHT" if dispute["kind"] == "contested":
            lost = 0, bond - bond // 2
        case "RIGHT":
            lost = bond, bond
        case "WRONG":
            won = int(deal["cheat"]) - bond, int(deal["cheat"])
        case "NOT_FETCHABLE":
            won = int(deal["provider_locks"]) - bond, int(deal["provider_locks"])
    return {"ruling": ruling["ruling"], "final": ruling["final"], "won": _range(won), "lost": _range(lost)}


def _range(amounts: tuple[int, int] | None) -> dict[str, str] | None:
    return None if amounts is None else {"least": str(amounts[0]), "most": str(amounts[1])}


def _last(events: Events, kind: str) -> dict[str, Any] | None:
    return next((event for event in reversed(events) if event["event"] == kind), None)
