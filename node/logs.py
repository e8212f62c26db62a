"""A node's log: for people, or with ``LILYPAD_LOG=json`` one JSON object a line, with fields to search for."""

from __future__ import annotations

import json
import logging
import os
import sys

from node.errors import ExitCode, UserError

FIELDS = ("role", "deal", "talk", "peer", "what", "job")
"""What records may carry beside their text; ids are in hex."""
STEPS = "lilypad.steps"
"""The logger of what agents hear and do about deals: one line a step, at level INFO."""


class JsonLines(logging.Formatter):
    """One object a line: ``at`` (Unix time), ``level``, ``logger``, ``text``, what `FIELDS` name, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """Never more than one line, whatever the text has in it."""
        found: dict[str, object] = {
            "at": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        found |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found)


def begin_logging() -> None:
    """Log to stderr as ``LILYPAD_LOG`` says: text (warnings only), json (with every step), or nothing said: text."""
    wanted = os.environ.get("LILYPAD_LOG", "text")
    if wanted not in ("text", "json"):
        raise UserError(ExitCode.USAGE, f"LILYPAD_LOG={wanted}", "choose text or json")
    handler = logging.StreamHandler(sys.stderr)
    if wanted == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger(STEPS).setLevel(logging.INFO if wanted == "json" else logging.WARNING)
