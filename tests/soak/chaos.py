"""A market whose chain reorganises, stalls and drops; at its end every balance is explained, to the last base unit.

``python tests/soak/chaos.py --minutes 20 [--seed 1]`` runs two providers, a mediator and a client, real peers on
loopback, over three endpoints of one chain. Each endpoint drops, hangs, lags or lies by turns, one at a time. The chain
forgets blocks (mostly no more than the profile's confirmations, now and then more), and stands still for up to half a
minute. Peers are ended and started again in the middle of it. All the while jobs are asked for, and money is paid in,
which is the one call that nothing on chain would keep from being done twice.

At the end the chain is left in peace, and from its final blocks every account is worked out anew: what was paid in, and
what each deal moved. It ends with status 1 where an account differs, where money was paid in more or less often than it
was asked for, where a deal has not ended, or where coins went anywhere but into the vault and the gas of transactions
that a journal knows.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[2])

import trio  # noqa: E402

from agents.mediator import Bench  # noqa: E402
from agents.purchase_stages import Purchase  # noqa: E402
from agents.shop import Sheet, Shop  # noqa: E402
from contracts.batching import Policy  # noqa: E402
from contracts.chain_process import DevChain, run_devchain  # noqa: E402
from contracts.client import VaultClient  # noqa: E402
from contracts.encoding import deal_words, encode_call  # noqa: E402
from contracts.profile import DEV, ChainAccess  # noqa: E402
from contracts.rpc import Rpc  # noqa: E402
from modules.executor import Executor  # noqa: E402
from node.client import NodeClient  # noqa: E402
from node.errors import UserError  # noqa: E402
from node.executors import Trade, open_executors  # noqa: E402
from node.keys import Key, new_key  # noqa: E402
from node.opening import open_peer  # noqa: E402
from node.peer import Peer  # noqa: E402
from node.preparing import Prepared, bind_inputs, find_module, prepare  # noqa: E402
from node.setup import Setup  # noqa: E402
from protocol.deal import Deal, DealId  # noqa: E402
from protocol.eip712 import Domain  # noqa: E402
from protocol.identity import Address, show  # noqa: E402
from protocol.job import Capacity  # noqa: E402
from protocol.rules import Rules  # noqa: E402
from protocol.vault_calls import Finalize, Open, Payment, Redeem, Settle  # noqa: E402
from protocol.vault_state import Outcome, State  # noqa: E402
from tests.helpers.odd_chain import Moody, serving  # noqa: E402

COINS = 10**20
DEPOSIT = 10**12
MACHINE = Capacity(cpu_millis=8000, memory_mib=8192, disk_mib=8192, longest=3600)
CONFIRMATIONS = 3
PROFILE = replace(DEV, confirmations=CONFIRMATIONS, poll=0.2, resend_after=1.0, stuck_after=8.0)
RULES = {"lock_within": 40, "transfer": 90, "grace": 60, "answer": 60, "judge": 30, "claim": 90}
CALM = 420.0
"""Seconds at most after the chaos for all deals to end: their windows, and some for a loaded machine."""


@dataclass
class Tally:
    """What was done, for the last line."""

    jobs: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    paid_in: defaultdict[Address, list[int]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Town:
    """Everybody, and what they live on."""

    folder: Path
    chain: DevChain
    rules: Rules
    urls: tuple[str, ...]
    executors: dict[str, Executor]
    keys: dict[str, Key]
    rng: random.Random
    tally: Tally = field(default_factory=Tally)
    peers: dict[str, Peer] = field(default_factory=dict)
    over: bool = False

    def setup(self, name: str) -> Setup:
        """How a peer begins, the first time and every other."""
        role: dict[str, Any] = {"client": name == "client"}
        if name.startswith("provider"):
            floor = 600 if name.endswith("a") else 700
            role["shop"] = Shop(MACHINE, (), (), (Sheet("*", floor, 2 * floor, "job"),))
        elif name == "judge":
            role["bench"] = Bench(MACHINE, (), fee=0)
        elif name == "client":
            role["batching"] = Policy(wait=5, margin=20)
        known = [place for other, peer in self.peers.items() if other != name for place in peer.host.addrs[:1]]
        access = ChainAccess(self.urls, PROFILE)
        return Setup(self.keys[name], self.folder / name, self.rules, access, bootstrap=tuple(known), **role)

    async def live(self, name: str, first: trio.Event) -> None:
        """Run one peer, and start it again whenever it was ended."""
        while True:
            async with open_peer(self.setup(name), self.executors) as peer:
                self.peers[name] = peer
                first.set()
                await peer.stop.wait()
            del self.peers[name]
            await trio.sleep(self.rng.uniform(0.5, 5.0))


# -- what goes wrong -----------------------------------------------------------------------------------------------


async def trouble(town: Town, faces: list[Moody], rpc: Rpc) -> None:
    """One thing after the other, for as long as the day lasts."""
    rng = town.rng
    while True:
        await trio.sleep(rng.uniform(3, 12))
        kind = rng.choice(("reorg", "reorg", "reorg", "deep reorg", "stall", "face", "face", "face", "restart"))
        if kind == "deep reorg" and rng.random() < 0.5:
            kind = "reorg"
        town.tally.events[kind] += 1
        match kind:
            case "reorg":
                await rpc.call(town.chain.reorg, rng.randint(1, CONFIRMATIONS - 1))
            case "deep reorg":
                await rpc.call(town.chain.reorg, rng.randint(CONFIRMATIONS, CONFIRMATIONS + 4))
            case "stall":
                await rpc.call("evm_setAutomine", False)
                await trio.sleep(rng.uniform(5, 30))
                await rpc.call("evm_setAutomine", True)
            case "face":
                face = rng.choice(faces)
                face.mood = rng.choice(Moody.MOODS)
                town.tally.events[face.mood] += 1
                await trio.sleep(rng.uniform(3, 20))
                face.mood = ""
            case "restart":
                name = rng.choice(list(town.keys))
                if name in town.peers:
                    town.peers[name].stop.set()


# -- what goes on --------------------------------------------------------------------------------------------------


async def ask_for_jobs(town: Town, prepared: Prepared) -> None:
    """One job every few seconds."""
    while True:
        peer = town.peers.get("client")
        if peer is not None:
            with suppress(UserError):
                async with NodeClient(peer.url, peer.token) as client:
                    await client.upload(prepared.module_cid, prepared.blocks)
                    await client.upload(prepared.inputs_cid, prepared.blocks)
                    body = {"job": prepared.job(prepared.inputs_cid), "about": prepared.about, "check": 0.2, "wait": 60}
                    await client.post("/api/v1/jobs", body)
                    town.tally.jobs["asked"] += 1
        await trio.sleep(town.rng.uniform(2, 8))


async def pay_in(town: Town) -> None:
    """Deposits, each of another amount, asked for until the journal holds them."""
    number = 0
    while True:
        await trio.sleep(town.rng.uniform(5, 15))
        name = town.rng.choice(list(town.keys))
        number += 1
        key, amount = f"pay-in-{number}", 10_000 + number
        while True:
            peer = town.peers.get(name)
            if peer is not None:
                with suppress(Exception):  # the peer may end while it is asked; the name makes asking again harmless
                    await peer.moves.begin(key, {"what": "deposit", "amount": amount})
                    town.tally.paid_in[town.keys[name].address].append(amount)
                    break
            await trio.sleep(0.5)


# -- the end -------------------------------------------------------------------------------------------------------


async def come_to_rest(town: Town, client: VaultClient, rpc: Rpc) -> bool:
    """Wait until nothing is locked and nothing on its way."""
    people = [key.address for key in town.keys.values()]
    until = trio.current_time() + CALM
    while trio.current_time() < until:
        await trio.sleep(2)
        locked = sum(account.locked for account in await client.accounts(people))
        journals = [peer.chain.line.journal for peer in town.peers.values()]
        pending = sum(len(journal.unfinished()) for journal in journals if journal is not None)
        if locked == 0 and pending == 0 and len(town.peers) == len(town.keys):
            return True
    print(f"still locked {locked}, still on their way {pending}")
    return False


async def explain(town: Town, client: VaultClient, rpc: Rpc) -> list[str]:
    """What can't be explained of the final chain."""
    wrong: list[str] = []
    deals = {DealId(it.id): it.deal for it in await everything_bought(town)}
    standings = dict(zip(deals, await client.deals(list(deals)), strict=True)) if deals else {}
    by_words = {deal_words(deal): name for name, deal in deals.items()}
    books = dict.fromkeys((key.address for key in town.keys.values()), DEPOSIT)
    coins = dict.fromkeys(books, COINS)
    found_in: defaultdict[Address, list[int]] = defaultdict(list)
    paid: Counter[DealId] = Counter()
    selector = {name: _selector(call) for name, call in _samples(next(iter(deals.values()))).items()} if deals else {}
    height = int(await rpc.call("eth_blockNumber"), 16)
    for number in range(1, height + 1):
        block = await rpc.call("eth_getBlockByNumber", hex(number), True)
        for entry in block["transactions"]:
            sender = Address(bytes.fromhex(entry["from"][2:]))
            receipt = await rpc.call("eth_getTransactionReceipt", entry["hash"])
            coins[sender] -= int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
            if not _is_known(town, sender, bytes.fromhex(entry["hash"][2:])):
                wrong.append(f"{entry['hash']} is in nobody's journal")
            if receipt["status"] != "0x1":
                town.tally.events["mined as refused"] += 1
                continue
            data, value = bytes.fromhex(entry["input"][2:]), int(entry["value"], 16)
            coins[sender] -= value
            if value:
                to = Address(data[16:36])
                books[to] += value
                found_in[to].append(value)
            called = {name for name, four in selector.items() if data[:4] == four}
            for name in _deals_in(data, by_words) if called else ():
                town.tally.events[f"calls of {'/'.join(sorted(called))}"] += 1
                if called & {"finalize"}:
                    paid[name] |= 1 << 8
    for name, standing in standings.items():
        outcome = await _moved(deals[name], standing.outcome, standing.paid, bool(paid[name]))
        town.tally.events[f"deal {standing.state.name} {standing.outcome.name}{' paid' if standing.paid else ''}"] += 1
        if standing.state not in (State.CLOSED, State.NONE):
            wrong.append(f"deal {name.hex()[:16]} is still {standing.state.name}")
        books[deals[name].jc] -= outcome
        books[deals[name].rp] += outcome
    for address, amounts in town.tally.paid_in.items():
        if sorted(found_in[address]) != sorted(amounts):
            extra = Counter(found_in[address]) - Counter(amounts)
            missing = Counter(amounts) - Counter(found_in[address])
            wrong.append(f"{show(address)}: paid in too often {dict(extra)}, never {dict(missing)}")
    accounts = await client.accounts(list(books))
    for (address, expected), account in zip(books.items(), accounts, strict=True):
        who = next(name for name, key in town.keys.items() if key.address == address)
        held = await client.coins(address)
        print(f"{who:10} vault {account.balance} (explained {expected})  coins {held} (explained {coins[address]})")
        if (account.balance, account.locked) != (expected, 0):
            wrong.append(f"{who}: {account.balance}, {account.locked} locked, is not {expected}")
        if held != coins[address]:
            wrong.append(f"{who}: {held} coins are not {coins[address]}")
    total = sum(account.balance for account in accounts)
    if await client.coins(client.vault) != total:
        wrong.append("the vault does not hold what it owes")
    return wrong


