# pragma version 0.4.3
# Has an account in the vault and tries to take more than that: tests set `mode`.
interface Vault:
    def deposit(to: address): payable
    def withdraw(amount: uint256, to: address): nonpayable
    def transfer(to: address, amount: uint256): nonpayable
    def join(amount: uint256): nonpayable

AGAIN: constant(uint256) = 1     # withdraws again while it is paid
MOVES: constant(uint256) = 2     # moves what it is being paid to another account
JOINS: constant(uint256) = 3     # stakes what it is being paid
REFUSES: constant(uint256) = 4   # takes no money
DEPOSITS: constant(uint256) = 5  # pays it in again, which is allowed

vault: immutable(address)
mode: public(uint256)


@deploy
@payable
def __init__(of: address):
    vault = of


@external
@payable
def put(amount: uint256):
    extcall Vault(vault).deposit(self, value=amount)


@external
def take(amount: uint256, how: uint256):
    self.mode = how
    extcall Vault(vault).withdraw(amount, self)


@external
@payable
def __default__():
    assert self.mode != REFUSES, "no money please"
    if self.mode == AGAIN:
        extcall Vault(vault).withdraw(msg.value, self)
    elif self.mode == MOVES:
        extcall Vault(vault).transfer(msg.sender, msg.value)
    elif self.mode == JOINS:
        extcall Vault(vault).join(msg.value)
    elif self.mode == DEPOSITS:
        self.mode = 0
        extcall Vault(vault).deposit(self, value=msg.value)
