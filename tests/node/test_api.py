"""The node's HTTP interface keeps strangers and other sites' pages out, over real HTTP."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.helpers.network import Network


@pytest.fixture
def contact(network: Network) -> dict[str, str]:
    """URL and token of the client's node."""
    found: dict[str, str] = json.loads((network.nodes["client"].home / "node.json").read_text())
    return found


def ask(
    contact: dict[str, str], path: str, *, method: str = "GET", body: bytes = b"", **headers: str | None
) -> tuple[int, bytes]:
    """One request, every header under the test's control."""
    address = urlsplit(contact["url"])
    given: dict[str, str | None] = {"Host": address.netloc, "Authorization": f"Bearer {contact['token']}", **headers}
    lines = [f"{method} {path} HTTP/1.1", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
    with socket.create_connection((address.hostname, address.port), timeout=10) as stream:
        stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b""
        while chunk := stream.recv(65536):
            answer += chunk
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


def test_the_contact_file_is_its_owners_alone(network: Network, contact: dict[str, str]) -> None:
    file = network.nodes["client"].home / "node.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(contact["token"]) >= 40
    assert urlsplit(contact["url"]).hostname == "127.0.0.1"


def test_the_token_opens(contact: dict[str, str]) -> None:
    assert ask(contact, "/api/v1/status")[0] == 200
    assert ask(contact, "/api/v1/status", Host="localhost:1")[0] == 200
    assert ask(contact, "/api/v1/status", Origin=contact["url"])[0] == 200


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v1/status", "GET"),
        ("/api/v1/offers", "GET"),
        ("/api/v1/jobs", "GET"),
        ("/api/v1/jobs", "POST"),
        ("/api/v1/jobs/00", "GET"),
        ("/api/v1/jobs/00/events", "GET"),
        ("/api/v1/jobs/00/cancel", "POST"),
        ("/api/v1/content?root=x", "POST"),
        ("/api/v1/stop", "POST"),
    ],
)
def test_nothing_is_open_without_it(contact: dict[str, str], path: str, method: str) -> None:
    for headers in (
        {"Authorization": None},
        {"Authorization": "Bearer " + "x" * 43},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \u00fc"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        code, content = ask(contact, path, method=method, **headers)
        assert code == 403, (headers, content)
        assert b"error" in content


def test_strangers_may_fetch_blocks_and_ask_for_health(contact: dict[str, str]) -> None:
    assert ask(contact, "/healthz", Authorization=None)[0] == 200
    assert ask(contact, "/ipfs/nonsense", Authorization=None)[0] in (400, 404)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"job": 7}',
        b"\xff\xfe",
        b'{"job": {"seed": "zz"}, "about": {}}',
        b'{"a":' * 5000,
        b'{"x": "' + b"y" * 1_100_000 + b'"}',
    ],
)
def test_garbage_is_answered_not_obeyed(contact: dict[str, str], body: bytes) -> None:
    assert ask(contact, "/api/v1/jobs", method="POST", body=body)[0] == 400
    assert ask(contact, "/api/v1/status")[0] == 200


def test_foreign_content_must_be_what_its_root_says(contact: dict[str, str]) -> None:
    assert ask(contact, "/api/v1/content?root=nonsense", method="POST", body=b"x")[0] == 400
    cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    assert ask(contact, f"/api/v1/content?root={cid}", method="POST", body=b"not a car")[0] == 400
    assert ask(contact, "/api/v1/jobs/00/events?after=x")[0] in (400, 404)
