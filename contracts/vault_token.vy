# Money in and out, in a token (ERC-20). `contracts.build` puts these lines into the place of the coin's in `vault.vy`.
# Not for tokens whose balances change by themselves.

@internal
@view
def _held() -> uint256:
    return convert(raw_call(TOKEN, abi_encode(self, method_id=method_id("balanceOf(address)")), max_outsize=32, is_static_call=True), uint256)


@internal
def _ask(call: Bytes[100]):
    # Some tokens return nothing; what says that it did not move the money is believed.
    told: Bytes[32] = raw_call(TOKEN, call, max_outsize=32)
    assert len(told) == 0 or convert(told, uint256) == 1, "token"


@external
@nonreentrant
def deposit(to: address, amount: uint256):
    """
    @notice Takes tokens that the caller allowed this vault to take, and credits what arrived, less a fee of the token's.
    """
    before: uint256 = self._held()
    self._ask(abi_encode(msg.sender, self, amount, method_id=method_id("transferFrom(address,address,uint256)")))
    held: uint256 = self._held()
    # All money here fits 96 bits, so no sum of balances, stakes or fees ever leaves its field. Only asked on the way in:
    # nobody can close the way out by giving the vault too much.
    assert held <= LOW96, "too much"
    self.accounts[convert(to, uint256)] += held - before


@external
@nonreentrant
def withdraw(amount: uint256, to: address):
    """
    @notice Takes out of what is free, at any moment.
    """
    self._take(amount)
    before: uint256 = self._held()
    self._ask(abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")))
    # A token that takes more than it was asked to would take it from the others.
    assert before - self._held() <= amount, "token"


