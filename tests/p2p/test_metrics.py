"""What Prometheus is told."""

from __future__ import annotations

from dataclasses import fields

from p2p.metrics import render
from p2p.statistics import BOUNDS, Histogram, Statistics

TALK = "/lilypad/negotiate/1"


def _samples(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    }


def test_every_number_of_a_host_is_there_with_help_and_type():
    numbers = Statistics(*range(len(fields(Statistics))))
    text = render(numbers, Histogram())
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names == {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert len(names) == len(fields(Statistics)) + 1
    assert _samples(text)["lilypad_p2p_gossip_late_total"] == numbers.gossip_late
    assert _samples(text)["lilypad_p2p_peers"] == numbers.peers
    assert text.endswith("\n")


def test_buckets_count_what_took_no_longer():
    histogram = Histogram()
    for seconds in (0.001, 0.002, 0.3, 99.0):
        histogram.see(seconds)
    found = dict(histogram.cumulative())
    assert (found["0.001"], found["0.0025"], found["0.25"], found["0.5"], found["+Inf"]) == (1, 2, 2, 3, 4)
    assert len(found) == len(BOUNDS) + 1
    assert histogram.total == 99.303


async def test_the_first_answer_of_a_talk_is_timed_and_no_other(honest, until):
    async with honest() as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        for number in range(3):
            await host_a.host.send(host_b.host.address, TALK, b"ask")
            await until(lambda: len(host_b.frames) == number + 1)  # noqa: B023
            await host_b.host.send(host_a.host.address, TALK, b"answer")
            await until(lambda: len(host_a.frames) == number + 1)  # noqa: B023
        samples = _samples(host_a.host.metrics())
        assert samples["lilypad_p2p_talk_answer_seconds_count"] == 1
        assert 0 < samples["lilypad_p2p_talk_answer_seconds_sum"] < 5
        assert samples["lilypad_p2p_frames_in_total"] == samples["lilypad_p2p_frames_out_total"] == 3
        assert _samples(host_b.host.metrics())["lilypad_p2p_talk_answer_seconds_count"] == 0
