"""What the documents say about the vault is checked where it can be."""

from __future__ import annotations

import re
from pathlib import Path

from contracts.artifact import vault_artifact

_ROOT = Path(__file__).parents[2]
_TESTS = "\n".join(path.read_text() for path in (_ROOT / "tests" / "contracts").glob("test_*.py"))
_ALL_TESTS = "\n".join(path.read_text() for path in (_ROOT / "tests").glob("*/test_*.py"))
_HEARD = r'(== |, )"%s"[\n):,]'
_SOURCE = (_ROOT / "contracts" / "vault.vy").read_text()


def test_every_test_that_the_threat_list_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (_ROOT / "docs" / "security.md").read_text()))
    assert len(named) > 40
    assert not [name for name in sorted(named) if f"def {name}(" not in _ALL_TESTS]


def test_every_call_of_the_vault_is_described_with_its_reasons() -> None:
    text = (_ROOT / "docs" / "vault.md").read_text()
    calls = {
        entry["name"]
        for entry in vault_artifact().abi
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
    }
    assert not [name for name in sorted(calls) if f"`{name}(" not in text]
    assert not [reason for reason in _reasons() if reason not in text]


def test_every_reason_the_vault_gives_is_heard_in_a_test() -> None:
    reasons = _reasons()
    assert len(reasons) > 30
    assert not [reason for reason in reasons if not re.search(_HEARD % re.escape(reason), _TESTS)]


def _reasons() -> list[str]:
    return sorted(set(re.findall(r'(?:assert |_need\().*, "([^"]+)"\)?$', _SOURCE, re.MULTILINE)))
