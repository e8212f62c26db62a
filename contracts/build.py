"""Compiles the vault for the coin and for a token: ``python -m contracts.build`` (``--check`` only compares)."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from contracts.artifact import ARTIFACT, TOKEN_ARTIFACT

SOURCE = Path(__file__).with_name("vault.vy")
TOKEN_MONEY = Path(__file__).with_name("vault_token.vy")
# FEVM and IPC know no later opcodes than these
SETTINGS = {"optimize": "gas", "evm_version": "cancun"}
TOKEN_SETTINGS = {"optimize": "codesize", "evm_version": "cancun"}
_MONEY, _AFTER = "# Money in and out.", "# Money inside"


def token_source(text: str, money: str) -> str:
    """The vault for a token: other lines where money comes in and goes out, and the token's address at its birth."""
    start, end = text.index(_MONEY), text.index(_AFTER)
    changed = text[:start] + money + text[end:]
    for old, new in (
        ("# pragma optimize gas", "# pragma optimize codesize"),
        ("SEPARATOR: immutable(bytes32)", "SEPARATOR: immutable(bytes32)\nTOKEN: public(immutable(address))"),
        ("(min_window: uint256, max_window: uint256):", "(min_window: uint256, max_window: uint256, token: address):"),
        (
            "    @param max_window The longest.",
            "    @param max_window The longest.\n    @param token What is held here.",
        ),
        ("    BORN_ON = chain.id", '    assert token.is_contract, "token"\n    TOKEN = token\n    BORN_ON = chain.id'),
    ):
        if changed.count(old) != 1:
            raise ValueError(f"the source has not one {old!r}")
        changed = changed.replace(old, new)
    return changed


def build(source: Path = SOURCE) -> dict[str, Any]:
    """What ``vault.json`` should hold."""
    return compiled(source.read_text(), SETTINGS)


def build_token() -> dict[str, Any]:
    """What ``vault_token.json`` should hold."""
    return compiled(token_source(SOURCE.read_text(), TOKEN_MONEY.read_text()), TOKEN_SETTINGS)


def compiled(text: str, how: dict[str, str]) -> dict[str, Any]:
    """An artifact as JSON."""
    import vyper
    from vyper.compiler import compile_code
    from vyper.compiler.settings import OptimizationLevel, Settings

    settings = Settings(optimize=OptimizationLevel.from_string(how["optimize"]), evm_version=how["evm_version"])
    out = compile_code(text, output_formats=["abi", "bytecode", "bytecode_runtime"], settings=settings)
    return {
        "abi": out["abi"],
        "bytecode": out["bytecode"],
        "compiler": f"vyper {vyper.__version__.split('+')[0]}",
        "runtime": out["bytecode_runtime"],
        "settings": how,
        "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def main() -> int:
    """Write the artifacts, or with ``--check`` compare them; exit code 1 where they differ."""
    same = True
    for place, made in ((ARTIFACT, build()), (TOKEN_ARTIFACT, build_token())):
        text = json.dumps(made, indent=1, sort_keys=True) + "\n"
        if "--check" in sys.argv[1:]:
            same = same and place.read_text() == text
        else:
            place.write_text(text)
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
