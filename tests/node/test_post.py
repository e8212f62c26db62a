"""The post office opens only what its sender signed, and lets whoever sends anything else pay for it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from agents.events import Event, Got, Unreached
from node.directory import Directory
from node.keyring import Keyring
from node.keys import Key, new_key
from node.post import Ear, Post
from node.supervision import Tasks
from p2p.events import Got as Frame
from p2p.host import Host, open_host
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Capacity
from protocol.messages import PROTOCOLS, Asking, Begun, protocol_of
from protocol.offers import JOB_OFFERS, RESOURCE_OFFERS, MediatorOffer
from protocol.signing import seal
from protocol.types import UNSIGNED
from tests.helpers.waiting import until

DOMAIN = Domain(1337, Address(bytes([7]) * 20))
DEAL = bytes(range(32))


class Office:
    """One peer with a post office."""

    def __init__(self, key: Key, host: Host, post: Post) -> None:
        self.key = key
        self.host = host
        self.post = post
        self.failed: list[Event] = []

    async def next_frame(self) -> Frame:
        """The next frame that the network hands over, unopened."""
        async for event in self.host.events:
            if isinstance(event, Frame):
                return event
            self.post.open(event)
        raise AssertionError("the host has ended")


@asynccontextmanager
async def open_offices(count: int) -> AsyncIterator[list[Office]]:
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        offices = []
        for _ in range(count):
            key, ear = new_key(), Ear(DOMAIN)
            host = await stack.enter_async_context(
                open_host(
                    key.secret,
                    listen=("/ip4/127.0.0.1/tcp/0",),
                    protocols=PROTOCOLS,
                    topics=(RESOURCE_OFFERS, JOB_OFFERS),
                    validate=ear.validate,
                )
            )
            keyring = Keyring(sqlite3.connect(":memory:", isolation_level=None), key)
            office = Office(key, host, Post(host, ear, DOMAIN, key, Directory(), keyring, Tasks(nursery)))
            offices.append(office)
        yield offices
        nursery.cancel_scope.cancel()


async def test_a_letter_arrives_with_its_sender_and_in_order() -> None:
    async with open_offices(2) as (host_a, host_b):
        await host_a.host.connect(host_b.host.addrs[0])
        sent = [Asking(bytes([number]) * 32) for number in range(20)]
        for message in sent:
            host_a.post.send(host_b.key.address, message, host_a.failed.append)
        with trio.fail_after(10):
            got = [host_b.post.open(await host_b.next_frame()) for _ in sent]
        assert got == [Got(host_a.key.address, message) for message in sent]
        assert host_a.failed == []


async def test_a_signature_that_travels_is_the_senders_own() -> None:
    async with open_offices(2) as (host_a, host_b):
        await host_a.host.connect(host_b.host.addrs[0])
        host_a.post.send(host_b.key.address, Begun(DEAL, UNSIGNED), host_a.failed.append)
        with trio.fail_after(10):
            got = host_b.post.open(await host_b.next_frame())
        assert isinstance(got, Got)
        assert isinstance(got.message, Begun)
        assert got.message.signature != UNSIGNED


async def test_whoever_passes_on_what_another_signed_is_cut_off_in_the_end() -> None:
    async with open_offices(2) as (intruder, host_b):
        somebody = new_key()
        await intruder.host.connect(host_b.host.addrs[0])
        message = Begun(DEAL, UNSIGNED)
        foreign = seal(message, DOMAIN, somebody.sign)
        with trio.fail_after(20):
            for number in range(int(host_b.host.settings.patience) + 1):
                await intruder.host.send(host_b.key.address, protocol_of(message), foreign)
                assert host_b.post.open(await host_b.next_frame()) is None, number
            await until(lambda: not host_b.host.peers())
        assert host_b.host.statistics().bans == 1


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x80", b"garbage" * 100])
async def test_garbage_says_nothing(frame: bytes) -> None:
    async with open_offices(2) as (intruder, host_b):
        await intruder.host.connect(host_b.host.addrs[0])
        with trio.fail_after(10):
            await intruder.host.send(host_b.key.address, protocol_of(Asking(DEAL)), frame)
            assert host_b.post.open(await host_b.next_frame()) is None


async def test_an_offer_in_anothers_name_is_not_passed_on() -> None:
    author, forger = new_key(), new_key()
    offer = MediatorOffer(author.address, 1, 2_000_000_000, (), Capacity(1, 1, 1, 1), ("wasm",), 0, ())
    ear = Ear(DOMAIN)
    assert ear.validate(RESOURCE_OFFERS, seal(offer, DOMAIN, author.sign))
    assert not ear.validate(RESOURCE_OFFERS, seal(offer, DOMAIN, forger.sign))
    assert not ear.validate(JOB_OFFERS, seal(offer, DOMAIN, author.sign))  # on the wrong topic
    assert not ear.validate(RESOURCE_OFFERS, b"garbage")


async def test_a_letter_to_nobody_comes_back() -> None:
    async with open_offices(1) as (host_a,):
        message, nobody = Asking(DEAL), new_key().address
        host_a.post.send(nobody, message, host_a.failed.append)
        await until(lambda: host_a.failed)
        assert host_a.failed == [Unreached(nobody, message)]
