"""What the doctor says of a node's network, for every way in which that may be."""

from __future__ import annotations

import pytest

from node.config import Config
from node.doctor.finding import Patient
from node.doctor.network import check_network

HEALTHY = {
    "listening": ["/ip4/203.0.113.5/tcp/4001/p2p/16U"],
    "widest": "internet",
    "dialled_from": ["internet"],
    "seen_at": ["/ip4/203.0.113.5/tcp/4001"],
    "behind_router": False,
    "dialable": True,
    "asked_to_dial": 3,
    "dialled_back": 2,
    "relays_wanted": 0,
    "relayed": [],
    "punched": 0,
    "punches_failed": 0,
    "dht": {"on": True, "table": 4, "answered": 3},
    "lan": {"state": "off", "found": 0},
    "relay": False,
}
SHUT = {"dialable": False, "dialled_back": 0, "dialled_from": []}


@pytest.mark.parametrize(
    ("change", "about", "grade", "words"),
    [
        ({}, "reach", "ok", "dialable: 2 of 3 peers"),
        ({"listening": [], "widest": None}, "reach", "warning", "does not listen"),
        (SHUT, "reach", "warning", "not dialable: 0 of 3"),
        (SHUT | {"behind_router": True}, "reach", "warning", "behind a router that lets nobody in: 0 of 3"),
        (SHUT | {"relayed": ["/x"], "relays_wanted": 1}, "reach", "ok", "not dialable (0 of 3"),
        (SHUT | {"dialable": None}, "reach", "warning", "not known"),
        ({"dialable": None}, "reach", "ok", "somebody on the internet has dialled it"),
        ({"widest": "machine"}, "addresses", "warning", "this machine only"),
        ({"relays_wanted": 2, "relayed": ["/x"]}, "relays", "warning", "1 of 2 relays"),
        ({"punched": 1, "punches_failed": 2}, "holes", "ok", "1 punched, 2 stayed relayed"),
        ({"relay": True}, "relaying", "ok", "within limits"),
        ({"dht": {"on": True, "table": 0, "answered": 0}}, "dht", "warning", "nobody whom it could dial"),
        ({"dht": {"on": False, "table": 0, "answered": 0}}, "dht", "ok", "off"),
        ({"lan": {"state": "no network to speak on", "found": 0}}, "lan", "warning", "no network to speak on"),
        ({"lan": {"state": "on", "found": 2}}, "lan", "ok", "2 others were noticed"),
    ],
)
async def test_each_state_of_the_network_is_told_as_it_is(change, about, grade, words, tmp_path):
    status = {"network": HEALTHY | change}
    findings = await check_network(Patient(Config(tmp_path, "devnet", {}), None, None, status))
    (found,) = [finding for finding in findings if finding.about == about]
    assert found.grade.value == grade
    assert words in found.what


async def test_without_a_node_there_is_nothing_to_say(tmp_path):
    assert list(await check_network(Patient(Config(tmp_path, "devnet", {}), None, None, None))) == []
