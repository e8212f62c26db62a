"""Faults add up, are forgiven, and end in bans that end."""

from __future__ import annotations

import pytest

from p2p.rates import Bucket, Limiter, Rate
from p2p.settings import Settings
from p2p.trust import Trust


def test_faults_add_up_to_a_ban_that_expires():
    trust = Trust(Settings(patience=3.0, ban=60.0))
    assert [trust.blame(b"a", 1.0, 0.0) for _ in range(3)] == [False, False, True]
    assert trust.banned(b"a", 59.9)
    assert not trust.banned(b"b", 0.0)
    assert not trust.banned(b"a", 60.0)
    assert trust.bans(60.0) == 0


def test_faults_are_forgiven_with_time():
    trust = Trust(Settings(patience=3.0, forgive=10.0))
    assert not any(trust.blame(b"a", 1.0, 10.0 * number) for number in range(20))


def test_a_pardon_lifts_a_ban():
    trust = Trust(Settings())
    trust.ban(b"a", 1000.0, 0.0)
    trust.pardon(b"a")
    assert not trust.banned(b"a", 1.0)


def test_a_crowd_of_new_keys_does_not_grow_the_memory():
    trust = Trust(Settings(patience=2.0))
    for number in range(30_000):
        trust.blame(number.to_bytes(4, "big"), 1.0, 0.0)
    assert len(trust._records) <= 10_000


def test_a_bucket_gives_a_burst_and_then_the_rate():
    bucket = Bucket(Rate(10, 5), 0.0)
    assert [bucket.take(1, 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.take(1, 0.1) for _ in range(2)] == [True, False]
    assert bucket.borrow(11, 0.1) == pytest.approx(1.1)


def test_a_limiter_forgets_the_quiet_ones():
    limiter = Limiter(Rate(10, 5), room=10)
    for number in range(1000):
        assert limiter.take(number, 1, float(number))
    assert len(limiter._buckets) <= 10
