"""After the attack: what a crowd of strangers took is given back, and old or future news is nothing new."""

from __future__ import annotations

import gc
import os
import tracemalloc
from contextlib import AsyncExitStack

import trio

from agents.order_book import LONGEST_LIFE, OrderBook
from node.keys import new_key
from node.post import Ear
from p2p.rates import Rate
from p2p.settings import Settings
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Capacity
from protocol.offers import RESOURCE_OFFERS, MediatorOffer, Withdrawal
from protocol.signing import seal

NOW = 1_800_000_000
DOMAIN = Domain(1337, Address(bytes(20)))
OPEN_DOOR = Settings(accepts_per_ip=Rate(100_000, 100_000), handshake_within=20.0, patience=1e9)


def _held() -> tuple[int, int]:
    """Tasks and open files of this process."""
    return trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/proc/self/fd"))


async def test_a_thousand_half_open_connections_cost_sixty_four_and_go_as_they_came(honest, until, still_serves):
    async with honest(settings=OPEN_DOOR) as victim:
        await trio.sleep(0.2)
        before, port = _held(), int(victim.host.addrs[0].split("/")[4])
        async with AsyncExitStack() as stack:
            for _ in range(1000):
                await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            await until(lambda: victim.host.statistics().half_open)
            assert victim.host.statistics().half_open <= 64
            # ours is the thousandth and first: every later one pushes out a silent one
            await still_serves(victim)
            assert victim.host.statistics().half_open <= 64
        await until(lambda: victim.host.statistics().half_open == 0, 10)
        await until(lambda: all(now <= then for now, then in zip(_held(), before, strict=True)), 10)


async def test_memory_returns_to_where_it_was(honest, stranger, meet, until):
    """Three rounds of the same abuse: whatever the second and third add to the first would grow for ever."""
    async with honest(settings=OPEN_DOOR) as victim:
        target = victim.host.machinery.swarm.get_peer_id()
        port = int(victim.host.addrs[0].split("/")[4])

        async def abuse() -> None:
            for _ in range(5):
                async with stranger() as evil:
                    await meet(evil, victim.host)
                    for protocol in ("/lilypad/negotiate/1", "/meshsub/1.1.0", "/lilypad/offers/1", "/lilypad/peers/1"):
                        stream = await evil.new_stream(target, [protocol])
                        await stream.write(os.urandom(5000))
                await until(lambda: not victim.host.peers())
            for _ in range(100):
                async with await trio.open_tcp_stream("127.0.0.1", port) as silent:
                    await silent.send_all(os.urandom(100))
            await until(lambda: victim.host.statistics().half_open == 0)

        await abuse()
        await trio.sleep(0.5)
        tasks, files = _held()
        gc.collect()
        tracemalloc.start()
        try:
            await abuse()
            gc.collect()
            after_two = tracemalloc.get_traced_memory()[0]
            await abuse()
            await trio.sleep(0.5)
            gc.collect()
            after_three = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert after_three - after_two < 500_000
        await until(lambda: _held()[0] <= tasks and _held()[1] <= files)


def _offer(key, serial: int, expires: int) -> MediatorOffer:
    return MediatorOffer(key.address, serial, expires, (), Capacity(1, 1, 1, 1), (), 0, ())


def _hear(ear: Ear, book: OrderBook, now: float, data: bytes) -> bool:
    """What becomes of gossip: refused, known already, or news."""
    return ear.validate(RESOURCE_OFFERS, data) and book.hear(now, ear.take(data))


def test_a_replayed_offer_is_no_news():
    ear, book, key = Ear(DOMAIN), OrderBook(), new_key()
    old = seal(_offer(key, 1, NOW + 60), DOMAIN, key.sign)
    new = seal(_offer(key, 2, NOW + 60), DOMAIN, key.sign)
    assert _hear(ear, book, NOW, old)
    assert not _hear(ear, book, NOW, old)
    assert _hear(ear, book, NOW, new)
    assert not _hear(ear, book, NOW, old)
    assert [offer.serial for offer in book.mediators(NOW)] == [2]


def test_an_expired_offer_comes_back_for_nobody():
    ear, book, key = Ear(DOMAIN), OrderBook(), new_key()
    data = seal(_offer(key, 1, NOW + 60), DOMAIN, key.sign)
    assert not _hear(ear, book, NOW + 61, data)


def test_a_withdrawn_offer_can_t_be_replayed():
    ear, book, key = Ear(DOMAIN), OrderBook(), new_key()
    offer = seal(_offer(key, 1, NOW + 60), DOMAIN, key.sign)
    assert _hear(ear, book, NOW, offer)
    assert _hear(ear, book, NOW, seal(Withdrawal(key.address, 2, NOW + 60), DOMAIN, key.sign))
    assert not _hear(ear, book, NOW, offer)
    assert list(book.mediators(NOW)) == []


def test_an_offer_from_the_future_or_for_ever_is_not_believed():
    ear, book, key = Ear(DOMAIN), OrderBook(), new_key()
    assert not _hear(ear, book, NOW, seal(_offer(key, 1, NOW + LONGEST_LIFE + 1), DOMAIN, key.sign))
    assert not _hear(ear, book, NOW, seal(_offer(key, 2, 2**62), DOMAIN, key.sign))
    # nor does a high serial keep its author's later, honest offers out
    assert _hear(ear, book, NOW, seal(_offer(key, 3, NOW + 60), DOMAIN, key.sign))


def test_nobody_can_replay_an_offer_under_another_name():
    ear, book, key, thief = Ear(DOMAIN), OrderBook(), new_key(), new_key()
    assert not _hear(ear, book, NOW, seal(_offer(key, 9, NOW + 60), DOMAIN, thief.sign))
