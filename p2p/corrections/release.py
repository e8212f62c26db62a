"""The one release of the library that the corrections were written against."""

from __future__ import annotations

from importlib.metadata import version

from p2p.errors import WrongLibrary

RELEASE = "0.8.1"


def check_release() -> None:
    """Raise `WrongLibrary`, which tells what changed, unless the release that we were written against is installed."""
    found = version("libp2p")
    if found == RELEASE:
        return
    from p2p.corrections.mended import FINGERPRINTS, changed  # only now: it loads most of the library

    new = tuple(changed())
    raise WrongLibrary(
        f"p2p/corrections mends libp2p {RELEASE}, but {found} is installed. {len(FINGERPRINTS) - len(new)} of "
        f"{len(FINGERPRINTS)} mended places are as they were, so their corrections are still needed; "
        f"look whether these are: {', '.join(new) or 'none'}. Then run tests/p2p and raise RELEASE"
    )
