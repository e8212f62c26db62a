"""A client, its sender and a real dev chain: transactions arrive once, whatever happens between signing and mining."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from coincurve import PrivateKey
from eth_hash.auto import keccak

from contracts.anvil import find_anvil, run_anvil
from contracts.chain_process import DevChain, run_devchain
from contracts.client import Intent, VaultClient, deploy
from contracts.encoding import deal_id_query, encode_call
from contracts.errors import ChainReborn, NotSent, Reverted
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from protocol.deal import Deal
from protocol.eip712 import digest
from protocol.identity import Address, address_of_public_key
from protocol.vault_book import Windows
from protocol.vault_calls import Deposit, Open, Payment, Settle, Withdraw
from protocol.vault_state import Outcome, State
from tests.contracts.test_token_vault import token_code

COIN = 10**18
JC, RP = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)


def address(key: PrivateKey) -> Address:
    return address_of_public_key(key.public_key.format())


def sign(key: PrivateKey, hash_: bytes) -> bytes:
    raw = key.sign_recoverable(hash_, hasher=None)
    return raw[:64] + bytes([27 + raw[64]])


def a_deal(now: int) -> Deal:
    return Deal(
        jc=address(JC),
        rp=address(RP),
        pay=1000,
        jc_stake=200,
        rp_stake=1000,
        cheat=10_000,
        fee=100,
        juror_stake=0,
        start_by=now + 100,
        deliver_by=now + 200,
        claim_until=now + 1000,
        grace=50,
        answer=60,
        judge=60,
        appeal=0,
        pool=bytes(32),
        jurors=3,
        quorum=2,
        silence=0,
        jc_seat=0,
        rp_seat=0,
        terms=b"\x07" * 32,
    )


Start = Callable[[], AbstractAsyncContextManager[tuple[DevChain, Rpc]]]
NO_ANVIL = pytest.mark.skipif(find_anvil() is None, reason="anvil is not installed")


@pytest.fixture(params=["py-evm", pytest.param("anvil", marks=NO_ANVIL)])
def a_chain(request: pytest.FixtureRequest) -> Start:
    """Starts a chain of either make, with a vault and two people's deposits in it."""
    run = run_anvil if request.param == "anvil" else run_devchain

    @asynccontextmanager
    async def start() -> AsyncIterator[tuple[DevChain, Rpc]]:
        people = {address(JC): COIN, address(RP): COIN}
        async with run(people, people, block_time=0) as chain, Rpc(chain.url) as rpc:
            yield chain, rpc

    return start


@asynccontextmanager
async def running(*senders: Sender) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for sender in senders:
            nursery.start_soon(sender.run)
        yield
        nursery.cancel_scope.cancel()


