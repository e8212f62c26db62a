"""What a user types as a job's id leads nowhere but to that job."""

from __future__ import annotations

import pytest

from tests.helpers.network import Network

ODD = ("../stop?", "../stop", "", "?x=1", "../status", "ABCD", "00/events", "%2e%2e/stop", "00#", "\u0660\u0661")


@pytest.mark.parametrize("verb", ["show", "cancel", "explain", "logs", "get", "resume"])
def test_an_id_that_is_none_is_refused_and_reaches_no_other_part_of_the_node(network: Network, verb: str) -> None:
    client = network.nodes["client"]
    for odd in ODD:
        ended = client.inside("jobs", verb, odd)
        assert ended.code == 2, (odd, ended.err)
        assert "is no id of a job" in ended.complaint
        assert "lilypad jobs ls" in ended.err
    assert client.inside("jobs", verb, "ab" * 16).code == 2, "no such job"
    assert client.api("/api/v1/status")["roles"] == ["client"]


def test_a_record_of_a_job_that_is_not_known_is_not_said_to_lack_a_dispute(network: Network) -> None:
    client = network.nodes["client"]
    ended = client.inside("jobs", "show", "ab" * 16, "--record", client.here / "record.json")
    assert ended.code == 2
    assert "no such job" in ended.complaint
    assert not (client.here / "record.json").exists()
