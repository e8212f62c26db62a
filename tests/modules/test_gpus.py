"""GPUs are found in the outputs of the makers' tools, and lent by id, never twice.

There is no GPU on the machines that run these tests: what is shown is the reading and the lending, not a job on one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modules.catalogue import find
from modules.docker.executor import DockerExecutor
from modules.docker.hardening import Wanted, container
from modules.executor import Failed, Limits, Task
from modules.gpus.claims import claimed
from modules.gpus.pool import Gpu, GpuPool, NoGpus
from modules.gpus.probe import parse_nvidia, parse_rocm, probe
from modules.inputs import bind, write
from modules.manifest_parser import parse
from modules.module import Module

# Recorded on real machines. From github.com/utkuozdemir/nvidia_gpu_exporter (MIT), `internal/captures/`, as of
# 2026-08-21: the columns uuid, name, memory.total and mig.mode.current of `nvidia-smi --query-gpu`, a row of each file;
# whoever recorded them has masked the ids.
MASKED = "GPU-00000000-0000-0000-0000-000000000000"
RECORDED_NVIDIA = [
    ("2080-super, driver 595.71.05", f"{MASKED}, NVIDIA GeForce RTX 2080 SUPER, 8192 MiB, [N/A]", 8192),
    ("2080-super, windows 610.62", f"{MASKED}, NVIDIA GeForce RTX 2080 SUPER, 8192 MiB, [N/A]", 8192),
    ("4080-super, driver 595.71.05", f"{MASKED}, NVIDIA GeForce RTX 4080 SUPER, 16376 MiB, [N/A]", 16376),
    ("l40s, driver 595.80", f"{MASKED}, NVIDIA L40S, 46068 MiB, [N/A]", 46068),
    ("h100, driver 590.48.01", f"{MASKED}, NVIDIA H100 80GB HBM3, 81559 MiB, Disabled", 81559),
    ("h200, driver 590.48.01", f"{MASKED}, NVIDIA H200, 143771 MiB, Disabled", 143771),
    ("h100 with MIG, driver 590.48.01", f"{MASKED}, NVIDIA H100 80GB HBM3, 81559 MiB, Enabled", None),
    ("h200 with MIG, driver 590.48.01", f"{MASKED}, NVIDIA H200, 143771 MiB, Enabled", None),
]
# From github.com/influxdata/telegraf (MIT), `plugins/inputs/amd_rocm_smi/testdata/`: mi100_rocm602.json (two of its
# four cards) and rx6700xt_rocm612.json, what the probe reads of them.
RECORDED_MI100 = """{"card0": {"Device ID": "0x738c", "Unique ID": "0x79ccd55167a2124a",
"VRAM Total Memory (B)": "34342961152", "VRAM Total Used Memory (B)": "6750208",
"Card series": "Arcturus GL-XL [Instinct MI100]", "Card model": "0x0c34"},
"card1": {"Device ID": "0x738c", "Unique ID": "0x4edfb117a17a07d", "VRAM Total Memory (B)": "34342961152",
"Card series": "Arcturus GL-XL [Instinct MI100]", "Card model": "0x0c34"},
"system": {"Driver version": "6.3.6", "(Topology) Weight between DRM devices 0 and 1": "40"}}"""
RECORDED_RX6700 = """{"card0": {"Device Name": "Navi 22 [Radeon RX 6700/6700 XT / 6800M]", "Unique ID": "N/A",
"VRAM Total Memory (B)": "12868124672", "Card Series": "Navi 22 [Radeon RX 6700/6700 XT / 6800M]",
"Card Model": "0x73df"}, "system": {"Driver version": "6.3.6"}}"""

# Written by hand after those, for what nobody has recorded: several devices at once, and a broken one.
NVIDIA = """\
GPU-5a1f3c7e-0b6d-4b7e-9d0c-2f8a61c3b4d5, NVIDIA GeForce RTX 4090, 24564, [N/A]
GPU-c0ffee00-1111-2222-3333-444455556666, NVIDIA A100-SXM4-80GB, 81920, Disabled
GPU-deadbeef-1111-2222-3333-444455556666, NVIDIA A100-SXM4-80GB, 81920, Enabled
GPU-0badf00d-1111-2222-3333-444455556666, NVIDIA GeForce RTX 3090, [Unknown Error], [N/A]
"""

SMALL, LARGE = Gpu("GPU-a", "NVIDIA GeForce RTX 3060", 12288), Gpu("GPU-b", "NVIDIA A100-SXM4-80GB", 81920)


def test_the_devices_of_nvidia_are_read_and_broken_or_partitioned_ones_left_out() -> None:
    assert parse_nvidia(NVIDIA) == [
        Gpu("GPU-5a1f3c7e-0b6d-4b7e-9d0c-2f8a61c3b4d5", "NVIDIA GeForce RTX 4090", 24564),
        Gpu("GPU-c0ffee00-1111-2222-3333-444455556666", "NVIDIA A100-SXM4-80GB", 81920),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
        "Failed to initialize NVML: Driver/library version mismatch\n",
        '"' * 1000,
    ],
)
def test_a_tool_that_apologises_gives_no_gpu(text: str) -> None:
    assert parse_nvidia(text) == []
    assert parse_rocm(text) == []


@pytest.mark.parametrize(("machine", "row", "vram"), RECORDED_NVIDIA)
def test_what_nvidia_smi_said_on_real_machines_is_read(machine: str, row: str, vram: int | None) -> None:
    name = row.split(", ")[1]
    for text in (row, row.replace(" MiB", "")):
        assert parse_nvidia(text + "\n") == ([] if vram is None else [Gpu(MASKED, name, vram)]), machine


def test_what_rocm_smi_said_on_real_machines_is_read() -> None:
    assert parse_rocm(RECORDED_MI100) == [
        Gpu("0x79ccd55167a2124a", "Arcturus GL-XL [Instinct MI100]", 32752),
        Gpu("0x4edfb117a17a07d", "Arcturus GL-XL [Instinct MI100]", 32752),
    ]
    # A card without an id of its own goes by its place: two of them must not be taken for one.
    assert parse_rocm(RECORDED_RX6700) == [Gpu("card0", "Navi 22 [Radeon RX 6700/6700 XT / 6800M]", 12272)]
    assert parse_rocm("[1]") == parse_rocm('{"card0": 1}') == []


def test_without_the_tools_there_is_nothing_to_offer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe(frozenset({"runc", "nvidia"})) == []


def test_gpus_are_offered_only_where_the_engine_can_hand_them_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{NVIDIA}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(probe(frozenset({"runc", "nvidia"}))) == 2
    assert probe(frozenset({"runc"})) == []
    tool.write_text("#!/bin/sh\necho GPU-c0ffee00-1111-2222-3333-444455556666, x, 1, [N/A]\nexit 9\n")
    assert probe(frozenset({"nvidia"})) == []


def test_no_device_is_lent_twice_and_large_ones_are_kept_for_large_jobs() -> None:
    pool = GpuPool([LARGE, SMALL])
    with pool.borrow(1, 8000) as first:
        assert first == ("GPU-a",)
        with pool.borrow(1, 8000) as second:
            assert second == ("GPU-b",)
            with pytest.raises(NoGpus, match="of 2 such here 0 are free"), pool.borrow(1, 0):
                pass
        with pytest.raises(NoGpus), pool.borrow(2, 8000):
            pass
    with pool.borrow(2, 8000) as both:
        assert sorted(both) == ["GPU-a", "GPU-b"]


def test_a_device_is_found_by_memory_and_name() -> None:
    pool = GpuPool([LARGE, SMALL])
    with pool.borrow(1, 0, "a100") as lent:
        assert lent == ("GPU-b",)
    with pytest.raises(NoGpus), pool.borrow(1, 16_000, "RTX"):
        pass
    with GpuPool(()).borrow(0, 0) as nothing:
        assert nothing == ()


def test_a_container_is_given_its_devices_by_id(tmp_path: Path) -> None:
    wanted = Wanted("sha256:0", (), {}, tmp_path, tmp_path, {}, Limits(0, 1, 1, 1, 1, 1.0), 1.0, gpus=("GPU-b",))
    requests = container(wanted)["HostConfig"]["DeviceRequests"]
    assert requests == [{"Driver": "", "DeviceIDs": ["GPU-b"], "Capabilities": [["gpu"]]}]


def test_a_device_that_another_node_has_claimed_is_not_offered(tmp_path: Path) -> None:
    with claimed([SMALL, LARGE], tmp_path) as mine:
        assert mine == [SMALL, LARGE]
        with claimed([SMALL, LARGE, Gpu("GPU-c", "other", 1)], tmp_path) as theirs:
            assert [gpu.id for gpu in theirs] == ["GPU-c"]
    with claimed([SMALL], tmp_path) as again:
        assert again == [SMALL]


async def test_a_job_for_gpus_never_runs_where_there_are_none(containers: DockerExecutor, tmp_path: Path) -> None:
    plain = find("python:v1")
    manifest = parse((plain.folder / "module.toml").read_bytes().replace(b"[resources]", b"[resources]\ngpus = 1"))
    script = tmp_path / "script.py"
    script.write_text("open('ran', 'w')")
    write(bind(manifest, files={"script": script}), tmp_path / "inputs")
    module = Module(plain.folder, manifest, plain.digest, plain.build_digest)
    task = Task("job", module, tmp_path / "inputs", tmp_path / "result", Limits.of(manifest.resources), b"")
    outcome = await containers.run(task)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "could_not_start"
    assert "GPUs" in outcome.detail


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("resources", "options", "lacks"),
    [
        ("gpus = 1", (), "gpus: 1 GPUs wanted, 0 offered"),
        ('gpus = 2\nvram_mib = 40000\ngpu = "A100"', (), 'gpus: 2 GPUs with 40000 MiB named "A100" wanted, 0 offered'),
        ("", ("--isolation", "sandboxed_wasm"), "isolation: sandboxed_wasm wanted"),
        ('isolation = "sandboxed_wasm"', (), "isolation: sandboxed_wasm wanted"),
    ],
    ids=["gpu", "kind of gpu", "isolation asked for", "isolation of the module"],
)
def test_a_job_for_what_nobody_has_ends_with_3_from_the_command_line(
    engine: str, tmp_path: Path, resources: str, options: tuple[str, ...], lacks: str
) -> None:
    find("python:v1").copy_to(tmp_path / "module")
    manifest = tmp_path / "module" / "module.toml"
    manifest.write_text(manifest.read_text().replace("[resources]", f"[resources]\n{resources}"))
    (tmp_path / "script.py").write_text("print('it ran')")
    command = [sys.executable, "-c", "from node.cli import main; main()", "run", str(tmp_path / "module")]
    command += ["--input-file", f"script={tmp_path / 'script.py'}", *options]
    environment = {**os.environ, "LILYPAD_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert lacks in done.stderr
    assert "it ran" not in done.stdout
