"""``lilypad jobs`` and ``lilypad offers``: what a running node knows."""

from __future__ import annotations

import json as json_format
import time
from typing import Any

from node.cli.ending import run_trio
from node.cli.progress import Progress
from node.cli.tables import print_offers, print_table
from node.config import Config


def _ask(config: Config, path: str, method: str = "get") -> Any:
    from node.client import need_node

    async def ask() -> Any:
        async with need_node(config.home) as client:
            return await (client.get(path) if method == "get" else client.post(path))

    return run_trio(ask)


def ls(config: Config, json: bool) -> None:
    """All jobs, newest first."""
    found = _ask(config, "/api/v1/jobs")
    if json:
        print(json_format.dumps(found, indent=2))
        return
    rows = []
    for job in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["started"]))
        rows.append((job["job"], f"{job['module']['name']}:{job['module']['version']}", when, job["outcome"]))
    print_table(("JOB", "MODULE", "ASKED FOR AT", "OUTCOME"), rows)


def show(config: Config, job: str, json: bool) -> None:
    """A job's document, or its story."""
    document = _ask(config, f"/api/v1/jobs/{job}")
    if json:
        print(json_format.dumps(document, indent=2))
        return
    print(f"{document['module']['name']}:{document['module']['version']}  {document['outcome']}  {document['reason']}")
    print(f"provider {document['provider']}  agreed {document['price']['agreed']}  paid {document['price']['paid']}")
    print(f"result {document['result']['cid']}  exit code {document['result']['exit_code']}")
    print(f"deal {document['deal']}  {document['chain']['gas']:,} gas")


def cancel(config: Config, job: str) -> None:
    """Drop a job that has no deal yet."""
    _ask(config, f"/api/v1/jobs/{job}/cancel", "post")
    Progress(quiet=False).say("told the node; a signed deal goes on")


def offers_ls(config: Config, json: bool) -> None:
    """What is on offer now."""
    found = _ask(config, "/api/v1/offers")
    if json:
        print(json_format.dumps(found, indent=2))
    else:
        print_offers(found)