async def everything_bought(town: Town) -> list[Purchase]:
    """All deals that the client ever signed."""
    return [record for record in town.peers["client"].store.records("client") if isinstance(record, Purchase)]


async def _moved(deal: Deal, outcome: Outcome, was_paid: bool, by_silence: bool) -> int:
    """From the job creator to the provider, by how the deal ended."""
    match outcome:
        case Outcome.VANISHED:
            return -deal.rp_stake
        case Outcome.DONE if was_paid:
            return deal.pay + (deal.jc_stake if by_silence else 0)
        case Outcome.WRONG | Outcome.NOT_FETCHABLE:
            return -(deal.rp_stake + deal.cheat)
        case Outcome.SPLIT:
            return deal.pay // 2
        case Outcome.RIGHT:
            return deal.pay
        case _:
            return 0


def _samples(deal: Deal) -> dict[str, Any]:
    return {
        "open": Open(deal, bytes(64)),
        "settle": Settle((Payment(deal, deal.pay),)),
        "redeem": Redeem(deal, deal.pay, bytes(64)),
        "finalize": Finalize(deal, b""),
    }


def _selector(call: Any) -> bytes:
    return encode_call(call)[0][:4]


def _deals_in(data: bytes, by_words: dict[bytes, DealId]) -> list[DealId]:
    size = len(next(iter(by_words)))
    starts = range(4, len(data) - size + 1, 32)
    return [by_words[data[at : at + size]] for at in starts if data[at : at + size] in by_words]


