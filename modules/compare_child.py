"""What compares two results inside the process that `modules.compare_apart` starts for it.

It bounds itself, says on standard output which file it begins with, a line of JSON each, and last what it found. What
the files are made of is a stranger's, and so may be what becomes of this process.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Final, cast

from modules.compare import Different, Result, compare
from modules.folders import FolderFault
from modules.manifest import CompareMode, Verification

MEMORY: Final = 2 << 30
"""Bytes of address space."""
CPU: Final = 240
"""Seconds of processor time; far more than the work that a comparison may be takes anywhere."""
FILES: Final = 256
"""A folder is open for each level of those that are walked."""
MAX_SHOWN: Final = 200
"""Characters of a path that are told."""


def limit() -> None:
    """Bound this process."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))
    # The soft limit's signal says what happened; the hard one's could have come from anybody.
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or hard > CPU + 10:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU + 10))


def say(**document: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main(mode: str, tolerance: str, mine: str, theirs: str) -> None:
    """Compare two folders, and say what was found: ``differs``, and where and why, or that it ``cannot``."""
    limit()
    results = Result("mine", Path(mine)), Result("theirs", Path(theirs))
    verification = Verification(cast(CompareMode, mode), float(tolerance))
    try:
        found = compare(verification, *results, begin=lambda path: say(at=path[:MAX_SHOWN]))
    except (FolderFault, MemoryError) as error:
        say(differs=[], why=f"{type(error).__name__}: {error}"[:MAX_SHOWN])
    except Exception as error:  # no file's fault: what those break is a difference
        say(cannot=f"{type(error).__name__}: {error}"[:MAX_SHOWN])
    else:
        if isinstance(found, Different):  # short, however long a stranger's names are: the last line must arrive whole
            say(differs=[path[:MAX_SHOWN] for path in found.paths], why=found.why)
        else:
            say(same=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
