"""Ids are told, bodies are pulled once, and whoever tells of what they can't give is to blame."""

from __future__ import annotations

import struct
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
import trio
from libp2p.network.stream.exceptions import StreamEOF, StreamReset

from p2p.bodies import ID_SIZE, IDS, PROTOCOL, id_of
from p2p.rates import Rate
from p2p.settings import Settings

OFFERS = "/lilypad/1/resource-offers"
BY_ID = Settings(dht=False, announce_peers=0)


async def _meshed(until, *hosts):
    await until(lambda: all(each.host.machinery.router.mesh[OFFERS + IDS] for each in hosts))


async def test_bodies_reach_the_end_of_a_line_and_are_pulled_once_by_each(honest, until):
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(honest(settings=BY_ID)) for _ in range(4)]
        for earlier, later in pairwise(hosts):
            await later.host.connect(earlier.host.addrs[0])
        await _meshed(until, *hosts)
        for number in range(10):
            await hosts[0].host.publish(OFFERS, b"offer %d" % number)
        await until(lambda: all(len(each.heard) == 10 for each in hosts[1:]))
        assert all(sorted(each.heard) == [b"offer %d" % number for number in range(10)] for each in hosts[1:])
        assert [each.host.statistics().bodies_in for each in hosts] == [0, 10, 10, 10]
        assert [each.host.statistics().bodies_out for each in hosts] == [10, 10, 10, 0]


async def test_several_announcements_share_a_message(honest, until):
    async with honest(settings=Settings(announce_peers=0, announce_within=0.3)) as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await _meshed(until, host_a, host_b)
        before = host_a.host.machinery.pubsub.counter
        for number in range(20):
            await host_a.host.publish(OFFERS, b"%d" % number)
        await until(lambda: len(host_b.heard) == 20)
        assert host_a.host.machinery.pubsub.counter == before + 1


async def test_an_unchanged_offer_costs_an_id_only(honest, until):
    async with honest(settings=BY_ID) as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await _meshed(until, host_a, host_b)
        for times in range(1, 4):
            await host_a.host.publish(OFFERS, b"the same as ever")
            await until(lambda: host_a.host.statistics().ids_out == times)  # noqa: B023
            await trio.sleep(0.1)
        assert host_b.heard == [b"the same as ever"]
        assert host_b.host.statistics().bodies_in == 1


async def test_a_small_network_sends_bodies_and_a_long_one_goes_by_id(honest, until):
    async with honest() as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await _meshed(until, host_a, host_b)
        await host_a.host.publish(OFFERS, b"short")
        await host_a.host.publish(OFFERS, bytes(10_000))
        await until(lambda: len(host_b.heard) == 2)
        assert host_a.host.statistics().ids_out == host_b.host.statistics().bodies_in == 1


async def test_a_crowd_of_publishers_turns_bodies_into_ids(honest, until):
    few = Settings(announce_peers=3)
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(honest(settings=few)) for _ in range(5)]
        for earlier, later in pairwise(hosts):  # a line: nobody has more than two neighbours
            await later.host.connect(earlier.host.addrs[0])
        await _meshed(until, *hosts)
        for number, each in enumerate(hosts):
            await each.host.publish(OFFERS, b"from %d" % number)
        await until(lambda: all(len(each.heard) == 4 for each in hosts))
        await hosts[0].host.publish(OFFERS, b"one of many")
        await until(lambda: all(b"one of many" in each.heard for each in hosts[1:]))
        assert hosts[0].host.statistics().ids_out == 1


async def test_two_who_tell_of_a_body_are_asked_for_it_once(honest, until):
    async with AsyncExitStack() as stack:
        a, b, c, d = [await stack.enter_async_context(honest(settings=BY_ID)) for _ in range(4)]
        for one, other in ((a, b), (a, c), (b, d), (c, d)):
            await one.host.connect(other.host.addrs[0])
        await _meshed(until, a, b, c, d)
        for number in range(5):
            await a.host.publish(OFFERS, b"%d" % number)
        await until(lambda: len(d.heard) == 5)
        await trio.sleep(0.3)
        assert d.host.statistics().bodies_in == 5


async def _answer(stream, answers) -> None:
    while True:
        size = struct.unpack(">I", await stream.read(4))[0]
        await stream.read(size)
        for answer in answers:
            await stream.write(struct.pack(">I", len(answer)) + answer)


async def test_whoever_tells_of_what_they_can_t_give_is_not_asked_again_and_nobody_else_hears_of_it(
    honest, until, still_serves
):
    async with honest() as victim, honest() as liar, honest() as bystander:
        asked = []

        async def give_nothing(stream):
            while True:
                (size,) = struct.unpack(">I", await stream.read(4))
                await stream.read(size)
                asked.append(stream.muxed_conn.peer_id)
                await stream.write(bytes(4))

        liar.host.machinery.host.set_stream_handler(PROTOCOL, give_nothing)
        await liar.host.connect(victim.host.addrs[0])
        await bystander.host.connect(victim.host.addrs[0])
        await _meshed(until, victim, liar, bystander)
        for number in range(20):
            await liar.host.machinery.pubsub.publish(OFFERS + IDS, id_of(b"nothing %d" % number))
            await trio.sleep(0.02)
        silent = victim.host.gossip.bodies._silent
        await until(lambda: liar.host.address in silent)
        # one question is under way at a time, and after one that brings nothing there is none for a second, then two;
        # the bystander may have come to know the liar, and asks for itself
        assert all(asked.count(each) <= 4 for each in asked)
        assert victim.host.statistics().bans == 0  # who was flooded may have lost what it told of
        await still_serves(victim)
        ids = [told.topicIDs[0] for told in bystander.host.machinery.router.mcache.msgs.values()]
        assert OFFERS + IDS not in ids


