"""The ``lilypad`` command; heavy parts are imported by the commands that need them."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    import sys

    try:
        from node.cli.app import run_app

        run_app()
    except KeyboardInterrupt:  # before any command had begun
        print("lilypad: interrupted", file=sys.stderr)
        sys.exit(130)