def _is_known(town: Town, sender: Address, hash_: bytes) -> bool:
    for peer in town.peers.values():
        journal = peer.chain.line.journal
        if peer.setup.key.address == sender and journal is not None:
            return journal.intent_of(hash_) is not None
    return False


# -- the day -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_town(seed: int) -> AsyncIterator[tuple[Town, list[Moody], Rpc, VaultClient]]:
    """Chain, endpoints and peers."""
    rng = random.Random(seed)
    keys = {name: new_key() for name in ("client", "provider_a", "provider_b", "judge")}
    addresses = [key.address for key in keys.values()]
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-"))
        chain = await stack.enter_async_context(
            run_devchain(dict.fromkeys(addresses, COINS), dict.fromkeys(addresses, DEPOSIT))
        )
        assert chain.vault is not None
        opened = [
            await stack.enter_async_context(
                serving(lambda http: Moody(chain.url, http, rng)),
            )
            for _ in range(3)
        ]
        executors = await stack.enter_async_context(open_executors(Trade(executors=("wasm",)), 2))
        rpc = await stack.enter_async_context(Rpc(chain.url, timeout=60))
        rules = Rules(Domain(chain.chain_id, chain.vault), **RULES)
        town = Town(Path(folder), chain, rules, tuple(url for url, _ in opened), dict(executors), keys, rng)
        faces = [face for _, face in opened if isinstance(face, Moody)]
        yield town, faces, rpc, VaultClient(rpc, chain.chain_id, chain.vault)


