"""What a deal costs on chain, beside what it cost in the markets before this one.

``python benchmarks/gas.py [--json]`` mines every path through the vault on anvil (where it is found; else on py-evm,
whose gas is the same) and prints gas by deal: both sides and the payment counted, first-time costs beside steady ones.
In a batch the payer's side is counted; what a provider pays for its own commit stands below it, to be shared by as many
deals as it serves at a time.

The figures beside it: MODiCuM-Online's are published (Eisele et al.); Lilypad v2's were measured on anvil with its
contracts at their last release, four transactions for a happy deal, compiled as deployed (optimizer off) and with the
optimizer on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx
import trio

from contracts.anvil import find_anvil, run_anvil
from protocol.identity import Address, show
from tests.contracts.gas_paths import CHAIN, COIN, POOR, RICH, WINDOWS, Cost, LedgerChain, measure

OTHERS = (
    ("MODiCuM-Online, published", 793_525, 887_386),
    ("Lilypad v2, as deployed", 1_769_400, 2_013_819),
    ("Lilypad v2, optimized", 1_650_755, 1_869_296),
)
"""A happy deal, and one with mediation."""
HAPPY = ("lone deal, final payment", "one of a line of 100 jobs", "one of 100 partners in a batch")
DISPUTED = ("dispute, named 2 of 3", "dispute, drawn 3 of 5 from 21, appeal window")


class AnvilChain:
    """An anvil over HTTP, one request at a time."""

    def __init__(self, url: str, vault: Address) -> None:
        self.vault = vault
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def send(self, raw: bytes) -> tuple[bool, int]:
        """Mine a signed transaction: whether it was done, and its gas."""
        name = self._ask("eth_sendRawTransaction", "0x" + raw.hex())
        while (receipt := self._ask("eth_getTransactionReceipt", name)) is None:
            pass
        return receipt["status"] == "0x1", int(receipt["gasUsed"], 16)

    def read(self, payload: bytes) -> bytes:
        """What the vault answers."""
        told = self._ask("eth_call", {"to": show(self.vault), "data": "0x" + payload.hex()}, "latest")
        return bytes.fromhex(told[2:])

    def now(self) -> int:
        """Moment of the newest block."""
        return int(self._ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def move_to(self, moment: int) -> None:
        """Let time pass."""
        self._ask("evm_setNextBlockTimestamp", moment)
        self.mine()

    def mine(self) -> None:
        """An empty block."""
        self._ask("evm_mine")

    def _ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._client.post("/", json=body).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]


async def _on_anvil() -> list[Cost]:
    funds = {person.address: 100 * COIN for person in RICH}
    coins = funds | {person.address: 100 * COIN for person in POOR}
    async with run_anvil(coins, funds, windows=WINDOWS, chain_id=CHAIN, block_time=0) as chain:
        assert chain.vault is not None
        paths = AnvilChain(chain.url, chain.vault)
        return await trio.to_thread.run_sync(lambda: list(measure(paths)))


def _show(costs: list[Cost], where: str) -> None:
    print(f"Gas of one deal, on {where}\n")
    for cost in costs:
        bound = "" if cost.bound is None else f"<= {cost.bound:,}"
        verdict = "" if cost.bound is None else "  yes" if cost.gas <= cost.bound else "  NO"
        parts = " + ".join(f"{name} {gas // cost.shared_by:,}" for name, gas in cost.parts.items())
        print(f"{cost.title:48}{cost.gas:>9,}  {bound:>11}{verdict:5}  {parts}")
    by_title = {cost.title: cost.gas for cost in costs}
    print(f"\n{'times cheaper than':48}" + "".join(f"{name:>28}" for name, _, _ in OTHERS))
    for title in HAPPY:
        print(f"{title:48}" + "".join(f"{happy / by_title[title]:>28.1f}" for _, happy, _ in OTHERS))
    opened = next(cost.parts["open"] for cost in costs if cost.title == HAPPY[0])
    for title in DISPUTED:
        whole = by_title[title] + opened
        print(f"{'open, ' + title:48.48}" + "".join(f"{other / whole:>28.1f}" for _, _, other in OTHERS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    wanted = parser.parse_args()
    found = find_anvil() is not None
    costs = trio.run(_on_anvil) if found else list(measure(LedgerChain()))
    where = "anvil" if found else "py-evm (anvil was not found)"
    if wanted.json:
        print(json.dumps({"chain": where, "gas": {cost.title: cost.gas for cost in costs}}))
    else:
        _show(costs, where)


if __name__ == "__main__":
    main()
