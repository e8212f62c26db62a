"""The pages tell the truth: tables are those of the code, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_protocol_page_lists_every_message_as_the_code_has_it() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs/protocol_tables.py", "--check"], check=False)
    assert done.returncode == 0, "renew it: python docs/protocol_tables.py"


def test_every_relative_link_leads_to_a_file() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_path_that_a_page_names_exists() -> None:
    named = re.compile(r"`((?:protocol|agents|content|p2p|contracts|modules|node|simulator|tests|docs)/[\w./-]+)`")
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in PAGES
        for path in named.findall(page.read_text())
        if not (ROOT / path).exists()
    ]
    assert missing == []
