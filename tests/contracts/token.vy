# pragma version 0.4.3
# A token that can misbehave: tests set `mode`.
interface Vault:
    def deposit(to: address, amount: uint256): nonpayable
    def withdraw(amount: uint256, to: address): nonpayable

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
mode: uint256

FEE: constant(uint256) = 1      # one percent of what moves is gone
MUTE: constant(uint256) = 2     # returns nothing
REFUSES: constant(uint256) = 3  # returns False and moves nothing
REVERTS: constant(uint256) = 4
GREEDY: constant(uint256) = 5   # takes one more from who sends
DEPOSITS_AGAIN: constant(uint256) = 6   # calls back while it moves
WITHDRAWS_AGAIN: constant(uint256) = 7


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def behave(mode: uint256):
    self.mode = mode


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@internal
def _move(giver: address, to: address, amount: uint256):
    assert self.mode != REVERTS, "the token says no"
    if self.mode == REFUSES:
        return
    self.balanceOf[giver] -= amount
    self.balanceOf[to] += amount
    if self.mode == FEE:
        self.balanceOf[to] -= amount // 100
    if self.mode == GREEDY:
        self.balanceOf[giver] -= 1


@internal
@view
def _told() -> Bytes[32]:
    if self.mode == MUTE:
        return b""
    return abi_encode(self.mode != REFUSES)


@external
@raw_return
def transfer(to: address, amount: uint256) -> Bytes[32]:
    if self.mode == WITHDRAWS_AGAIN:
        self.mode = 0
        extcall Vault(msg.sender).withdraw(0, to)
    self._move(msg.sender, to, amount)
    return self._told()


@external
@raw_return
def transferFrom(giver: address, to: address, amount: uint256) -> Bytes[32]:
    if self.mode == DEPOSITS_AGAIN:
        # What arrives by this inner deposit would count for the outer one too.
        self.mode = 0
        self.balanceOf[self] += 500
        self.allowance[self][msg.sender] = 500
        extcall Vault(msg.sender).deposit(giver, 500)
    self.allowance[giver][msg.sender] -= amount
    self._move(giver, to, amount)
    return self._told()
