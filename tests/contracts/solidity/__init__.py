"""The vault a second time, in Solidity: its bytecode as kept beside the source, and how that is made.

``python -m tests.contracts.solidity`` compiles it anew (``--check`` only compares); ``npm ci`` in this folder first.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "Vault.sol"
KEPT = FOLDER / "vault.json"
_SOLC = FOLDER / "node_modules" / ".bin" / "solcjs"
SETTINGS = {"viaIR": True, "optimizer": {"enabled": True, "runs": 200}, "evmVersion": "cancun"}


def solidity_creation() -> bytes:
    """Its creation code, without the constructor's arguments; raises `ValueError` where the source is a newer one."""
    kept = json.loads(KEPT.read_text())
    if kept["source_sha256"] != _hash():
        raise ValueError("Vault.sol has changed: npm ci in its folder, then python -m tests.contracts.solidity")
    return bytes.fromhex(kept["bytecode"])


def build() -> dict[str, Any]:
    """What ``vault.json`` should hold."""
    wanted = {"*": {"*": ["evm.bytecode.object"]}}
    question = {
        "language": "Solidity",
        "sources": {"Vault.sol": {"content": SOURCE.read_text()}},
        "settings": {**SETTINGS, "outputSelection": wanted},
    }
    told = subprocess.run(
        [str(_SOLC), "--standard-json"], input=json.dumps(question), capture_output=True, text=True, check=True
    ).stdout
    answer = json.loads(told[told.index("{") :])
    errors = [found["formattedMessage"] for found in answer.get("errors", []) if found["severity"] == "error"]
    if errors:
        raise ValueError("\n".join(errors))
    code = answer["contracts"]["Vault.sol"]["Vault"]["evm"]["bytecode"]["object"]
    version = json.loads((FOLDER / "package.json").read_text())["dependencies"]["solc"]
    return {"bytecode": code, "compiler": f"solc {version}", "settings": SETTINGS, "source_sha256": _hash()}


def main() -> int:
    """Write it, or with ``--check`` compare; exit code 1 where it differs."""
    text = json.dumps(build(), indent=1, sort_keys=True) + "\n"
    if "--check" in sys.argv[1:]:
        return 0 if KEPT.read_text() == text else 1
    KEPT.write_text(text)
    return 0


def _hash() -> str:
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()
