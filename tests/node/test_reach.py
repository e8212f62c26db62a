"""What a node's user is told about how others reach it."""

from __future__ import annotations

import json

from tests.helpers.network import open_network
from tests.helpers.processes import wait_until


def test_a_node_says_who_is_connected_how_and_what_it_knows_of_itself(tmp_path):
    with open_network(tmp_path, {"client": "client", "provider": "provider"}) as network:
        client = network.nodes["client"]
        network_of = lambda: client.api("/api/v1/status")["network"]  # noqa: E731
        wait_until(lambda: network_of()["dialable"] is not None, 60, "nobody was asked to dial the node")
        found = network_of()
        assert (found["dialable"], found["behind_router"], found["widest"]) == (True, False, "machine")
        assert found["seen_at"][0].startswith("/ip4/127.0.0.1/tcp/")
        wait_until(lambda: network_of()["dht"]["table"] == 1, 60, "the provider is not in the table")
        (peer,) = json.loads(client.lilypad("node", "peers", "--json").out)
        assert {"peer", "address", "direction", "through", "ip"} == set(peer)
        assert (peer["through"], peer["ip"]) == ("direct", "127.0.0.1")
        told = client.lilypad("node", "peers").out
        assert "1 of 1 peers asked could dial it" in told
        assert "DHT: 1 peers in the table" in told
        assert "local network: off" in told
        report = json.loads(client.lilypad("doctor", "--json").out)
        found = {finding["about"]: finding for finding in report["findings"]}
        assert found["reach"]["grade"] == "ok"
        assert found["reach"]["what"].startswith("dialable: 1 of 1 peers that were asked")
        assert found["addresses"]["grade"] == "warning"  # loopback only
        assert found["dht"]["what"].startswith("works: 1 peers in its table")
        assert "off" in found["lan"]["what"]
