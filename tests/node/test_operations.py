"""What a node is left alone with: metrics and their dashboard, a scraper's token, steps in its log, a bounded end."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import httpx

from tests.helpers.network import Network, open_network
from tests.helpers.processes import ROOT, finish


def scrape(url: str, token: str) -> httpx.Response:
    return httpx.get(url + "/metrics", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30)


def test_the_dashboard_asks_only_for_what_a_node_tells(network: Network) -> None:
    node = network.nodes["client"]
    network.run("cowsay:v0.1", "counted", timeout=120)
    token = (node.home / "metrics-token").read_text().strip()
    assert (node.home / "metrics-token").stat().st_mode & 0o777 == 0o600
    url = json.loads((node.home / "node.json").read_text())["url"]
    told = scrape(url, token).text
    known = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    known |= {f"{name}_bucket" for name in known}
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    names = set(re.findall(r"\b(?:lilypad|process)_\w+", asked))
    assert len(names) > 20
    assert names <= known, names - known
    assert re.search(r'lilypad_jobs{outcome="DONE"} [1-9]', told)


def test_the_scrapers_token_opens_nothing_else(network: Network) -> None:
    node = network.nodes["client"]
    contact = json.loads((node.home / "node.json").read_text())
    token = (node.home / "metrics-token").read_text().strip()
    assert scrape(contact["url"], token).status_code == 200
    assert scrape(contact["url"], contact["token"]).status_code == 200
    assert scrape(contact["url"], "nobody").status_code == 403
    assert scrape(contact["url"], token[:-1]).status_code == 403
    headers = {"Authorization": f"Bearer {token}"}
    asked = httpx.get(contact["url"] + "/api/v1/status", headers=headers, trust_env=False, timeout=30)
    assert asked.status_code == 403


def test_a_deals_steps_are_in_every_log_and_an_ending_node_takes_its_offer_back(tmp_path: Path) -> None:
    told = {"LILYPAD_LOG": "json"}
    roles = {"provider_a": "provider", "client": "client"}
    with open_network(tmp_path, roles, environment=dict.fromkeys(roles, told)) as town:
        done = town.run("cowsay:v0.1", "step by step", "--json", "--check", "0", timeout=120).document
        deal = done["deal"][2:]
        for name, step in (("client", "calls Open"), ("provider_a", "runs the module")):
            lines = [json.loads(line) for line in town.nodes[name].log().splitlines() if line.startswith("{")]
            assert step in [line["what"] for line in lines if line.get("deal") == deal]
            assert all(line["at"] > 1.7e9 and line["level"] for line in lines)
        provider = town.nodes["provider_a"].process
        assert provider is not None
        provider.send_signal(signal.SIGTERM)
        began = time.monotonic()
        finish(provider)
        assert provider.returncode == 0
        assert time.monotonic() - began < 30
        offers = town.nodes["client"].api("/api/v1/offers")
        assert offers == [], "its offer was taken back, not left to expire"


def test_a_log_form_that_nobody_knows_is_refused(network: Network) -> None:
    client = network.nodes["client"]
    before = client.environment
    client.environment = {**before, "LILYPAD_LOG": "prose"}
    try:
        ended = client.lilypad("node", "start")
    finally:
        client.environment = before
    assert ended.code == 2
    assert "text or json" in ended.err
