"""Finds the GPUs of this machine by asking the makers' own tools; nothing is offered that they did not list.

Formats: CSV of ``nvidia-smi --query-gpu=… --format=csv,noheader,nounits`` (NVIDIA System Management Interface), JSON of
``rocm-smi --showid --showproductname --showmeminfo vram --showuniqueid --json`` (ROCm SMI).
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import subprocess
from collections.abc import Sequence
from typing import Final

from modules.gpus.pool import Gpu

log = logging.getLogger(__name__)

SECONDS: Final = 10.0
MAX_BYTES: Final = 256 * 1024
MIB: Final = 1024 * 1024
NVIDIA: Final = (
    "nvidia-smi",
    "--query-gpu=uuid,name,memory.total,mig.mode.current",
    "--format=csv,noheader,nounits",
)
ROCM: Final = ("rocm-smi", "--showid", "--showproductname", "--showmeminfo", "vram", "--showuniqueid", "--json")
_UUID: Final = re.compile(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def probe(runtimes: frozenset[str]) -> list[Gpu]:
    """The GPUs that containers of an engine with these ``runtimes`` can be given. Blocks for seconds at most.

    An engine without NVIDIA's runtime would take a job and fail it at its start, so such GPUs are not counted.
    """
    found: list[Gpu] = []
    text = _ask(NVIDIA)
    if text is not None:
        gpus = parse_nvidia(text)
        if gpus and "nvidia" not in runtimes:
            log.warning("%d NVIDIA GPUs are not offered: the engine lacks the NVIDIA container runtime", len(gpus))
        else:
            found += gpus
    text = _ask(ROCM)
    if text is not None and (others := parse_rocm(text)):
        # They are handed on as device files that all jobs share, so they can't be kept apart yet.
        log.warning("%d AMD GPUs are not offered: containers can't be given them one by one yet", len(others))
    return found


def parse_nvidia(text: str) -> list[Gpu]:
    """The devices in nvidia-smi's answer; lines about broken or partitioned (MIG) devices give none."""
    found = []
    for row in csv.reader(io.StringIO(text), skipinitialspace=True):
        if len(row) != 4:
            continue
        uuid, name, memory, mig = (cell.strip() for cell in row)
        memory = memory.removesuffix(" MiB")  # there where somebody asked without "nounits"
        # A partitioned device can't be lent as a whole; "[Unknown Error]" and "[N/A]" are no numbers.
        if _UUID.fullmatch(uuid) and memory.isdecimal() and mig.lower() != "enabled":
            found.append(Gpu(uuid, name[:100], int(memory)))
    return found


def parse_rocm(text: str) -> list[Gpu]:
    """The devices in rocm-smi's answer; what it does not know the memory of is left out."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found = []
    for card, about in sorted(answer.items()) if isinstance(answer, dict) else ():
        if not card.startswith("card") or not isinstance(about, dict):
            continue
        memory = str(about.get("VRAM Total Memory (B)", ""))
        name = about.get("Card Series") or about.get("Card series") or about.get("Card Model") or ""
        if memory.isdecimal():
            # Consumer cards have none and say "N/A", all of them.
            unique = str(about.get("Unique ID", ""))
            found.append(Gpu(unique if unique.startswith("0x") else card, str(name)[:100], int(memory) // MIB))
    return found


def _ask(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # A tool whose driver does not answer prints an apology on stdout, too: its exit code tells.
    if done.returncode != 0:
        return None
    return done.stdout[:MAX_BYTES].decode(errors="replace")
