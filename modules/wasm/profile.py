"""The execution profile: one name for all that decides a run's result and its fuel, so that both sides can compare."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version

from modules.executor import MAX_FILES, STREAM_BYTES
from modules.wasm.inside.settings import BYTE_FUEL, CALL_FUEL, ENGINE, HOST_VERSION, TABLE_ELEMENTS
from protocol.prices import FUEL_PER_SECOND


def profile() -> str:
    """The profile of this installation, such as ``wasmtime-50.0.1/x86_64/0123456789abcdef``.

    The hash covers the settings and the limits that no manifest states. The machine's kind is part of the name: how
    deep a program may recurse depends on the size of native frames, and equality between kinds has not been shown.
    """
    limits = [FUEL_PER_SECOND, STREAM_BYTES, MAX_FILES, TABLE_ELEMENTS]
    rules = json.dumps([ENGINE, HOST_VERSION, CALL_FUEL, BYTE_FUEL, limits], sort_keys=True)
    return f"wasmtime-{version('wasmtime')}/{platform.machine()}/{hashlib.sha256(rules.encode()).hexdigest()[:16]}"
