"""``lilypad modules``: the catalogue."""

from __future__ import annotations

import json as json_format

from modules.catalogue import find, references
from node.cli.progress import printable
from node.cli.tables import print_table
from node.config import Config
from node.preparing import find_module


def ls(_: Config, json: bool) -> None:
    """Every module of the catalogue."""
    found = [find(reference) for reference in references()]
    if json:
        rows = [{"module": m.manifest.reference, "summary": m.manifest.summary, "digest": m.digest} for m in found]
        print(json_format.dumps(rows, indent=2))
        return
    print_table(
        ("MODULE", "RUNS ON", "WHAT IT DOES"),
        [(m.manifest.reference, m.manifest.executor, m.manifest.summary) for m in found],
    )


def show(config: Config, reference: str, json: bool) -> None:
    """One module's inputs and needs."""
    module = find_module(reference, config.home)
    manifest = module.manifest
    needs = manifest.resources
    inputs = {
        name: {
            "type": " or ".join(each.types),
            "default": each.default,
            "required": each.required,
            "summary": each.summary,
        }
        for name, each in manifest.inputs.items()
    }
    if json:
        document = {
            "name": manifest.name,
            "version": manifest.version,
            "digest": module.digest,
            "executor": manifest.executor,
            "primary_input": manifest.primary_input,
            "inputs": inputs,
            "resources": {name: getattr(needs, name) for name in needs.__slots__},
        }
        print(json_format.dumps(document, indent=2))
        return
    print(f"{manifest.reference}: {printable(manifest.summary)}\n{module.digest}\n")
    rows = []
    for name, each in inputs.items():
        default = "(must be given)" if each["required"] else ("" if each["default"] is None else repr(each["default"]))
        rows.append((name, each["type"], default, each["summary"]))
    print_table(("INPUT", "TYPE", "DEFAULT", "WHAT IT IS"), rows)
    print(
        f"\nneeds {needs.cpu:g} cpu, {needs.memory_mib} MiB memory, {needs.disk_mib} MiB disk, {needs.gpus} GPUs, "
        f"at most {needs.timeout_s} s"
    )
