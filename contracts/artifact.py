"""The compiled vault as shipped: peers need no compiler, and a test rebuilds it to compare."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ARTIFACT = Path(__file__).with_name("vault.json")
TOKEN_ARTIFACT = Path(__file__).with_name("vault_token.json")


@dataclass(frozen=True, slots=True)
class Artifact:
    """Everything that ``vault.json`` holds."""

    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    """Creation code, without the constructor's arguments."""
    runtime: bytes
    """Code on chain, without the immutable values that follow it there."""
    source_sha256: str
    compiler: str
    settings: dict[str, str]


def vault_artifact() -> Artifact:
    """The vault for the chain's coin that this release deploys."""
    return _read(ARTIFACT)


def token_vault_artifact() -> Artifact:
    """The vault for a token; its constructor takes the token's address after the windows."""
    return _read(TOKEN_ARTIFACT)


@cache
def _read(place: Path) -> Artifact:
    raw = json.loads(place.read_text())
    return Artifact(
        abi=tuple(raw["abi"]),
        bytecode=bytes.fromhex(raw["bytecode"][2:]),
        runtime=bytes.fromhex(raw["runtime"][2:]),
        source_sha256=raw["source_sha256"],
        compiler=raw["compiler"],
        settings=raw["settings"],
    )
