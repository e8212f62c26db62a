"""What users are told of a fault of the chain or its endpoints: what happened, and what mends it."""

from __future__ import annotations

from contracts.errors import ChainError, ChainReborn, Disagreement, NoAnvil, NoToken
from node.errors import ExitCode, UserError


def chain_fault(error: BaseException) -> UserError:
    """An error of the chain client in a user's words."""
    match error:
        case Disagreement():
            mend = "wait until that many of the network's endpoints answer alike, or look at its rpc and quorum"
        case ChainReborn():
            mend = (
                "a data folder belongs to one chain: make a new one, copy key.json into it and name it with --home; "
                "or name the chain's old endpoint in rpc"
            )
        case NoAnvil():
            mend = (
                "`npm install --prefix FOLDER @foundry-rs/anvil` and LILYPAD_ANVIL=FOLDER, or take the chain that is "
                "always there: --chain py-evm"
            )
        case NoToken():
            mend = "correct `token` in the network's table"
        case ChainError():
            mend = "check the network's rpc, chain_id and vault"
        case _:
            mend = ""
    return UserError(ExitCode.UNREACHABLE, str(error) or repr(error), mend)
