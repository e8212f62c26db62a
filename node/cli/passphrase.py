"""Where the passphrase of the key file comes from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from node.errors import ExitCode, UserError


def passphrase(*, new: bool = False) -> str:
    """``LILYPAD_PASSPHRASE``, else the first line of ``LILYPAD_PASSPHRASE_FILE``, else a question on the terminal."""
    given = os.environ.get("LILYPAD_PASSPHRASE")
    if given is not None:
        return given
    file = os.environ.get("LILYPAD_PASSPHRASE_FILE")
    if file:
        try:
            return Path(file).read_text().split("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(ExitCode.FUNDS_OR_KEY, f"the passphrase file {file} can't be read: {error}") from None
    if not sys.stdin.isatty():
        raise UserError(
            ExitCode.FUNDS_OR_KEY,
            "the key needs its passphrase and there is no terminal to ask on",
            "set LILYPAD_PASSPHRASE or LILYPAD_PASSPHRASE_FILE",
        )
    from getpass import getpass

    first = getpass("Passphrase: ")
    if new and getpass("Again: ") != first:
        raise UserError(ExitCode.FUNDS_OR_KEY, "the two passphrases differ", "try again")
    return first