async def day(minutes: float, seed: int) -> int:
    """All of it; the exit status."""
    async with open_town(seed) as (town, faces, rpc, client):
        prepared = cowsay(town.folder)
        async with trio.open_nursery() as living:
            for name in town.keys:
                first = trio.Event()
                living.start_soon(town.live, name, first)
                await first.wait()
            began = time.monotonic()
            with trio.move_on_after(60 * minutes):
                async with trio.open_nursery() as busy:
                    busy.start_soon(trouble, town, faces, rpc)
                    busy.start_soon(ask_for_jobs, town, prepared)
                    busy.start_soon(pay_in, town)
            for face in faces:
                face.mood = ""
            await rpc.call("evm_setAutomine", True)
            print(f"{time.monotonic() - began:.0f} s of chaos are over: {dict(town.tally.events)}", flush=True)
            rested = await come_to_rest(town, client, rpc)
            for _, _, _, ended in town.peers["client"].store.jobs():
                town.tally.jobs[ended or "RUNNING"] += 1
            wrong = await explain(town, client, rpc)
            living.cancel_scope.cancel()
        print(f"jobs {dict(town.tally.jobs)}")
        print(f"deposits asked for {sum(map(len, town.tally.paid_in.values()))}, each found once")
        print(f"what happened {dict(town.tally.events)}")
        if not rested:
            wrong.append("not everything came to rest")
        if not town.tally.jobs["DONE"]:
            wrong.append("no job was done, so balances that add up prove nothing")
        for line in wrong:
            print(f"UNEXPLAINED: {line}")
        print("every balance is explained" if not wrong else f"{len(wrong)} things are not explained")
        return 1 if wrong else 0


def cowsay(folder: Path) -> Prepared:
    """The smallest job, laid out."""
    module = find_module("cowsay:v0.1")
    place = folder / "prepared"
    place.mkdir()
    return prepare(module, bind_inputs(module, "chaos", {}, {}), place)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    told = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    print(f"seed {told.seed}", flush=True)
    sys.exit(trio.run(day, told.minutes, told.seed))
