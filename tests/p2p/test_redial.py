"""Peers that vanish and come back, and addresses that are not theirs."""

from __future__ import annotations

import random
import socket

import pytest

from p2p.book import Book
from p2p.errors import NotDialable, NotTheirs
from p2p.places import network_of, peer_at, reachable
from p2p.settings import Settings
from protocol.identity import address_of_peer

TALK = "/lilypad/negotiate/1"
SOMEBODY = "16Uiu2HAkzdQ5Y9SYT91K1ue5SxXwgmajXntfScGnLYeip5hHyWmT"
ADDRESS = address_of_peer(SOMEBODY)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_a_peer_that_restarts_at_the_same_address_is_dialled_again(honest, until):
    place = f"/ip4/127.0.0.1/tcp/{_free_port()}"
    async with honest() as host_a:
        async with honest(seed=9_000_002, listen=place) as host_b:
            peer = await host_a.host.connect(host_b.host.addrs[0])
            await until(host_b.host.peers)
        await until(lambda: not host_a.host.peers())
        async with honest(seed=9_000_002, listen=place) as host_b:
            await until(host_a.host.peers, 5)
            await host_a.host.send(peer.address, TALK, b"welcome back")
            await until(lambda: host_b.frames == [b"welcome back"])


async def test_a_bootstrap_peer_that_comes_late_is_found(honest, until):
    port = _free_port()
    place = f"/ip4/127.0.0.1/tcp/{port}"
    async with honest(seed=9_000_003) as known:
        peer_id = known.host.peer_id
    async with honest(bootstrap=(f"{place}/p2p/{peer_id}",)) as host_a:
        await until(lambda: host_a.host.statistics().dials_failed)
        async with honest(seed=9_000_003, listen=place):
            await until(host_a.host.peers)


async def test_a_peer_that_claims_another_s_address_is_not_believed(honest):
    async with honest() as host_a, honest() as host_b, honest() as host_c:
        with pytest.raises(NotTheirs):
            host_a.host.learn(host_b.host.address, host_c.host.addrs)
        with pytest.raises(NotTheirs):
            host_a.host.learn(host_b.host.address, [*host_b.host.addrs, *host_c.host.addrs])
        assert host_a.host.statistics().known_peers == 0


@pytest.mark.parametrize(
    "place",
    [
        "",
        "/ip4/127.0.0.1/tcp/80",
        f"/ip4/127.0.0.1/udp/80/p2p/{SOMEBODY}",
        f"/ip4/999.0.0.1/tcp/80/p2p/{SOMEBODY}",
        f"/ip4/127.0.0.1/tcp/99999/p2p/{SOMEBODY}",
        f"/ip4/127.0.0.1/tcp/80/p2p/{SOMEBODY}/p2p-circuit",
        "/ip4/127.0.0.1/tcp/80/p2p/12D3KooWGC6TvWhfapsX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5p",
        f"/unix/tmp/tcp/80/p2p/{SOMEBODY}",
        f"/dns4/{'a' * 300}/tcp/80/p2p/{SOMEBODY}",
        "\0" * 20,
    ],
)
def test_what_can_t_be_dialled_is_told_apart(place):
    with pytest.raises(NotDialable):
        peer_at(place)


def test_names_and_both_kinds_of_ip_can_be_dialled():
    for host in ("ip4/10.0.0.1", "ip6/::1", "dns4/example.org", "dns/example.org"):
        assert peer_at(f"/{host}/tcp/4001/p2p/{SOMEBODY}").address == ADDRESS


def test_a_wildcard_is_spelled_out_and_an_announced_address_wins():
    spelled = reachable(["/ip4/0.0.0.0/tcp/4001"], [], SOMEBODY)
    assert f"/ip4/127.0.0.1/tcp/4001/p2p/{SOMEBODY}" in spelled
    assert not any("0.0.0.0" in place for place in spelled)
    told = reachable(["/ip4/0.0.0.0/tcp/4001"], ["/dns4/me.example/tcp/1"], SOMEBODY)
    assert told == (f"/dns4/me.example/tcp/1/p2p/{SOMEBODY}",)


def test_an_ipv6_customer_counts_as_one_however_many_addresses_it_uses():
    assert network_of("2001:db8:1:2::3") == network_of("2001:db8:1:2:ffff::1")
    assert network_of("2001:db8:1:2::3") != network_of("2001:db8:1:3::3")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") != network_of("192.0.2.2")


@pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on this machine")
async def test_ipv6_works_like_ipv4(honest, until):
    async with honest(listen="/ip6/::1/tcp/0") as host_a, honest() as host_b:
        await host_b.host.connect(host_a.host.addrs[0])
        await until(host_a.host.peers)
        assert host_a.host.remote_ip(host_b.host.address) == host_b.host.remote_ip(host_a.host.address) == "::1"


def test_strangers_who_never_answer_are_forgotten_and_kept_peers_are_not():
    book = _book()
    book.learn(b"kept", ["x"], kept=True)
    book.learn(b"stranger", ["y"])
    for number in range(8):
        book.failed(b"kept", float(number))
        book.failed(b"stranger", float(number))
    assert book.addrs(b"kept") == ("x",)
    assert book.addrs(b"stranger") == ()


def test_strangers_can_t_push_out_the_address_that_our_owner_gave():
    book = _book()
    book.learn(b"a", ["ours"], kept=True)
    book.learn(b"a", [f"theirs {number}" for number in range(20)])
    assert book.addrs(b"a")[0] == "ours"
    assert len(book.addrs(b"a")) == 8


def _book(**changes: int) -> Book:
    return Book(Settings(**changes), random.Random(1))


def _due(book: Book, now: float, *, lonely: bool = False) -> list[bytes]:
    return list(book.due(now, lonely=lonely))


def test_each_failure_makes_the_wait_longer_up_to_a_limit():
    book, now, waits = _book(), 0.0, []
    book.learn(b"a", ["x"], kept=True)
    for _ in range(12):
        assert _due(book, now) == [b"a"]
        book.failed(b"a", now)
        waits.append(book.next_due(now, lonely=False))
        now += waits[-1]
    assert waits[0] <= 0.2
    assert waits[-1] <= 30
    assert waits[-1] > 10 * waits[0]


def test_a_connection_that_lasted_starts_the_waits_anew_and_one_that_broke_does_not():
    book = _book()
    book.learn(b"a", ["x"], kept=True)
    for _ in range(8):
        book.failed(b"a", 0.0)
    book.joined(b"a", 100.0)
    assert _due(book, 200.0) == []
    book.left(b"a", 101.0)
    assert book.next_due(101.0, lonely=False) > 5
    book.joined(b"a", 200.0)
    book.left(b"a", 300.0)
    assert book.next_due(300.0, lonely=False) < 1


def test_strangers_are_dialled_only_by_the_lonely_and_make_room_for_newer_ones():
    book = _book(known_peers=3)
    book.learn(b"kept", ["x"], kept=True)
    for name in (b"1", b"2", b"3"):
        book.learn(name, ["y"])
    assert len(book) == 3
    assert _due(book, 0.0) == [b"kept"]
    assert _due(book, 0.0, lonely=True) == [b"kept", b"3", b"2"]
