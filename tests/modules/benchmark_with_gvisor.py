"""Runs `benchmarks/executors.py` with an engine that has gVisor: ``python -m tests.modules.benchmark_with_gvisor``."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.daemons import daemon, give_base, network

RUNTIME = {"path": "/usr/bin/runsc", "runtimeArgs": ["--platform=ptrace", "--network=none"]}

if __name__ == "__main__":
    with network() as place, daemon("bench", place, runtimes={"runsc": RUNTIME}) as engine:
        give_base(engine)
        command = [sys.executable, "-m", "benchmarks.executors", "--gvisor", engine.url, *sys.argv[1:]]
        sys.exit(subprocess.run(command, check=False).returncode)
