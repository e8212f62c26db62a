"""What the dev chain answers to each JSON-RPC method, shaped as geth shapes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from eth.exceptions import VMError
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.exceptions import ValidationError

from contracts.devchain.ledger import BASE_FEE, GAS_LIMIT, Block, Executed, Ledger, Mined, Rejected

_ERROR_STRING = bytes.fromhex("08c379a0")
_LAST_MOMENT = 1 << 40
"""Unix time that a test may go to: a block's moment must fit its field, and each of the vault's."""


class RpcError(Exception):
    """An answer that is an error object."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Methods:
    """Dispatch over one ledger. ``wake`` is called when a transaction waits to be mined."""

    def __init__(self, ledger: Ledger, wake: Callable[[], None]) -> None:
        self._ledger = ledger
        self._wake = wake
        self.automine = True
        self._table: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "lilypad-devchain/1",
            "net_version": lambda: str(ledger.chain_id),
            "eth_chainId": lambda: hex(ledger.chain_id),
            "eth_syncing": lambda: False,
            "eth_blockNumber": lambda: hex(ledger.head.number),
            "eth_gasPrice": lambda: hex(2 * BASE_FEE),
            "eth_maxPriorityFeePerGas": lambda: hex(max(BASE_FEE // 10, ledger.least_tip)),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBalance": lambda who, tag="latest": hex(self._state(tag).get_balance(_bytes(who))),
            "eth_getCode": lambda who, tag="latest": _hex(self._state(tag).get_code(_bytes(who))),
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._nonce,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": self._send,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionByHash": self._transaction,
            "evm_mine": self._mine,
            "evm_increaseTime": self._increase_time,
            "evm_setNextBlockTimestamp": self._set_next,
            "evm_setAutomine": self._set_automine,
            "dev_reorg": self._reorg,
            "dev_setLeastTip": self._set_least_tip,
        }

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        """The result of one call; raises `RpcError`."""
        call = self._table.get(method)
        if call is None:
            raise RpcError(-32601, f"the method {method} does not exist/is not available")
        try:
            return call(*params)
        except (TypeError, ValueError, KeyError, AttributeError, ValidationError, VMError) as error:
            raise RpcError(-32602, f"invalid argument: {error}") from error

    # blocks

    def _find(self, tag: str) -> Block | None:
        if tag in ("latest", "pending", "safe", "finalized"):
            return self._ledger.head
        number = 0 if tag == "earliest" else _number(tag)
        return self._ledger.blocks[number] if number < len(self._ledger.blocks) else None

    def _state(self, tag: str) -> Any:
        block = self._find(tag)
        if block is None:
            raise RpcError(-32000, "header not found")
        return self._ledger.state_at(block)

    def _block_by_number(self, tag: str, full: bool = False) -> dict[str, Any] | None:
        block = self._find(tag)
        return None if block is None else self._show_block(block, full)

    def _block_by_hash(self, name: str, full: bool = False) -> dict[str, Any] | None:
        number = self._ledger.by_hash.get(_bytes(name))
        return None if number is None else self._show_block(self._ledger.blocks[number], full)

    def _show_block(self, block: Block, full: bool) -> dict[str, Any]:
        return {
            "number": hex(block.number),
            "hash": _hex(self._ledger.hashes[block.number]),
            "parentHash": _hex(block.parent),
            "timestamp": hex(block.timestamp),
            "stateRoot": _hex(block.state_root),
            "gasLimit": hex(GAS_LIMIT),
            "gasUsed": hex(block.gas_used),
            "baseFeePerGas": hex(BASE_FEE),
            "miner": _hex(bytes(20)),
            "transactions": [
                self._show_mined(mined, block, index) if full else _hex(mined.hash)
                for index, mined in enumerate(block.transactions)
            ],
        }

    # state

    def _storage(self, who: str, slot: str, tag: str = "latest") -> str:
        value: int = self._state(tag).get_storage(_bytes(who), _number(slot))
        return _hex(value.to_bytes(32, "big"))

    def _nonce(self, who: str, tag: str = "latest") -> str:
        sender = _bytes(who)
        nonce = self._state(tag).get_nonce(sender)
        if tag == "pending":
            queue = self._ledger.waiting.get(sender, {})
            while nonce in queue:
                nonce += 1
        return hex(nonce)

    def _run(self, call: dict[str, str], tag: str) -> Executed:
        to = call.get("to")
        data = call.get("input") or call.get("data") or "0x"
        done = self._ledger.execute(
            self._state(tag),
            _bytes(call.get("from") or "0x" + "00" * 20),
            _bytes(to) if to else None,
            _number(call.get("value") or "0x0"),
            _bytes(data),
            GAS_LIMIT,
        )
        if done.reverted:
            raise RpcError(3, f"execution reverted{_reason(done.output)}", _hex(done.output))
        if done.failed is not None:
            raise RpcError(-32000, done.failed)
        return done

    def _call(self, call: dict[str, str], tag: str = "latest", *_: Any) -> str:
        return _hex(self._run(call, tag).output)

    def _estimate(self, call: dict[str, str], tag: str = "latest", *_: Any) -> str:
        # a call may keep only 63 of 64 parts of what is left for the calls it makes itself
        return hex(self._run(call, tag).gas_used * 64 // 63 + 2_300)

    # transactions

    def _send(self, raw: str) -> str:
        try:
            name = self._ledger.take(_bytes(raw))
        except Rejected as error:
            raise RpcError(-32000, str(error)) from error
        if self.automine:
            self._wake()
        return _hex(name)

    def _mined(self, name: str) -> tuple[Mined, Block, int] | None:
        place = self._ledger.mined.get(_bytes(name))
        if place is None:
            return None
        block = self._ledger.blocks[place[0]]
        return block.transactions[place[1]], block, place[1]

    def _receipt(self, name: str) -> dict[str, Any] | None:
        found = self._mined(name)
        if found is None:
            return None
        mined, block, index = found
        return {
            **self._place(mined, block, index),
            "transactionHash": _hex(mined.hash),
            "status": hex(mined.status),
            "gasUsed": hex(mined.gas_used),
            "cumulativeGasUsed": hex(sum(m.gas_used for m in block.transactions[: index + 1])),
            "effectiveGasPrice": hex(mined.price),
            "contractAddress": None if mined.created is None else _hex(mined.created),
            "logs": [
                {
                    "address": _hex(address),
                    "topics": [_hex(topic.to_bytes(32, "big")) for topic in topics],
                    "data": _hex(data),
                    "logIndex": hex(position),
                }
                for position, (address, topics, data) in enumerate(mined.logs)
            ],
        }

    def _transaction(self, name: str) -> dict[str, Any] | None:
        found = self._mined(name)
        if found is not None:
            return self._show_mined(*found)
        for queue in self._ledger.waiting.values():
            for transaction in queue.values():
                if transaction.hash == _bytes(name):
                    return {**_show(transaction), "blockHash": None, "blockNumber": None, "transactionIndex": None}
        return None

    def _show_mined(self, mined: Mined, block: Block, index: int) -> dict[str, Any]:
        return {**_show(mined.transaction), **self._place(mined, block, index)}

    def _place(self, mined: Mined, block: Block, index: int) -> dict[str, Any]:
        return {
            "blockHash": _hex(self._ledger.hashes[block.number]),
            "blockNumber": hex(block.number),
            "transactionIndex": hex(index),
            "from": _hex(mined.transaction.sender),
            "to": _hex(mined.transaction.to) or None,
        }

    # the clock, for tests

    def _mine(self, *_: Any) -> str:
        self._ledger.mine()
        return "0x0"

    def _increase_time(self, seconds: int | str) -> str:
        offset = self._ledger.offset + _number(seconds)
        self._ledger.offset = _moment(int(time.time()) + offset) - int(time.time())
        return hex(self._ledger.offset)

    def _set_next(self, moment: int | str) -> None:
        if _number(moment) < self._ledger.head.timestamp:
            raise RpcError(-32602, "timestamp error: lower than the previous block's")
        self._ledger.next_timestamp = _moment(_number(moment))
        self._ledger.offset = _number(moment) - int(time.time())

    def _set_automine(self, on: bool) -> None:
        self.automine = on
        if on:
            self._wake()

    def _set_least_tip(self, wei: int | str) -> None:
        self._ledger.least_tip = _number(wei)
        self._wake()

    def _reorg(self, depth: int | str) -> None:
        self._ledger.forget(_number(depth))


def _show(transaction: Any) -> dict[str, Any]:
    return {
        "hash": _hex(transaction.hash),
        "nonce": hex(transaction.nonce),
        "from": _hex(transaction.sender),
        "to": _hex(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "maxFeePerGas": hex(transaction.max_fee_per_gas),
        "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas),
        "input": _hex(transaction.data),
    }


def _reason(output: bytes) -> str:
    if output[:4] != _ERROR_STRING:
        return ""
    try:
        return f": {abi_decode(['string'], output[4:])[0]}"
    except (DecodingError, UnicodeDecodeError):
        return ""


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _hex(raw: bytes) -> str:
    return "0x" + bytes(raw).hex()


def _number(value: int | str) -> int:
    number = value if isinstance(value, int) else int(value, 16)
    if number < 0:
        raise ValueError("a number below 0")
    return number


def _moment(seconds: int) -> int:
    if seconds > _LAST_MOMENT:
        raise ValueError("a moment in too far a future")
    return seconds
