"""Runs without running: what a job's module gives is derived from the job by hash, so every honest run agrees."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from random import Random

from protocol.job import Job, Resources, Run

PROFILE = "simulated"


def run_of(job: Job) -> Run:
    """What any honest machine gets for this job; one in sixteen ends with an exit code."""
    seed = blake2b(repr((job.module, job.inputs_cid, job.seed)).encode(), digest_size=32).digest()
    exit_code = seed[0] if seed[1] < 16 else 0
    cid = f"result-{seed.hex()[:40]}"
    fuel = int.from_bytes(seed[2:6], "big")
    milliseconds = int.from_bytes(seed[6:8], "big") % (1000 * job.resources.timeout)
    return Run(cid, exit_code, fuel, PROFILE, "", milliseconds, size_of(cid))


def size_of(cid: str) -> int:
    """Bytes of the DAG of this name."""
    return int.from_bytes(blake2b(cid.encode(), digest_size=3).digest(), "big")


def same(job: Job, one: str, other: str) -> bool:
    """Whether two results of a job agree: to the byte, or where it is compared with a tolerance but for the noise."""
    return one == other or (job.compare != "exact" and one.partition("~")[0] == other.partition("~")[0])


def noisy_run(job: Job, rng: Random) -> Run:
    """What one machine gets at one time: with a tolerance, other bytes each time."""
    run = run_of(job)
    return run if job.compare == "exact" else replace(run, cid=f"{run.cid}~{rng.getrandbits(32):08x}")


def draw_job(rng: Random) -> Job:
    """A job of a size that most machines hold."""
    module = rng.choice("abcd")
    resources = Resources(
        cpu_millis=rng.choice((500, 1000, 2000)),
        memory_mib=rng.choice((64, 512, 2048)),
        disk_mib=64,
        gpus=0,
        vram_mib=0,
        timeout=rng.choice((5, 15, 30)),
    )
    return Job(
        module=f"sha256:{module * 64}",
        module_cid=f"module-{module}",
        inputs_cid=f"inputs-{rng.randbytes(8).hex()}",
        executor="wasm",
        resources=resources,
        compare="exact",
        seed=rng.randbytes(32),
    )
