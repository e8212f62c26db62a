"""Amounts of money as people write them: ``1.5 ether``, ``20gwei``, or a number of base units."""

from __future__ import annotations

import re
from decimal import Decimal

from node.errors import ExitCode, UserError

UNITS = {"wei": 0, "kwei": 3, "mwei": 6, "gwei": 9, "ether": 18, "eth": 18, "attofil": 0, "nanofil": 9, "fil": 18}
"""Powers of ten of the base unit."""
MOST = 2**96
"""What the vault can hold for anybody, base units."""
_FORM = re.compile(r"(?P<number>[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>[A-Za-z]*)")


def parse_amount(text: str) -> int:
    """Base units; raises `UserError` for anything that is no exact number of them."""
    found = _FORM.fullmatch(text.strip())
    unit = found["unit"].lower() if found else ""
    if found is None or (unit and unit not in UNITS):
        raise _bad(text, "is no amount")
    if len(found["number"]) > 80:
        raise _bad(text[:40] + "…", "has too many digits")
    digits, _, fraction = found["number"].replace("_", "").partition(".")
    power = UNITS.get(unit, 0)
    fraction = fraction.rstrip("0")
    if len(fraction) > power:
        raise _bad(text, "is no whole number of base units")
    amount = int((digits or "0") + fraction.ljust(power, "0"))
    if not 0 < amount < MOST:
        raise _bad(text, "is nothing" if amount == 0 else "is more than a vault can hold")
    return amount


def show_amount(amount: int) -> str:
    """Base units, and what that is in the unit people think in where it is much."""
    for unit in ("ether", "gwei"):
        if amount >= 10 ** (UNITS[unit] - 4):
            whole = Decimal(amount).scaleb(-UNITS[unit]).normalize()
            return f"{amount} ({whole:f} {unit})"
    return str(amount)


def _bad(text: str, why: str) -> UserError:
    return UserError(
        ExitCode.USAGE, f"'{text}' {why}", "write base units (1000), or a unit: 1.5 ether, 20 gwei, 3 nanofil"
    )