async def test_what_is_told_while_a_question_is_under_way_shares_the_next_one(honest, until):
    bodies = {id_of(b"offer %d" % number): b"offer %d" % number for number in range(20)}
    async with honest() as host, honest() as giver:
        questions, told = [], trio.Event()

        async def answer(stream):
            while True:
                (size,) = struct.unpack(">I", await stream.read(4))
                ids = await stream.read(size)
                questions.append([ids[start : start + ID_SIZE] for start in range(0, size, ID_SIZE)])
                await told.wait()
                for key in questions[-1]:
                    await stream.write(struct.pack(">I", len(bodies[key])) + bodies[key])

        giver.host.machinery.host.set_stream_handler(PROTOCOL, answer)
        await giver.host.connect(host.host.addrs[0])
        await _meshed(until, host, giver)
        for key in bodies:
            await giver.host.machinery.pubsub.publish(OFFERS + IDS, key)
        pulling = host.host.gossip.bodies._pulling
        await until(lambda: len(pulling) == len(bodies))
        told.set()
        await until(lambda: len(host.heard) == len(bodies))
        assert len(questions) <= 2
        assert sum(map(len, questions)) == len(bodies)


async def test_another_body_than_told_and_one_that_is_refused_are_not_heard(honest, until):
    async with honest(validate=lambda topic, data: data != b"rude") as victim, honest(settings=BY_ID) as liar:
        await liar.host.connect(victim.host.addrs[0])
        await _meshed(until, victim, liar)
        await liar.host.publish(OFFERS, b"rude")
        await until(lambda: victim.host.statistics().gossip_broken == 1)

        async def lie(stream):
            await _answer(stream, [b"something else"])

        liar.host.machinery.host.set_stream_handler(PROTOCOL, lie)
        (asker,) = victim.host.gossip.bodies._asking.values()
        await asker._frames.reset()
        asker._frames = None
        await liar.host.publish(OFFERS, b"an offer")
        await until(lambda: victim.host.statistics().gossip_broken == 2)
        assert victim.heard == []


async def test_a_slow_giver_is_given_up_and_the_next_one_is_asked(honest, until):
    hasty = Settings(pull_within=0.3)
    async with honest(settings=hasty) as victim, honest(settings=BY_ID) as slow, honest(settings=BY_ID) as quick:

        async def never(stream):
            await trio.sleep_forever()

        slow.host.machinery.host.set_stream_handler(PROTOCOL, never)
        for other in (slow, quick):
            await other.host.connect(victim.host.addrs[0])
        await _meshed(until, victim, slow, quick)
        await slow.host.publish(OFFERS, b"an offer")
        await until(lambda: victim.host.gossip.bodies._pulling)
        await quick.host.publish(OFFERS, b"an offer")
        await until(lambda: victim.heard == [b"an offer"])
        assert slow.host.address in victim.host.gossip.bodies._silent
        assert quick.host.address not in victim.host.gossip.bodies._silent
        # whoever is silent is not blamed: a network that parted looks the same
        assert victim.host.statistics().gossip_broken == 0


async def test_a_flood_of_ids_is_dropped_unasked(honest, until, still_serves):
    async with honest(settings=Settings(ids_in=Rate(1, 100))) as victim, honest() as loud:
        await loud.host.connect(victim.host.addrs[0])
        await _meshed(until, victim, loud)
        for number in range(20):
            ids = b"".join(id_of(b"%d %d" % (number, each)) for each in range(60))
            await loud.host.machinery.pubsub.publish(OFFERS + IDS, ids)
        await until(lambda: victim.host.statistics().gossip_too_fast >= 15)
        assert victim.host.statistics().bodies_in == 0
        await still_serves(victim)


async def test_what_is_no_list_of_ids_is_blamed(honest, until):
    async with honest() as victim, honest() as rude:
        await rude.host.connect(victim.host.addrs[0])
        await _meshed(until, victim, rude)
        await rude.host.machinery.pubsub.publish(OFFERS + IDS, bytes(ID_SIZE + 1))
        await until(lambda: victim.host.statistics().gossip_broken == 1)


async def test_bodies_of_others_are_bounded_in_bytes_and_ours_stay(honest, until):
    tight = Settings(announce_peers=0, bodies_room=10_000)
    async with honest(settings=tight) as host_a, honest(settings=tight) as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await _meshed(until, host_a, host_b)
        await host_a.host.publish(OFFERS, b"mine")
        for number in range(30):
            await host_b.host.publish(OFFERS, b"%d" % number + bytes(1000))
            if number % 5 == 4:
                await until(lambda: len(host_a.heard) == number + 1)  # noqa: B023
        assert len(host_a.host.gossip.bodies._others) <= 10
        assert host_a.host.gossip.bodies._own.get(id_of(b"mine")) == b"mine"


async def test_requests_that_are_none_end_their_stream(honest, stranger, meet, until, still_serves):
    async with honest() as victim, stranger() as rude:
        await meet(rude, victim.host)
        stream = await rude.new_stream(victim.host.machinery.swarm.get_peer_id(), [PROTOCOL])
        await stream.write(struct.pack(">I", 7) + bytes(7))
        with trio.fail_after(5), pytest.raises((StreamReset, StreamEOF)):
            await stream.read(1)
        await still_serves(victim)
