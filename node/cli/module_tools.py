"""``lilypad modules new|build|check``: what somebody who writes a module needs."""

from __future__ import annotations

import json as json_format
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from modules.manifest import EXECUTORS, ExecutorName
from node.cli.ending import run_trio
from node.cli.progress import pass_on
from node.config import Config
from node.errors import ExitCode, UserError
from node.preparing import bind_inputs, find_module, parse_pairs
from node.repeatability import note

if TYPE_CHECKING:
    from modules.checking import Verdict
    from modules.module import Module


def new(_: Config, name: str, executor: str, folder: Path | None) -> None:
    """Make a working module."""
    from modules.creating import create
    from modules.errors import ModuleFault

    if executor not in EXECUTORS:
        raise UserError(ExitCode.USAGE, f"unknown executor '{executor}'", f"choose from {', '.join(EXECUTORS)}")
    place = folder or Path(name)
    try:
        module = create(name, cast(ExecutorName, executor), place)
    except FileExistsError:
        raise UserError(ExitCode.USAGE, f"{place} exists already", "name another folder with --folder") from None
    except ModuleFault as fault:
        raise UserError(ExitCode.USAGE, str(fault)) from None
    here = place if place.is_absolute() else f"./{place}"
    print(f'{module.manifest.reference} is in {place}; try it:\n  lilypad modules check {here} "some words"')
    print(f'  lilypad run {here} "some words"')


def build(config: Config, reference: str, network: bool, json: bool) -> None:
    """Have at hand what the module runs."""
    module = find_module(reference, config.home)
    if module.manifest.executor == "wasm":
        done = _build_program(reference, module)
        module = find_module(reference, config.home)
    else:
        done = run_trio(lambda: _build_image(module, network))
    if json:
        print(json_format.dumps({"module": module.manifest.reference, "digest": module.digest, "built": done}))
        return
    print(f"{module.manifest.reference} {module.digest}\n{done}")


def _build_program(reference: str, module: Module) -> str:
    """Only in a folder that the user named by its path: a build.sh from elsewhere would be a stranger's program."""
    script = module.folder / "build.sh"
    if not Path(reference).exists() or not script.is_file():
        return "its program is there; nothing to build"
    done = subprocess.run(["sh", str(script)], stdout=sys.stderr, check=False)
    if done.returncode:
        raise UserError(ExitCode.JOB_FAILED, f"{script} ends with {done.returncode}", "see what it said above")
    return "built by build.sh"


async def _build_image(module: Module, network: bool) -> str:
    from modules.docker.executor import open_docker
    from modules.docker.images import ImagePolicy
    from modules.errors import ModuleFault

    try:
        async with open_docker(policy=ImagePolicy(build_network=network)) as docker:
            return await docker.prepare(module)
    except ModuleFault as fault:
        more = "" if network else "a Dockerfile that fetches something needs --network"
        raise UserError(ExitCode.JOB_FAILED, str(fault), more) from None


def check(
    config: Config, reference: str, text: str | None, values: list[str], files: list[str], times: int, json: bool
) -> None:
    """Run it several times and compare."""
    module = find_module(reference, config.home)
    paths = {name: Path(path) for name, path in parse_pairs(files, "--input-file").items()}
    bound = bind_inputs(module, text, parse_pairs(values, "-i"), paths)

    async def run() -> Verdict:
        from modules.checking import check
        from modules.compare import CannotCompare
        from modules.errors import ModuleFault
        from node.executors import Trade, open_executors

        name = module.manifest.executor
        try:
            async with open_executors(Trade(executors=(name,)), 1) as executors:
                return await check(executors[name], module, bound, Path(folder), times)
        except (ModuleFault, CannotCompare) as fault:
            raise UserError(ExitCode.USAGE, str(fault)) from None

    with tempfile.TemporaryDirectory(prefix="lilypad-check-") as folder:
        verdict = run_trio(run)
        _tell(module, verdict, json)
    if verdict.failed:
        raise typer.Exit(ExitCode.JOB_FAILED)
    note(module.digest, repeats=verdict.agrees)
    if not verdict.agrees:
        raise typer.Exit(ExitCode.NOT_VERIFIED)


def _tell(module: Module, verdict: Verdict, json: bool) -> None:
    first = verdict.runs[0]
    if json:
        document = {
            "module": module.manifest.reference,
            "digest": module.digest,
            "compare": module.manifest.verification.compare,
            "runs": [
                {"cid": run.cid, "exit_code": run.outcome.exit_code, "fuel": run.outcome.fuel,
                 "milliseconds": round(run.outcome.milliseconds, 1), "bytes": run.outcome.bytes_out}
                for run in verdict.runs
            ],
            "same_cid": verdict.same_cid,
            "same_fuel": verdict.same_fuel,
            "agrees": verdict.agrees,
            "failed": verdict.failed,
            "differences": list(verdict.differences),
        }  # fmt: skip
        print(json_format.dumps(document, indent=2))
        return
    pass_on((first.folder / "stdout").read_text(errors="replace"), sys.stdout)
    pass_on((first.folder / "stderr").read_text(errors="replace"), sys.stderr)
    print(f"\n{module.manifest.reference}: {len(verdict.runs)} runs under {first.outcome.profile}", file=sys.stderr)
    for run in verdict.runs:
        fuel = f"fuel {run.outcome.fuel:,}, " if run.outcome.fuel else ""
        print(f"  {run.cid}  exit {run.outcome.exit_code}, {fuel}{run.outcome.milliseconds:.0f} ms", file=sys.stderr)
    if verdict.failed:
        print(f"it fails: {verdict.failed}", file=sys.stderr)
    if verdict.same_cid:
        print("it repeats: every run has the same CID", file=sys.stderr)
    else:
        mode = module.manifest.verification.compare
        said = f'which compare = "{mode}" {"accepts" if verdict.agrees else "does not accept"}'
        print(f"it does not repeat, {said}; the results part in:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in verdict.differences), file=sys.stderr)
    if not verdict.same_fuel:
        print("its fuel differs from run to run, so it can't be priced by gigafuel", file=sys.stderr)
