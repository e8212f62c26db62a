"""Whole nodes over an endpoint like Filecoin's and IPC's: a job is bought, run, checked and paid all the same."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.network import money_report, open_network
from tests.helpers.processes import wait_until


def test_a_job_goes_through_an_endpoint_without_filters_and_with_null_rounds(tmp_path: Path) -> None:
    roles = {"provider_a": "provider", "judge": "mediator", "client": "client"}
    with open_network(tmp_path, roles, "lock_within = 60", front="filecoin") as network:
        before = money_report(network)
        for turn in range(2):
            ended = network.run("cowsay:v0.1", f"over null rounds {turn}", "--check", "1", "--json", timeout=180)
            assert ended.code == 0, (ended.err, network.nodes["client"].log())
            document = ended.document
            assert document["verification"]["verdict"] == "accepted"
            paid = int(document["price"]["paid"])
            before["client"] = (before["client"][0] - paid, 0)
            before["provider_a"] = (before["provider_a"][0] + paid, 0)
        wait_until(lambda: money_report(network) == before, 60, f"{money_report(network)} is not {before}")
        told = network.nodes["client"].lilypad("wallet", "deposit", "1000", timeout=90)
        assert told.code == 0, told.err
        assert network.nodes["client"].money()["free"] == before["client"][0] + 1000, "once"
        assert network.forbidden is not None
        network.forbidden.seek(0)
        assert network.forbidden.read() == "", "no filters, no subscriptions, no logs"
