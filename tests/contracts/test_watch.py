"""A watch sees claims, answers them in time and warns while a window runs out; by itself, and on a real chain."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import trio

from contracts.chain_process import run_devchain
from contracts.client import Intent, VaultClient
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from contracts.watch import Answer, ClaimSeen, NotAnswered, Notice, Side, Watch, WindowMissed, WindowPasses, run_watch
from protocol.deal import DealId, Receipt
from protocol.eip712 import digest
from protocol.vault_calls import Absent, Delegate, Deliver, NoInputs, Open, Redeem
from protocol.vault_state import DealState, Flag, State
from tests.contracts.twin import Person, draft

JC, RP, TOWER = Person.number(1), Person.number(2), Person.number(3)
NOW = 1_800_000_000
DEAL = draft(JC, RP, NOW)
NAME = DealId(b"\x01" * 32)
COIN = 10**18


def claimed(state: State, left: int = 100) -> dict[DealId, DealState]:
    return {NAME: DealState(state, deadline=NOW + left)}


def test_a_claim_is_told_once_and_warned_of_at_each_quarter() -> None:
    watch = Watch()
    watch.add(NAME, DEAL, Side.PROVIDER)
    assert watch.observe(NOW - 10, {NAME: DealState(State.OPEN)}) == ()
    told = [watch.observe(NOW + passed, claimed(State.ABSENT)) for passed in (0, 24, 25, 49, 50, 51, 75, 100)]
    kinds = [[type(notice).__name__ for notice in notices] for notices in told]
    assert kinds == [["ClaimSeen"], [], ["WindowPasses"], [], ["WindowPasses"], [], ["WindowPasses"], []]
    standing = claimed(State.ABSENT)[NAME]
    assert told[2] == (WindowPasses(NAME, standing, 25, 75),)
    assert watch.observe(NOW + 101, claimed(State.ABSENT)) == (WindowMissed(NAME, standing),)
    assert watch.observe(NOW + 102, claimed(State.ABSENT)) == ()


def test_who_wakes_up_late_is_warned_once_of_the_latest() -> None:
    watch = Watch()
    watch.add(NAME, DEAL, Side.PAYER)
    standing = claimed(State.DELIVERED)[NAME]
    first = watch.observe(NOW + 80, claimed(State.DELIVERED))
    assert first == (ClaimSeen(NAME, standing), WindowPasses(NAME, standing, 75, 20))


def test_a_claim_of_ones_own_is_no_alarm() -> None:
    watch = Watch()
    watch.add(NAME, DEAL, Side.PAYER)
    assert watch.observe(NOW + 80, claimed(State.ABSENT)) == ()
    assert watch.observe(NOW + 81, {}) == ()


def test_a_jury_concerns_both_and_each_stage_is_a_claim_of_its_own() -> None:
    watch = Watch()
    watch.add(NAME, draft(JC, RP, NOW, appeal=200), Side.PAYER)
    jury, ruled = claimed(State.JURY)[NAME], claimed(State.RULED, 200)[NAME]
    assert watch.observe(NOW, {NAME: jury}) == (ClaimSeen(NAME, jury),)
    assert watch.observe(NOW, {NAME: ruled}) == (ClaimSeen(NAME, ruled),)
    assert watch.observe(NOW + 100, {NAME: ruled}) == (WindowPasses(NAME, ruled, 50, 100),)


def test_an_answer_is_given_until_the_claim_is_gone_or_too_late() -> None:
    watch = Watch()
    answer = Redeem(DEAL, 5, bytes(65))
    watch.add(NAME, DEAL, Side.PROVIDER)
    watch.add(NAME, DEAL, Side.PROVIDER, {State.ABSENT: answer})
    standing = claimed(State.ABSENT)[NAME]
    assert watch.observe(NOW, claimed(State.ABSENT)) == (
        ClaimSeen(NAME, standing),
        Answer(NAME, standing, answer),
    )
    assert watch.observe(NOW + 1, claimed(State.ABSENT)) == (Answer(NAME, standing, answer),)
    assert watch.observe(NOW + 100, claimed(State.ABSENT))[0] == Answer(NAME, standing, answer)
    assert watch.observe(NOW + 101, claimed(State.ABSENT)) == (WindowMissed(NAME, standing),)
    assert watch.observe(NOW + 101, {NAME: DealState(State.OPEN, Flag.PAID)}) == ()
    assert watch.observe(NOW + 102, {NAME: DealState(State.CLOSED)}) == ()
    assert watch.names == ()


async def test_a_watchtower_answers_for_a_provider_that_sleeps(tmp_path: Path) -> None:
    """The provider named a delegate and gave it a receipt; the payer denies the delivery; nobody else is awake."""
    people = {person.address: COIN for person in (JC, RP, TOWER)}
    async with (
        run_devchain(people, people, block_time=0) as chain,
        Rpc(chain.url) as rpc,
        trio.open_nursery() as nursery,
    ):
        assert chain.vault is not None
        clients = []
        for person in (JC, RP, TOWER):
            journal = SqliteJournal(tmp_path / person.address.hex(), chain.chain_id, person.address)
            sender = Sender(rpc, journal, person.key, DEV)
            nursery.start_soon(sender.run)
            clients.append(VaultClient(rpc, chain.chain_id, chain.vault, sender))
        payer, provider, tower = clients
        deal = draft(JC, RP, (await payer.head()).timestamp)
        name = deal.id(payer.domain)
        await payer.wait(await payer.submit(Intent("open", Open(deal, RP.sign(name)))))
        await provider.wait(await provider.submit(Intent("name", Delegate(TOWER.address, True))))
        receipt = JC.sign(digest(payer.domain, Receipt(name, b"\x05" * 32)))
        watch, heard = Watch(), list[Notice]()
        watch.add(name, deal, Side.PROVIDER, {State.ABSENT: Deliver(deal, b"\x05" * 32, receipt)})

        async def hear(notice: Notice) -> None:
            heard.append(notice)

        nursery.start_soon(run_watch, tower, partial(tower.read, ()), watch, hear, 0.02)
        await rpc.call("evm_setNextBlockTimestamp", deal.deliver_by + deal.grace + 1)
        await payer.wait(await payer.submit(Intent("absent", Absent(deal, None), gas=300_000)))
        with trio.fail_after(10):
            while (await payer.deals([name]))[0].state is not State.DELIVERED:  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert ClaimSeen in {type(notice) for notice in heard}
        assert (await payer.accounts([RP.address]))[0].balance == COIN + 3 * deal.fee, "the payer's bond"
        nursery.cancel_scope.cancel()


async def test_an_answer_that_can_not_be_sent_keeps_no_other_from_being_sent(tmp_path: Path) -> None:
    """Evidence in a customer's copy may be of any shape; and what failed is told once, not at every look."""
    people = {person.address: COIN for person in (JC, RP)}
    async with (
        run_devchain(people, people, block_time=0) as chain,
        Rpc(chain.url) as rpc,
        trio.open_nursery() as nursery,
    ):
        assert chain.vault is not None
        clients = []
        for person in (JC, RP):
            journal = SqliteJournal(tmp_path / person.address.hex(), chain.chain_id, person.address)
            sender = Sender(rpc, journal, person.key, DEV)
            nursery.start_soon(sender.run)
            clients.append(VaultClient(rpc, chain.chain_id, chain.vault, sender))
        payer, provider = clients
        now = (await payer.head()).timestamp
        deals = [draft(JC, RP, now, terms=bytes(31) + bytes([number])) for number in (1, 2, 3)]
        names = [deal.id(payer.domain) for deal in deals]
        for deal, name in zip(deals, names, strict=True):
            await payer.wait(await payer.submit(Intent(f"open {name.hex()}", Open(deal, RP.sign(name)))))
        receipt = JC.sign(digest(payer.domain, Receipt(names[2], b"\x05" * 32)))
        watch, heard = Watch(), list[Notice]()
        watch.add(names[0], deals[0], Side.PROVIDER, {State.ABSENT: Deliver(deals[0], b"\x05" * 32, b"short")})
        watch.add(names[1], deals[1], Side.PROVIDER, {State.ABSENT: Deliver(deals[1], b"\x05" * 32, receipt)})
        watch.add(names[2], deals[2], Side.PROVIDER, {State.ABSENT: Deliver(deals[2], b"\x05" * 32, receipt)})

        async def hear(notice: Notice) -> None:
            heard.append(notice)

        nursery.start_soon(run_watch, provider, partial(provider.read, ()), watch, hear, 0.02)
        await rpc.call("evm_setNextBlockTimestamp", deals[0].deliver_by + deals[0].grace + 1)
        for deal, name in zip(deals, names, strict=True):
            await payer.wait(await payer.submit(Intent(f"absent {name.hex()}", Absent(deal, None), gas=300_000)))
        with trio.fail_after(10):
            while (await payer.deals([names[2]]))[0].state is not State.DELIVERED:  # noqa: ASYNC110
                await trio.sleep(0.02)
        await trio.sleep(0.3)
        failed = [notice for notice in heard if isinstance(notice, NotAnswered)]
        assert [notice.deal for notice in failed] == names[:2]
        assert "not signed" in failed[1].reason
        assert [notice.deal for notice in heard if isinstance(notice, Answer)] == names[2:]
        nursery.cancel_scope.cancel()


def test_what_a_copy_does_not_know_is_said_late_and_what_it_proves_at_once() -> None:
    watch = Watch()
    watch.add(NAME, DEAL, Side.PROVIDER, {State.ABSENT: NoInputs(DEAL)}, patience=75)
    assert not [n for n in watch.observe(NOW + 70, claimed(State.ABSENT)) if isinstance(n, Answer)]
    watch.add(NAME, DEAL, Side.PROVIDER, {State.ABSENT: Redeem(DEAL, 7, bytes(65))})
    assert [n for n in watch.observe(NOW + 71, claimed(State.ABSENT)) if isinstance(n, Answer)]


def test_the_voucher_is_better_evidence_than_the_receipt() -> None:
    watch = Watch()
    watch.add(NAME, DEAL, Side.PROVIDER, {State.ABSENT: Deliver(DEAL, bytes(32), bytes(65))})
    better = Redeem(DEAL, 7, bytes(65))
    watch.add(NAME, DEAL, Side.PROVIDER, {State.ABSENT: better})
    answers = [notice for notice in watch.observe(NOW, claimed(State.ABSENT)) if isinstance(notice, Answer)]
    assert [answer.call for answer in answers] == [better]
