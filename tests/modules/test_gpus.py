"""GPUs are found in the outputs of the makers' tools, and lent by id, never twice.

There is no GPU on the machines that run these tests: what is shown is the reading and the lending, not a job on one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.catalogue import find
from modules.docker.executor import DockerExecutor
from modules.docker.hardening import Wanted, container
from modules.executor import Failed, Limits, Task
from modules.gpus.pool import Gpu, GpuPool, NoGpus
from modules.gpus.probe import parse_nvidia, parse_rocm, probe
from modules.inputs import bind, write
from modules.manifest_parser import parse
from modules.module import Module

# Written by hand in the formats that the tools' manuals give; not recorded on a machine with GPUs.
NVIDIA = """\
GPU-5a1f3c7e-0b6d-4b7e-9d0c-2f8a61c3b4d5, NVIDIA GeForce RTX 4090, 24564, [N/A]
GPU-c0ffee00-1111-2222-3333-444455556666, NVIDIA A100-SXM4-80GB, 81920, Disabled
GPU-deadbeef-1111-2222-3333-444455556666, NVIDIA A100-SXM4-80GB, 81920, Enabled
GPU-0badf00d-1111-2222-3333-444455556666, NVIDIA GeForce RTX 3090, [Unknown Error], [N/A]
"""
ROCM = """{"card0": {"Unique ID": "0x18e5a9c4b0f1d2e3", "VRAM Total Memory (B)": "25753026560",
"VRAM Total Used Memory (B)": "27467776", "Card Series": "Radeon RX 7900 XTX", "Card Model": "0x744c"},
"card1": {"Unique ID": "N/A", "Card Series": "Raphael"}, "system": {"Driver version": "6.7.0"}}"""

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


def test_the_devices_of_rocm_are_read() -> None:
    assert parse_rocm(ROCM) == [Gpu("0x18e5a9c4b0f1d2e3", "Radeon RX 7900 XTX", 24560)]
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
