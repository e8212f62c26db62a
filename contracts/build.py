"""Compiles the vault into ``vault.json``: ``python -m contracts.build`` (``--check`` only compares)."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from contracts.artifact import ARTIFACT

SOURCE = Path(__file__).with_name("vault.vy")
# FEVM and IPC know no later opcodes than these
SETTINGS = {"optimize": "gas", "evm_version": "cancun"}


def build(source: Path = SOURCE) -> dict[str, Any]:
    """What ``vault.json`` should hold."""
    import vyper
    from vyper.compiler import compile_code
    from vyper.compiler.settings import OptimizationLevel, Settings

    text = source.read_text()
    settings = Settings(
        optimize=OptimizationLevel.from_string(SETTINGS["optimize"]), evm_version=SETTINGS["evm_version"]
    )
    out = compile_code(text, output_formats=["abi", "bytecode", "bytecode_runtime"], settings=settings)
    return {
        "abi": out["abi"],
        "bytecode": out["bytecode"],
        "compiler": f"vyper {vyper.__version__.split('+')[0]}",
        "runtime": out["bytecode_runtime"],
        "settings": SETTINGS,
        "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def main() -> int:
    """Write the artifact, or with ``--check`` compare it; exit code 1 where they differ."""
    text = json.dumps(build(), indent=1, sort_keys=True) + "\n"
    if "--check" in sys.argv[1:]:
        return 0 if ARTIFACT.read_text() == text else 1
    ARTIFACT.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