async def test_a_lone_deal_is_opened_and_paid(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        await client.check()
        async with running(sender):
            deal = a_deal((await client.head()).timestamp)
            name = deal.id(client.domain)
            opened = await client.wait(await client.submit(Intent("open", Open(deal, sign(RP, name)))))
            assert opened.status == 1
            both = (deal.jc, deal.rp)
            seen = await client.read(both, [name])
            assert [account.locked for account in seen.accounts] == [deal.jc_share, deal.rp_share]
            assert seen.deals[0].state is State.OPEN
            paid = await client.wait(await client.submit(Intent("pay", Settle((Payment(deal, deal.pay, final=True),)))))
            jc, rp = await client.accounts(both)
            assert (jc.balance, jc.locked, rp.balance, rp.locked) == (COIN - 1000, 0, COIN + 1000, 0)
            assert (await client.deals([name]))[0].outcome is Outcome.DONE
            print("open", opened.gas_used, "settle", paid.gas_used, "together", opened.gas_used + paid.gas_used)
            assert opened.gas_used + paid.gas_used <= 125_000


async def test_the_same_intent_twice_sends_once(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        async with running(sender):
            again = Intent("pocket money", Deposit(address(RP), 5))
            sent = []
            async with trio.open_nursery() as nursery:

                async def submit() -> None:
                    sent.append(await client.submit(again))

                for _ in range(4):
                    nursery.start_soon(submit)
            assert len({one.hash for one in sent}) == 1
            await client.wait(sent[0])
            assert (await client.submit(again)).hash == sent[0].hash
            assert (await client.accounts([address(RP)]))[0].balance == COIN + 5


async def test_a_crash_between_journal_and_send_sends_the_same_bytes_later(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
        async with Rpc("http://127.0.0.1:9") as nowhere:
            doomed = Sender(rpc, journal, JC, DEV)
            prepared = await doomed._prepare("pay in", chain.vault, *_deposit(7), None)
            journal.save(prepared)
            blind = Sender(nowhere, journal, JC, DEV)
            assert (await blind.submit("pay in", chain.vault, *_deposit(7))).hash == prepared.hash
        reborn = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, reborn)
        async with running(reborn):
            receipt = await client.wait(prepared.hash)
            assert receipt.hash == prepared.hash
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 7


async def test_a_reorganisation_that_drops_a_transaction_sees_it_sent_again(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        patient = replace(DEV, confirmations=3, resend_after=0.05)
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, patient)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        async with running(sender):
            sent = await client.submit(Intent("pay in", Deposit(address(JC), 7)))
            await _mined(rpc, sent.hash)
            await rpc.call(chain.reorg, 1)
            assert await rpc.call("eth_getTransactionReceipt", "0x" + sent.hash.hex()) is None
            await _mined(rpc, sent.hash)
            for _ in range(2):
                await rpc.call("evm_mine")
            receipt = await client.wait(sent)
            assert receipt.status == 1
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 7


async def test_a_reorganisation_deeper_than_done_is_made_good(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, replace(DEV, resend_after=0.05))
        client = VaultClient(rpc, 1337, chain.vault, sender)
        async with running(sender):
            for number in range(4):
                await client.wait(await client.submit(Intent(f"pay in {number}", Deposit(address(JC), 10**number))))
            await rpc.call(chain.reorg, 3)  # all of them were done by the profile's count
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 1
            # a new one would wait for ever for the nonces before its own
            await client.wait(await client.submit(Intent("pay in more", Deposit(address(JC), 50_000))))
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 51_111


async def test_a_call_that_was_mined_as_refused_can_be_made_again(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
        sender = Sender(rpc, journal, JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        async with running(sender):
            too_much = Intent("take out", Withdraw(COIN + 5, address(JC)), gas=100_000)
            assert (await client.wait(await client.submit(too_much))).status == 0
            await client.wait(await client.submit(Intent("pay in", Deposit(address(JC), 5))))
            again = await client.submit(too_much)
            assert (await client.wait(again)).status == 1
            assert (await client.accounts([address(JC)]))[0].balance == 0
            assert await client.submit(too_much) == again
            failed_too = Intent("take out", Withdraw(1, address(JC)), gas=100_000)
            assert await client.submit(failed_too) == again, "the name is what counts"


async def test_a_chain_that_began_anew_is_not_the_one_of_the_journal(a_chain: Start, tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
    async with a_chain() as (_, rpc):
        for _ in range(2):
            await Sender(rpc, journal, JC, DEV).check()
    await trio.sleep(1.1)  # a chain is born with its second
    async with a_chain() as (_, rpc):
        with pytest.raises(ChainReborn, match="began anew"):
            await Sender(rpc, journal, JC, DEV).check()


async def test_a_stuck_transaction_is_replaced_and_done_once(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        hasty = replace(DEV, resend_after=0.3, stuck_after=0.1)
        journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
        sender = Sender(rpc, journal, JC, hasty)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        await rpc.call("evm_setAutomine", False)
        async with running(sender):
            sent = await client.submit(Intent("pay in", Deposit(address(JC), 7)))
            with trio.fail_after(20):
                while len(journal.attempts("pay in")) < 2:
                    await _mine_without_it(chain, rpc)
                    await trio.sleep(0.05)
            with trio.fail_after(20):
                while journal.receipt("pay in") is None:
                    await rpc.call("evm_mine")
                    await trio.sleep(0.05)
            receipt = await client.wait(sent)
            assert receipt.hash != sent.hash
            assert await client.wait(sent.hash) == receipt
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 7


async def test_a_chain_that_stands_still_makes_nothing_dearer(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        hasty = replace(DEV, resend_after=0.02, stuck_after=0.05)
        journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
        sender = Sender(rpc, journal, JC, hasty)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        await rpc.call("evm_setAutomine", False)
        async with running(sender):
            sent = await client.submit(Intent("pay in", Deposit(address(JC), 7)))
            await trio.sleep(1.0)  # twenty times as long as a transaction may be stuck
            assert len(journal.attempts("pay in")) == 1
            await rpc.call("evm_setAutomine", True)
            await rpc.call("evm_mine")
            assert (await client.wait(sent)).hash == sent.hash
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 7


async def test_a_price_that_is_not_what_holds_it_stops_rising(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
        sender = Sender(rpc, journal, JC, DEV)
        await rpc.call("evm_setAutomine", False)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        await client.submit(Intent("pay in", Deposit(address(JC), 7)))
        for _ in range(30):
            await sender._replace(journal.attempts("pay in")[-1])
        fees = [attempt.max_fee for attempt in journal.attempts("pay in")]
        assert 5 < len(fees) < 20
        assert fees[-1] <= 8 * fees[0]


async def test_a_nonce_used_by_another_program_costs_nothing(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        first = Sender(rpc, SqliteJournal(tmp_path / "one", 1337, address(JC)), JC, DEV)
        second = Sender(rpc, SqliteJournal(tmp_path / "two", 1337, address(JC)), JC, replace(DEV, resend_after=0.05))
        stale = await second._prepare("from two", chain.vault, *_deposit(11), None)
        second._journal.save(stale)
        client = VaultClient(rpc, 1337, chain.vault, first)
        async with running(first):
            await client.wait(await client.submit(Intent("from one", Deposit(address(JC), 7))))
        async with running(second):
            receipt = await second.wait(stale.hash)
            assert receipt.hash != stale.hash
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 18


async def test_many_at_once_leave_no_gap_in_the_nonces(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        async with running(sender):
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:

                async def pay_in(number: int) -> None:
                    await client.wait(await client.submit(Intent(f"pay in {number}", Deposit(address(JC), 1))))

                for number in range(30):
                    nursery.start_soon(pay_in, number)
            took = time.perf_counter() - began
            assert (await client.accounts([address(JC)]))[0].balance == COIN + 30
            head = await client.head()
            print(f"{30 / took:.0f} transactions a second through one sender, in {head.number - 1} blocks")
            assert head.timestamp <= time.time() + 1


async def test_what_the_vault_would_refuse_is_never_sent(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        journal = SqliteJournal(tmp_path / "jc", 1337, address(JC))
        sender = Sender(rpc, journal, JC, DEV)
        client = VaultClient(rpc, 1337, chain.vault, sender)
        with pytest.raises(Reverted) as refusal:
            await client.submit(Intent("too much", Withdraw(2 * COIN, address(JC))))
        assert refusal.value.reason == "not enough free"
        with pytest.raises(NotSent):
            await client.submit(Intent("beyond my means", Deposit(address(JC), 2 * COIN), gas=100_000))
        assert journal.next_nonce() == 0


async def test_a_vault_can_be_deployed_by_a_peer(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (_chain, rpc):
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        async with running(sender):
            vault = await deploy(sender, Windows(60, 600))
            client = VaultClient(rpc, 1337, vault, sender)
            await client.wait(await client.submit(Intent("pay in", Deposit(address(RP), 3))))
            assert (await client.accounts([address(RP)]))[0].free == 3
            assert await deploy(sender, Windows(60, 600)) == vault


async def test_a_peer_deploys_a_vault_for_a_token_and_pays_in(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (_chain, rpc):
        sender = Sender(rpc, SqliteJournal(tmp_path / "jc", 1337, address(JC)), JC, DEV)
        async with running(sender):
            made = await sender.wait(await sender.submit("token", None, token_code()))
            token = made.created
            assert token is not None
            vault = await deploy(sender, Windows(60, 600), token)
            client = VaultClient(rpc, 1337, vault, sender, token)
            mint = keccak(b"mint(address,uint256)")[:4] + address(JC).rjust(32, b"\0") + (50).to_bytes(32, "big")
            await sender.wait(await sender.submit("mint", token, mint))
            with pytest.raises(Reverted):
                await client.submit(Intent("too early", Deposit(address(RP), 3)))
            await sender.wait(await client.approve("let it", 30))
            assert (await client.preview(Deposit(address(RP), 3))).value == 0
            await client.wait(await client.submit(Intent("pay in", Deposit(address(RP), 3))))
            assert (await client.accounts([address(RP)]))[0].free == 3
            coin = VaultClient(rpc, 1337, vault, sender)
            with pytest.raises(NotSent, match="needs no approval"):
                await coin.approve("no", 1)


async def test_a_deal_has_the_same_name_on_chain_and_off(a_chain: Start, tmp_path: Path) -> None:
    async with a_chain() as (chain, rpc):
        assert chain.vault is not None
        client = VaultClient(rpc, 1337, chain.vault)
        deal = a_deal(1_800_000_000)
        query = "0x" + deal_id_query(deal).hex()
        answer = await rpc.call("eth_call", {"to": "0x" + chain.vault.hex(), "data": query}, "latest")
        assert bytes.fromhex(answer[2:]) == deal.id(client.domain) == digest(client.domain, deal)


async def test_chain_time_passes_while_nothing_happens() -> None:
    async with run_devchain(block_time=0.05) as chain, Rpc(chain.url) as rpc:
        client = VaultClient(rpc, 1337, address(JC))
        first = await client.head()
        await trio.sleep(1.2)
        later = await client.head()
        assert later.number > first.number
        assert later.timestamp > first.timestamp
        assert abs(later.timestamp - time.time()) <= 1.5


async def _mine_without_it(chain: DevChain, rpc: Rpc) -> None:
    """The chain goes on, and what was signed at the old price waits."""
    if chain.reorg == "dev_reorg":
        await rpc.call("dev_setLeastTip", hex(10**9))
    else:
        await rpc.call("anvil_dropAllTransactions")
    await rpc.call("evm_mine")


def _deposit(value: int) -> tuple[bytes, int]:
    return encode_call(Deposit(address(JC), value))


async def _mined(rpc: Rpc, hash_: bytes) -> None:
    with trio.fail_after(5):
        while await rpc.call("eth_getTransactionReceipt", "0x" + hash_.hex()) is None:  # noqa: ASYNC110
            await trio.sleep(0.01)
