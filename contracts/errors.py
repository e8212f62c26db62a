"""What can go wrong between this program and a chain; none of it is a peer's fault, and none ends the node."""

from __future__ import annotations


class ChainError(Exception):
    """The root: the chain or its endpoint did not do what was asked."""


class ChainUnreachable(ChainError):
    """No endpoint answered in time; the same may succeed later."""


class NoAnvil(ChainUnreachable):
    """There is no anvil on this machine to start a chain with."""


class NeverAsked(ChainUnreachable):
    """The request never reached the endpoint, which so can't have acted on it either."""


class Garbled(ChainError):
    """An endpoint answered what is no answer to the question."""


class WrongChain(ChainError):
    """The endpoint serves another chain than the one configured."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the endpoint serves chain {found}, not {expected}")
        self.expected = expected
        self.found = found


class NoVault(ChainError):
    """There is no contract at the vault's address."""


class NoToken(ChainError):
    """There is no contract at the address of the token that the vault is said to hold."""


class ChainReborn(ChainError):
    """The chain has the right number but another beginning: a dev chain that was started anew, or a fork of a test."""

    def __init__(self, chain_id: int) -> None:
        super().__init__(f"this chain {chain_id} is not the one that this data folder has used: it began anew")


class RpcRefused(ChainError):
    """An error object of the endpoint."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message


class Reverted(RpcRefused):
    """The contract refused; nothing was sent."""

    def __init__(self, reason: str, code: int = 3) -> None:
        super().__init__(code, f"execution reverted: {reason}" if reason else "execution reverted")
        self.reason = reason
        """The contract's own words, empty where it gave none."""


class Disagreement(ChainError):
    """Too few endpoints say the same about a fact; the same question may be answered later."""


class NotSent(ChainError):
    """The endpoint will not take the transaction; its nonce stays free."""


class NoCoins(NotSent):
    """The key's address does not hold what the transaction takes along and its gas may cost."""
