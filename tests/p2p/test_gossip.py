"""Gossip between honest hosts, and what the validator does to it."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from itertools import pairwise

import trio

from p2p.settings import Settings

OFFERS = "/lilypad/1/resource-offers"


async def test_what_one_says_all_of_five_hear_once(honest, until):
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(honest()) for _ in range(5)]
        for earlier, later in pairwise(hosts):  # a line: what the last one hears was passed on
            await later.host.connect(earlier.host.addrs[0])
        await until(lambda: all(each.host.machinery.router.mesh[OFFERS] for each in hosts))
        for number in range(10):
            await hosts[0].host.publish(OFFERS, b"offer %d" % number)
        await until(lambda: all(len(each.heard) == 10 for each in hosts[1:]), 10)
        await trio.sleep(0.3)
        assert all(sorted(each.heard) == [b"offer %d" % number for number in range(10)] for each in hosts[1:])
        assert hosts[0].heard == []


async def test_a_market_of_seven_starts_in_seconds_and_hears_everything(honest, until):
    async with AsyncExitStack() as stack:
        started = time.perf_counter()
        first = await stack.enter_async_context(honest())
        rest = [await stack.enter_async_context(honest(bootstrap=(first.host.addrs[0],))) for _ in range(6)]
        hosts = [first, *rest]
        await until(lambda: len(first.host.peers()) == 6)
        await until(lambda: all(each.host.machinery.router.mesh[OFFERS] for each in hosts))
        up = time.perf_counter() - started
        for number, each in enumerate(hosts):
            await each.host.publish(OFFERS, b"offer of %d" % number)
        await until(lambda: all(len(each.heard) == 6 for each in hosts))
        reached = time.perf_counter() - started - up
        # a second and a fifth on a quiet machine; the library's own heartbeat would make it two minutes
        assert up < 15
        assert reached < 10


async def test_few_listeners_all_hear_even_before_the_mesh_has_them(honest, until):
    calm = Settings(heartbeat=60.0)
    async with honest(settings=calm) as host_a, honest(settings=calm) as host_b, honest(settings=calm) as host_c:
        await host_a.host.connect(host_b.host.addrs[0])
        await host_c.host.connect(host_b.host.addrs[0])
        routers = [each.host.machinery.router for each in (host_a, host_b, host_c)]
        await until(lambda: len(routers[1].mesh[OFFERS]) == 2 and routers[0].mesh[OFFERS] and routers[2].mesh[OFFERS])
        for router in routers:
            router.mesh[OFFERS].clear()
        await host_a.host.publish(OFFERS, b"early")
        await until(lambda: host_b.heard == host_c.heard == [b"early"])


async def test_what_a_slow_neighbour_has_no_room_for_is_counted(honest, until):
    async with honest(settings=Settings(outbox=8)) as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await until(lambda: host_a.host.machinery.router.mesh[OFFERS])
        (stream,) = host_a.host.machinery.pubsub.peers.values()
        stream.muxed_stream.send_window = 0  # as of one who does not read
        for number in range(30):
            await host_a.host.publish(OFFERS, b"offer %d" % number)
        unsent = host_a.host.statistics().gossip_unsent
        assert unsent >= 20
        assert f"lilypad_p2p_gossip_unsent_total {unsent}\n" in host_a.host.metrics()


async def test_a_burst_is_not_lost(honest, until):
    async with honest() as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await until(lambda: host_a.host.machinery.router.mesh[OFFERS])
        for number in range(150):
            await host_a.host.publish(OFFERS, b"%d" % number)
        await until(lambda: len(host_b.heard) == 150, 10)


async def test_what_the_validator_refuses_is_neither_heard_nor_passed_on(honest, until):
    def polite(topic: str, data: bytes) -> bool:
        return not data.startswith(b"rude")

    content = Settings(wanted_peers=1, dht=False, outside=False)  # the ends must not find each other
    async with (
        honest(settings=content) as host_a,
        honest(validate=polite, settings=content) as host_b,
        honest(settings=content) as host_c,
    ):
        await host_a.host.connect(host_b.host.addrs[0])
        await host_c.host.connect(host_b.host.addrs[0])
        await until(lambda: len(host_b.host.machinery.router.mesh[OFFERS]) == 2)
        await host_a.host.publish(OFFERS, b"rude words")
        await host_a.host.publish(OFFERS, b"good day")
        await until(lambda: host_c.heard)
        assert host_b.heard == host_c.heard == [b"good day"]
        assert host_b.host.statistics().bans == 0


async def test_a_validator_that_raises_costs_only_that_message(honest, until, still_serves):
    def clumsy(topic: str, data: bytes) -> bool:
        return bool(1 // (data != b"zero"))

    async with honest() as host_a, honest(validate=clumsy) as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await until(lambda: host_a.host.machinery.router.mesh[OFFERS])
        await host_a.host.publish(OFFERS, b"zero")
        await until(lambda: host_b.host.statistics().gossip_broken)  # a newcomer may be told the latest twice
        await host_a.host.publish(OFFERS, b"one")
        await until(lambda: host_b.heard == [b"one"])
        await still_serves(host_b)


async def test_a_newcomer_after_a_restart_is_heard_at_once(honest, until):
    """Message numbers start at the time in nanoseconds, so they don't repeat those of the life before."""
    async with honest() as host_a:
        for life in (b"first", b"second"):
            async with honest(seed=9_000_001, bootstrap=(host_a.host.addrs[0],)) as host_b:
                await until(lambda: host_b.host.machinery.router.mesh[OFFERS])
                for number in range(5):
                    await host_b.host.publish(OFFERS, life + b"%d" % number)
                await until(lambda: len([data for data in host_a.heard if data.startswith(life)]) == 5)  # noqa: B023
