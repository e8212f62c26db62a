"""What several endpoints say of somebody's money: most of them decide, and too few are not believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from contracts.balances import read_money
from contracts.connection import Connection, connect
from contracts.devchain.methods import Methods, RpcError
from contracts.errors import Disagreement, NoToken
from contracts.journal import SqliteJournal
from contracts.profile import DEV, ChainAccess
from node.cli import wallet
from node.moves import Moves
from node.store import Store
from protocol.eip712 import Domain
from tests.contracts.endpoints import COIN, ME, faces


class Rich(Methods):
    """Says that everybody has more than they have, in the vault and outside."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        if method == "eth_call":
            return told[:-2] + "ff"
        return hex(int(told, 16) * 2) if method == "eth_getBalance" else told


class Leaving(Methods):
    """Answers until it is told to be gone."""

    gone = False

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if Leaving.gone:
            raise RpcError(-32000, "try again later")
        return super().answer(method, params)


@asynccontextmanager
async def lines(*kinds: type[Methods], store: Store | None = None) -> AsyncIterator[Connection]:
    """A connection to endpoints of different character on one chain."""
    async with faces(*kinds, deep=3) as (urls, vault, _):
        database = None if store is None else store.connection
        async with connect(ChainAccess(tuple(urls)), Domain(1337, vault), database, ME.key) as line:
            yield line


async def test_one_of_three_endpoints_makes_nobody_richer() -> None:
    async with lines(Rich, Methods, Methods) as line:
        money = await read_money(line, ME.address)
    assert (money.account.free, money.coins) == (1000, COIN)


@pytest.mark.parametrize("odd", [Rich, Leaving])
async def test_where_two_endpoints_differ_or_one_is_away_nothing_is_said(
    odd: type[Methods], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Leaving, "gone", True)
    async with lines(odd, Methods) as line:
        with pytest.raises(Disagreement, match=r"1 of 2 endpoints answered, 2 are needed|no 2 of 2 endpoints"):
            await read_money(line, ME.address)


async def test_with_too_few_endpoints_no_money_is_moved_and_what_is_waited_for_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wallet, "_LONG", 0.1)
    store = Store(tmp_path / "state.sqlite")
    async with lines(Methods, Leaving, store=store) as line:
        moves, wish = Moves(line, ME.address), {"what": "deposit", "amount": "5"}
        monkeypatch.setattr(Leaving, "gone", True)
        for ask in (moves.preview(wish), moves.begin("early", wish)):
            with pytest.raises(Disagreement, match="1 of 2 endpoints answered, 2 are needed"):
                await ask
        assert not SqliteJournal(store.connection, DEV.chain_id, ME.address).attempts("wallet:early")
        monkeypatch.setattr(Leaving, "gone", False)
        sent = await moves.begin("money", wish)
        monkeypatch.setattr(Leaving, "gone", True)
        with trio.move_on_after(3):
            await wallet._follow(moves, "money", sent["hash"], quiet=True)
        assert "still waiting: 1 of 2 endpoints answered, 2 are needed" in capsys.readouterr().err
        monkeypatch.setattr(Leaving, "gone", False)
        end = await wallet._follow(moves, "money", sent["hash"], quiet=True)
    assert (end["free"], end["coins"]) == ("1005", str(COIN - 5 - int(end["fee"])))
    store.close()


async def test_what_is_no_token_is_not_approved(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    async with faces(Methods) as (urls, vault, _):
        access = ChainAccess(tuple(urls), token=ME.address)
        async with connect(access, Domain(1337, vault), store.connection, ME.key) as line:
            for what in ("approve", "deposit"):
                with pytest.raises(NoToken, match="there is no contract at"):
                    await Moves(line, ME.address).begin("approval", {"what": what, "amount": "5"})
    store.close()
