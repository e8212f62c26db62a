"""What a deal costs on a network of real peers: deals a minute and CPU a deal for 3, 6, 12 and 24 of them.

Each row is a network of its own, of processes, that a load generator keeps busy. CPU is that of the peers, by role, and
of the chain; beside it stands the same job run bare, without a market. The growth is the exponent of cost in peers.

    python benchmarks/testnet.py [--peers 3,6,12,24] [--jobs 24] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.helpers.testnets import Testnet, open_testnet

ROLES = ("client", "provider", "mediator", "chain")
PHASES = ("negotiate", "guarantee", "execute", "fetch", "verify", "settle")


def sizes(peers: int) -> tuple[int, int, int]:
    """Providers, clients and mediators: halves of the peers sell, a third buys or judges."""
    clients = max(1, peers // 6)
    mediators = max(1, peers // 3)
    return peers - clients - mediators, clients, mediators


def cpu(net: Testnet) -> dict[str, float]:
    """CPU seconds of each peer's process and those below it, and of the chain."""
    found = {}
    places = {place.name: place for place in [*(net.folder / "peers").iterdir(), net.folder / "chain"]}
    for name, place in places.items():
        process = psutil.Process(int((place / "pid").read_text().split()[0]))
        spent = 0.0
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            spent += times.user + times.system
        found[name] = spent
    return found


def bare(runs: int = 5) -> float:
    """Milliseconds of CPU for the same module without a market: compiled and run by wasmtime in this process."""
    code = (
        "import sys,time; sys.path.insert(0,'.')\n"
        "import wasmtime\nfrom modules.catalogue import find\nfrom node.config import user_cache_folder\n"
        "m=find('cowsay:v0.1', user_cache_folder())\n"
        "path=next(m.folder.glob('*.wasm'))\n"
        "b=time.process_time()\n"
        f"for _ in range({runs}):\n"
        "    e=wasmtime.Engine(); s=wasmtime.Store(e); w=wasmtime.WasiConfig(); w.argv=['cowsay','moo']\n"
        "    s.set_wasi(w); l=wasmtime.Linker(e); l.define_wasi()\n"
        "    i=l.instantiate(s,wasmtime.Module(e,path.read_bytes()))\n"
        "    try: i.exports(s)['_start'](s)\n"
        "    except wasmtime.ExitTrap: pass\n"
        f"print((time.process_time()-b)/{runs}*1000, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stderr.split()[-1])


def measure(peers: int, jobs: int, rate: float) -> dict[str, Any]:
    """One network."""
    providers, clients, mediators = sizes(peers)
    with tempfile.TemporaryDirectory(prefix="lilypad-bench-") as folder:
        words = ["--providers", providers, "--clients", clients, "--mediators", mediators]
        began = time.monotonic()
        with open_testnet(Path(folder) / "bench", "--processes", *words) as net:
            ready = time.monotonic() - began
            net.well("load", "--jobs", 2 * clients, "--rate", rate)  # connections, caches and workers are warm
            before, idle_from = cpu(net), time.monotonic()
            time.sleep(10)
            idle = {name: (spent - before[name]) / (time.monotonic() - idle_from) for name, spent in cpu(net).items()}
            before = cpu(net)
            loaded = net.well("load", "--jobs", jobs, "--rate", rate, "--json", timeout=3600).document
            after = cpu(net)
            report = net.report()
    assert report["wrong"] == [], report["wrong"]
    deals = loaded["outcomes"].get("DONE", 0)
    assert deals, loaded
    spent = {name: after[name] - before[name] for name in after}
    roles = {role: sum(cost for name, cost in spent.items() if name.startswith(role)) for role in ROLES}
    phases = {phase: report["phases"][phase]["p50"] for phase in report["phases"]}
    return {
        "peers": peers,
        "ready": ready,
        "deals": deals,
        "deals_a_minute": 60 * deals / loaded["seconds"],
        "cpu_a_deal": sum(spent.values()) / deals * 1000,
        "idle": sum(idle.values()),
        "beyond_idle": (sum(spent.values()) - sum(idle.values()) * loaded["seconds"]) / deals * 1000,
        "roles": {role: cost / deals * 1000 for role, cost in roles.items()},
        "messages": report["messages_a_deal"],
        "bytes": report["bytes_a_deal"],
        "phases": phases,
    }


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", default="3,6,12,24")
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--rate", type=float, default=2.0, help="jobs a second that are asked for")
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    alone = bare()
    print(f"the module alone, compiled and run: {alone:.1f} ms of CPU. CPU in ms a deal, times p50 in ms;")
    print("idle: cores that the network takes when nobody asks for anything; beyond: CPU a deal without that")
    heads = (
        "peers",
        "ready s",
        "deals",
        "deals/min",
        "CPU/deal",
        "x bare",
        *ROLES,
        "idle",
        "messages",
        "bytes",
        *PHASES,
    )
    print("".join(f"{head:>10}" for head in heads))
    rows = []
    for peers in map(int, wish.peers.split(",")):
        row = measure(peers, wish.jobs, wish.rate)
        rows.append(row)
        cells = [
            str(peers),
            f"{row['ready']:.0f}",
            str(row["deals"]),
            f"{row['deals_a_minute']:.1f}",
            f"{row['cpu_a_deal']:.0f}",
        ]
        cells += [f"{row['cpu_a_deal'] / alone:.1f}", *(f"{row['roles'][role]:.0f}" for role in ROLES)]
        cells += [f"{row['idle']:.2f}", f"{row['beyond_idle']:.0f}", f"{row['messages']:.0f}", f"{row['bytes']:.0f}"]
        cells += [f"{row['phases'][phase]:.0f}" for phase in PHASES]
        print("".join(f"{cell:>10}" for cell in cells), flush=True)
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        for what, name in (("CPU a deal", "cpu_a_deal"), ("CPU a deal beyond idling", "beyond_idle")):
            power = math.log(last[name] / first[name]) / math.log(last["peers"] / first["peers"])
            print(f"{what} grows with peers to the power of {power:.2f}")
    if wish.json:
        wish.json.write_text(json.dumps({"bare": alone, "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
