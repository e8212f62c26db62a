"""Half an hour under load: memory, file handles, tasks and disk of each peer must level off, as the report shows.

python tests/testnet/soak.py [--minutes 30] [--rate 0.5] [--peers 2,1,1] [--containers] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.helpers.testnets import open_testnet

ALLOWED = {"memory": 1.15, "files": 1.2, "tasks": 1.25}
"""How much a peer's last quarter may lie above its second one, as a ratio."""
STATE_A_JOB = 40_000
"""Bytes of state that one more job may cost its peer: stories are kept."""


def growth(line: list[list[float]], minutes: float) -> tuple[float, float]:
    """Medians of the second and the last quarter of the time."""
    seconds = 60 * minutes
    early = [value for moment, value in line if seconds / 4 <= moment < seconds / 2]
    late = [value for moment, value in line if 3 * seconds / 4 <= moment < seconds]
    return median(early), median(late)


def main() -> int:
    """Run it; 1 where something grows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=0.5, help="jobs a second")
    parser.add_argument("--peers", default="3,2,2", help="providers, clients, mediators")
    parser.add_argument("--containers", action="store_true")
    parser.add_argument("--keep", type=Path, help="where to put the report and its page")
    wish = parser.parse_args()
    providers, clients, mediators = wish.peers.split(",")
    jobs = round(wish.minutes * 60 * wish.rate)
    grown = []
    with tempfile.TemporaryDirectory(prefix="lilypad-soak-") as folder:
        words = ["--providers", providers, "--clients", clients, "--mediators", mediators]
        words += [] if wish.containers else ["--processes"]
        with open_testnet(Path(folder) / "soak", *words) as net:
            loaded = net.command("load", "--jobs", jobs, "--rate", wish.rate, timeout=wish.minutes * 60 + 1800)
            print(loaded.out or loaded.err)
            report = net.report()
            if wish.keep:
                wish.keep.mkdir(parents=True, exist_ok=True)
                for name in ("report.json", "report.html"):
                    shutil.copy(net.folder / name, wish.keep / name)
    print(f"{'peer':12}{'what':8}{'second quarter':>16}{'last quarter':>16}{'ratio':>8}")
    for what, lines in report["series"].items():
        for peer, line in lines.items():
            early, late = growth(line, wish.minutes)
            if what == "state":
                share = jobs / max(1, int(clients))  # the heaviest peers are the clients
                ok = late - early <= STATE_A_JOB * share / 2 + 4096 * 64
            else:
                ok = late <= early * ALLOWED[what] + (8 if what != "memory" else 4 * 2**20)
            print(f"{peer:12}{what:8}{early:16,.0f}{late:16,.0f}{late / early:8.2f}{'' if ok else '  GROWS'}")
            if not ok:
                grown.append(f"{peer}'s {what}")
    print(f"{report['jobs']} jobs, {report['outcomes']}; wrong: {report['wrong'] or 'nothing'}")
    print(f"growing: {', '.join(grown) or 'nothing'}")
    return 1 if grown or report["wrong"] or loaded.code else 0


if __name__ == "__main__":
    sys.exit(main())
