"""Where the time of a run goes: cold, and on a running node, beside the bare module in the same process tree.

``python benchmarks/run_latency.py [--runs N]`` prints medians in milliseconds. Cold is ``lilypad run`` with nothing
running: the process starts, imports, starts a market of seven peers and a chain, runs, verifies, pays and ends. On a
running node there are six processes (a chain, three providers, a mediator, a client), and ``lilypad run`` or a program
asks the client's node. The bare module is the same WASM program in wasmtime, in this process, without any market.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import trio

from modules.catalogue import find
from node.client import running_node
from node.preparing import Prepared, bind_inputs, prepare
from tests.helpers.network import Network, open_network

LILYPAD = str(Path(sys.executable).parent / "lilypad")
ROLES = {"client": "client", **{f"provider{number}": "provider" for number in range(3)}, "mediator": "mediator"}
PHASES = ("discover", "negotiate", "guarantee", "execute", "fetch", "verify", "settle", "total")
COMMAND = [LILYPAD, "run", "cowsay:v0.1", "hello", "--json"]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds and the answer."""
    began = time.perf_counter()
    answer = call()
    return (time.perf_counter() - began) * 1000, answer


def process(*command: str) -> Callable[[], bytes]:
    """A command as a call; its output."""
    return lambda: subprocess.run(command, capture_output=True, check=True).stdout


def bare(program: bytes) -> tuple[float, float]:
    """Milliseconds of a cold (compile and run) and a warm (run) cowsay in wasmtime, in this process."""
    import wasmtime

    engine = wasmtime.Engine()

    def run(module: wasmtime.Module) -> None:
        with tempfile.NamedTemporaryFile() as out:
            store = wasmtime.Store(engine)
            wasi = wasmtime.WasiConfig()
            wasi.argv = ["cowsay", "hello"]
            wasi.stdout_file = out.name
            store.set_wasi(wasi)
            linker = wasmtime.Linker(engine)
            linker.define_wasi()
            try:
                start = linker.instantiate(store, module).exports(store)["_start"]
                assert isinstance(start, wasmtime.Func)
                start(store)
            except wasmtime.ExitTrap as ended:
                if ended.code != 0:
                    raise

    cold, module = timed(lambda: wasmtime.Module(engine, program))
    first, _ = timed(lambda: run(module))
    warm = median(timed(lambda: run(module))[0] for _ in range(20))
    return cold + first, warm


async def ask(home: Path, prepared: Prepared, check: float) -> tuple[float, dict[str, Any]]:
    """One job through the node's interface: milliseconds from the request to the verified result on disk."""
    from content.cid import Cid

    client = running_node(home)
    assert client is not None
    async with client:
        began = time.perf_counter()
        await client.upload(prepared.module_cid, prepared.blocks)
        await client.upload(prepared.inputs_cid, prepared.blocks)
        body = {
            "job": prepared.job(prepared.inputs_cid),
            "about": prepared.about,
            "max_price": None,
            "check": check,
            "wait": 30,
        }
        job = (await client.post("/api/v1/jobs", body))["job"]
        held = 0.0
        async for event in client.follow(job):
            if event["event"] == "checked":
                held = time.perf_counter()
        document = await client.get(f"/api/v1/jobs/{job}")
        with tempfile.TemporaryDirectory() as folder:
            await client.download(Cid.parse(document["result"]["cid"]), Path(folder) / "result")
    return (held - began) * 1000, document


def print_row(name: str, figures: dict[str, float]) -> None:
    """One line of the table of phases."""
    print(f"{name:34}" + "".join(f"{figures[phase]:>11.1f}" for phase in PHASES))


def medians(documents: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each phase."""
    return {phase: median(document["milliseconds"][phase] for document in documents) for phase in PHASES}


def on_running_node(network: Network, runs: int) -> None:
    """Requests to a node that has been running for a while."""
    module = find("cowsay:v0.1")
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(module, bind_inputs(module, "hello", {}, {}), Path(folder))
        trio.run(ask, network.nodes["client"].home, prepared, 1.0)
        for check, name in ((0.0, "running node, no check"), (1.0, "running node, checked")):
            asked = [trio.run(ask, network.nodes["client"].home, prepared, check) for _ in range(runs)]
            print_row(name, medians([document for _, document in asked]))
            print(f"{'':34}request to verified result: {median(ms for ms, _ in asked):.0f} ms")
    whole = [timed(lambda: network.run("cowsay:v0.1", "hello", "--json"))[0] for _ in range(runs)]
    print(f"{'lilypad run on a running node':34}whole process: {median(whole):.0f} ms")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(f"milliseconds, medians of {runs} runs\n")
    for name, command in (
        ("python, nothing", (sys.executable, "-c", "")),
        ("import of the whole node", (sys.executable, "-c", "import node.local_market")),
        ("lilypad --help", (LILYPAD, "--help")),
    ):
        print(f"{name:34}{median(timed(process(*command))[0] for _ in range(runs)):>11.1f}")
    cold, warm = bare((find("cowsay:v0.1").folder / "cowsay.wasm").read_bytes())
    print(f"{'bare cowsay: compile and run':34}{cold:>11.1f}\n{'bare cowsay: run':34}{warm:>11.1f}\n")
    print(f"{'phases':34}" + "".join(f"{phase:>11}" for phase in PHASES))
    whole = [timed(process(*COMMAND)) for _ in range(runs)]
    print_row("cold, a market of its own", medians([json.loads(out) for _, out in whole]))
    print(f"{'':34}whole process: {median(ms for ms, _ in whole):.0f} ms")
    with tempfile.TemporaryDirectory() as folder, open_network(Path(folder), ROLES) as network:
        on_running_node(network, runs)


if __name__ == "__main__":
    main()
