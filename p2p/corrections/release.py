"""The one release of the library that the corrections were written against."""

from __future__ import annotations

from importlib.metadata import version

from p2p.errors import WrongLibrary

RELEASE = "0.8.1"


def check_release() -> None:
    """Raise `WrongLibrary` unless the release that this file was written against is installed."""
    found = version("libp2p")
    if found != RELEASE:
        raise WrongLibrary(
            f"p2p/corrections mends libp2p {RELEASE}, but {found} is installed: "
            "compare each correction with the new release, run tests/p2p, then raise RELEASE"
        )
