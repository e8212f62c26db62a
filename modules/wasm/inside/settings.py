"""The settings of the engine and the host calls, under which fuel and results are comparable."""

from __future__ import annotations

from typing import Final

HOST_VERSION: Final = 1
"""To be raised with every change of what a program can tell: host functions, their fuel, limits of the file tree."""

CALL_FUEL: Final = 10_000
"""Fuel for each host call. The engine counts none, and then a loop of host calls would be free."""
BYTE_FUEL: Final = 1
"""Fuel for each byte that a host call moves."""

ENGINE: Final[dict[str, object]] = {
    "consume_fuel": True,
    "epoch_interruption": True,
    # All that may differ between machines or runs is off; all that compilers emit by default is on.
    "cranelift_nan_canonicalization": True,
    "cranelift_opt_level": "speed",
    # With copy-on-write, what initialising memory costs in fuel depends on the operating system.
    "memory_init_cow": False,
    "max_wasm_stack": 1 << 20,
    "wasm_threads": False,
    "shared_memory": False,
    "wasm_relaxed_simd": False,
    "wasm_relaxed_simd_deterministic": True,
    "wasm_simd": True,
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_tail_call": True,
    "wasm_multi_memory": False,
    "wasm_memory64": False,
    "wasm_exceptions": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "gc_support": False,
    "wasm_component_model": False,
    "wasm_stack_switching": False,
    "wasm_wide_arithmetic": False,
    "wasm_custom_page_sizes": False,
}

TABLE_ELEMENTS: Final = 1_000_000
