# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Lilypad vault
@license Apache-2.0
@notice Holds what two parties of a deal lock for each other, and moves it only by their signatures, by a missed
    deadline, or by a jury that both named. Nobody owns it; nothing in it can be paused or replaced.
@dev A deal is one word of state under its EIP-712 digest. Callers show the whole deal with every call and its digest
    proves it, so nothing of it is stored. No events: the words are the truth, and the views read many at once.
    "In time" is <=, "too late" is >.
"""

struct Signature:
    r: bytes32
    vs: bytes32  # EIP-2098: s with the parity of y in the highest bit

# The signed text says uint96, uint40 and so on. Here every number is a whole word, which costs no clamps: `open`
# bounds each of them, and a deal that was never opened has no state to act on.
struct Deal:
    jc: address
    rp: address
    pay: uint256
    jc_stake: uint256
    rp_stake: uint256
    cheat: uint256
    fee: uint256
    juror_stake: uint256
    start_by: uint256
    deliver_by: uint256
    claim_until: uint256
    grace: uint256
    answer: uint256
    judge: uint256
    appeal: uint256
    pool: bytes32
    jurors: uint256
    quorum: uint256
    silence: uint256
    jc_seat: uint256
    rp_seat: uint256
    terms: bytes32

DOMAIN_TYPE: constant(bytes32) = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
NAME: constant(bytes32) = keccak256("Lilypad Vault")
VERSION: constant(bytes32) = keccak256("1")
DEAL_TYPE: constant(bytes32) = keccak256("Deal(address jc,address rp,uint96 pay,uint96 jcStake,uint96 rpStake,uint96 cheat,uint96 fee,uint96 jurorStake,uint40 startBy,uint40 deliverBy,uint40 claimUntil,uint32 grace,uint32 answer,uint32 judge,uint32 appeal,bytes32 pool,uint8 jurors,uint8 quorum,uint8 silence,uint80 jcSeat,uint80 rpSeat,bytes32 terms)")
STARTED_TYPE: constant(bytes32) = keccak256("Started(bytes32 deal)")
RECEIPT_TYPE: constant(bytes32) = keccak256("Receipt(bytes32 deal,bytes32 sealed)")
VOUCHER_TYPE: constant(bytes32) = keccak256("Voucher(bytes32 deal,uint96 amount)")
BILL_TYPE: constant(bytes32) = keccak256("Bill(bytes32 deal,uint96 amount)")
RELEASE_TYPE: constant(bytes32) = keccak256("Release(bytes32 deal,uint96 amount)")

HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
LOW128: constant(uint256) = (1 << 128) - 1
LOW40: constant(uint256) = (1 << 40) - 1
MAX_LOCK: constant(uint256) = 90 * 86400
MAX_JURORS: constant(uint256) = 24

# A deal's word, from the lowest bit: state 8, flags 8, deadline 40, seed block 40, then 24 bits each (one a seat of the
# pool) for the jurors sitting, those of an appealed jury, those who lost their stake, those who voted, those whose vote
# won; ruling or outcome 8.
OPEN: constant(uint256) = 1
ABSENT: constant(uint256) = 2     # the job creator says that nothing was delivered
DELIVERED: constant(uint256) = 3  # the provider says that it delivered
JURY: constant(uint256) = 4
RULED: constant(uint256) = 5
CLOSED: constant(uint256) = 6
STATE: constant(uint256) = 255
PAID: constant(uint256) = 1 << 8      # the job creator's share has left
STARTED: constant(uint256) = 1 << 9   # the provider had every input, says its signature
DEADLINE: constant(uint256) = 16
OUTCOME: constant(uint256) = 216

# Outcomes of a closed deal; 1 to 3 are a jury's rulings.
SPLIT: constant(uint256) = 4 << 216
DONE: constant(uint256) = 5 << 216
VANISHED: constant(uint256) = 6 << 216
LAPSED: constant(uint256) = 7 << 216
EXPIRED: constant(uint256) = 8 << 216
PARTED: constant(uint256) = 9 << 216

accounts: public(HashMap[address, uint256])  # balance in the low 128 bits, what of it is locked in the high 128
deals: public(HashMap[bytes32, uint256])
sealed: public(HashMap[bytes32, bytes32])    # what a claim is about: the sealed CID that the provider stands for
delegates: public(HashMap[address, HashMap[address, bool]])

MIN_WINDOW: public(immutable(uint256))
MAX_WINDOW: public(immutable(uint256))
BORN_ON: immutable(uint256)
SEPARATOR: immutable(bytes32)


@deploy
def __init__(min_window: uint256, max_window: uint256):
    """
    @param min_window The shortest time to answer, judge or appeal, seconds.
    @param max_window The longest.
    """
    assert 0 < min_window and min_window <= max_window and max_window <= 30 * 86400, "windows"
    MIN_WINDOW = min_window
    MAX_WINDOW = max_window
    BORN_ON = chain.id
    SEPARATOR = keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, self))


# Signatures

@internal
@view
def _separator() -> bytes32:
    if chain.id == BORN_ON:
        return SEPARATOR
    # A fork of the chain took another id: signatures made for one side must not count on the other.
    return keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, self))


@internal
@view
def _digest(struct_hash: bytes32) -> bytes32:
    return keccak256(concat(x"1901", self._separator(), struct_hash))


@internal
@view
def _id(deal: Deal) -> bytes32:
    return self._digest(keccak256(abi_encode(DEAL_TYPE, deal)))


@internal
@view
def _signed(digest: bytes32, signature: Signature, by: address) -> bool:
    vs: uint256 = convert(signature.vs, uint256)
    s: uint256 = vs & ((1 << 255) - 1)
    if s > HALF_ORDER or by == empty(address):
        return False
    return ecrecover(digest, (vs >> 255) + 27, convert(signature.r, uint256), s) == by


# Money

@internal
def _lock(who: address, amount: uint256):
    account: uint256 = self.accounts[who]
    assert account & LOW128 >= (account >> 128) + amount, "not enough free"
    self.accounts[who] = account + (amount << 128)


@internal
def _move(deal: Deal, jc_free: uint256, rp_free: uint256, to_jc: uint256, to_rp: uint256):
    # Unlocks of each party's account, then carries amounts across; what is carried was locked, so no balance goes
    # below zero and no borrow reaches the upper half of a word.
    self.accounts[deal.jc] = self.accounts[deal.jc] - (jc_free << 128) + to_jc - to_rp
    self.accounts[deal.rp] = self.accounts[deal.rp] - (rp_free << 128) + to_rp - to_jc


@external
@payable
def deposit(to: address):
    assert (self.accounts[to] & LOW128) + msg.value <= LOW128, "too much"
    self.accounts[to] += msg.value


@external
def withdraw(amount: uint256, to: address):
    """
    @notice Takes out of what is free, at any moment.
    """
    account: uint256 = self.accounts[msg.sender]
    assert (account & LOW128) - (account >> 128) >= amount, "not enough free"
    self.accounts[msg.sender] = account - amount
    raw_call(to, b"", value=amount)


@external
def transfer(to: address, amount: uint256):
    """
    @notice Moves free money to another account of this vault.
    """
    account: uint256 = self.accounts[msg.sender]
    assert (account & LOW128) - (account >> 128) >= amount, "not enough free"
    self.accounts[msg.sender] = account - amount
    assert (self.accounts[to] & LOW128) + amount <= LOW128, "too much"
    self.accounts[to] += amount


@external
def delegate(who: address, may: bool):
    """
    @notice Lets somebody (a watchtower) make and answer claims in the caller's place. Payouts go to the parties only.
    """
    self.delegates[msg.sender][who] = may


@internal
@view
def _speaks_for(party: address) -> bool:
    return msg.sender == party or self.delegates[party][msg.sender]


# The deal

@external
def open(deal: Deal, signature: Signature):
    """
    @notice Locks both shares or neither. One party calls, with the other's signature of the deal.
    """
    id: bytes32 = self._id(deal)
    other: address = deal.rp
    if msg.sender != deal.jc:
        assert msg.sender == deal.rp, "not a party"
        other = deal.jc
    assert deal.jc != deal.rp, "one party"
    assert (deal.pay | deal.jc_stake | deal.rp_stake | deal.cheat | deal.fee | deal.juror_stake) >> 96 == 0, "amount"
    assert block.timestamp <= deal.start_by, "too late"
    assert deal.claim_until <= block.timestamp + MAX_LOCK, "too long"
    assert deal.start_by < deal.deliver_by and deal.grace <= MAX_LOCK and deal.grace > 0, "order of time"
    assert deal.deliver_by < deal.claim_until, "order of time"
    assert deal.deliver_by + deal.grace < deal.claim_until, "order of time"
    assert MIN_WINDOW <= deal.answer and deal.answer <= MAX_WINDOW, "window"
    assert MIN_WINDOW <= deal.judge and deal.judge <= MAX_WINDOW, "window"
    assert deal.appeal == 0 or (MIN_WINDOW <= deal.appeal and deal.appeal <= MAX_WINDOW), "window"
    assert deal.jurors <= MAX_JURORS and deal.quorum <= deal.jurors and deal.jurors < 2 * deal.quorum, "jury"
    assert deal.silence <= 2, "jury"
    assert deal.cheat >= deal.pay + deal.jurors * deal.fee, "collateral"
    assert deal.jc_seat | deal.rp_seat == 0, "seat"
    assert self.deals[id] == 0, "not new"
    assert self._signed(id, signature, other), "not signed"
    self.deals[id] = OPEN
    self._lock(deal.jc, deal.pay + deal.jc_stake)
    self._lock(deal.rp, deal.rp_stake + deal.cheat)


@external
def settle(deals: DynArray[Deal, 32], amounts: DynArray[uint256, 32], bills: DynArray[Signature, 32], finals: uint256):
    """
    @notice The payer pays any of its deals. Its own share is free at once.
    @param amounts What each provider gets: the whole pay, or less with its bill.
    @param bills Signatures for the amounts that are less than the pay, in order.
    @param finals Bit i: the payer will not accuse, so the provider's share of deal i is free at once too.
    @dev A deal that can't be paid (settled meanwhile, say) is skipped, so nobody can make the others fail.
    """
    assert len(deals) == len(amounts), "lengths"
    used: uint256 = 0
    paid: uint256 = 0
    freed: uint256 = 0
    for i: uint256 in range(len(deals), bound=32):
        deal: Deal = deals[i]
        amount: uint256 = amounts[i]
        assert deal.jc == msg.sender, "not the payer"
        id: bytes32 = self._id(deal)
        word: uint256 = self.deals[id]
        due: bool = word & (STATE | PAID) == OPEN
        if word & STATE == DELIVERED:
            due = block.timestamp <= (word >> DEADLINE) & LOW40
        if amount != deal.pay:
            if due:
                assert amount < deal.pay, "amount"
                assert self._signed(self._digest(keccak256(abi_encode(BILL_TYPE, id, amount))), bills[used], deal.rp), "not billed"
            used += 1
        if not due:
            continue
        paid += amount
        freed += deal.pay + deal.jc_stake
        if (finals >> i) & 1 == 1 or block.timestamp > deal.claim_until:
            self.deals[id] = CLOSED | PAID | DONE
            self.accounts[deal.rp] = self.accounts[deal.rp] - ((deal.rp_stake + deal.cheat) << 128) + amount
        else:
            self.deals[id] = OPEN | PAID
            self.accounts[deal.rp] += amount
    self.accounts[msg.sender] = self.accounts[msg.sender] - (freed << 128) - paid


@external
def redeem(deal: Deal, amount: uint256, voucher: Signature):
    """
    @notice The provider takes what a voucher grants, once; the rest of the payer's share goes home. It also answers a
        claim of absence.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    state: uint256 = word & STATE
    until: uint256 = deal.claim_until
    if state != OPEN:
        assert state == ABSENT or state == DELIVERED, "no such claim"
        until = (word >> DEADLINE) & LOW40
    assert word & PAID == 0, "paid"
    assert block.timestamp <= until, "too late"
    assert self._speaks_for(deal.rp), "not the provider"
    assert amount <= deal.pay, "amount"
    assert self._signed(self._digest(keccak256(abi_encode(VOUCHER_TYPE, id, amount))), voucher, deal.jc), "not signed"
    bond: uint256 = 0
    if state == ABSENT:
        bond = deal.fee * deal.jurors
    self.deals[id] = OPEN | PAID
    self._move(deal, deal.pay + deal.jc_stake + bond, 0, 0, amount + bond)


@external
def release(deal: Deal):
    """
    @notice After the last moment for a claim, anybody sends home what is still locked.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    assert word & STATE == OPEN, "not open"
    assert block.timestamp > deal.claim_until, "too early"
    if word & PAID == 0:
        self.deals[id] = CLOSED | EXPIRED
        self._move(deal, deal.pay + deal.jc_stake, deal.rp_stake + deal.cheat, 0, 0)
    else:
        self.deals[id] = CLOSED | PAID | DONE
        self._move(deal, 0, deal.rp_stake + deal.cheat, 0, 0)


@external
def part(deal: Deal, amount: uint256, signature: Signature):
    """
    @notice Both agree to end the deal now: so much of the pay to the provider, all else home. One party calls, with
        the other's signed release. Not while a jury sits.
    """
    id: bytes32 = self._id(deal)
    other: address = deal.rp
    if msg.sender != deal.jc:
        assert msg.sender == deal.rp, "not a party"
        other = deal.jc
    word: uint256 = self.deals[id]
    state: uint256 = word & STATE
    assert state == OPEN or state == ABSENT or state == DELIVERED, "not open"
    assert self._signed(self._digest(keccak256(abi_encode(RELEASE_TYPE, id, amount))), signature, other), "not signed"
    back: uint256 = 0
    if word & PAID == 0:
        assert amount <= deal.pay, "amount"
        back = deal.pay + deal.jc_stake
    else:
        assert amount == 0, "amount"
    if state == ABSENT:
        back += deal.fee * deal.jurors
    self.deals[id] = CLOSED | PARTED | (word & PAID)
    self._move(deal, back, deal.rp_stake + deal.cheat, 0, amount)


# Claims

@external
def absent(deal: Deal, has_started: bool, started: Signature):
    """
    @notice The job creator says that nothing was delivered, and locks a bond of n fees.
    @param has_started Whether `started` is the provider's signature that it held every input. Shown here, it shuts the
        way out of "no inputs"; a provider that signed it can't unsign it, so no later round is needed.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    assert word & (STATE | PAID) == OPEN, "not open"
    assert self._speaks_for(deal.jc), "not the job creator"
    assert block.timestamp > deal.deliver_by + deal.grace, "too early"
    assert block.timestamp <= deal.claim_until, "too late"
    word = ABSENT | ((block.timestamp + deal.answer) << DEADLINE)
    if has_started:
        assert self._signed(self._digest(keccak256(abi_encode(STARTED_TYPE, id))), started, deal.rp), "not signed"
        word |= STARTED
    self.deals[id] = word
    self._lock(deal.jc, deal.fee * deal.jurors)


@external
def no_inputs(deal: Deal):
    """
    @notice The provider's answer to a claim of absence when the inputs never came: the deal lapses, all goes home.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    assert word & STATE == ABSENT, "no such claim"
    assert self._speaks_for(deal.rp), "not the provider"
    assert block.timestamp <= (word >> DEADLINE) & LOW40, "too late"
    assert word & STARTED == 0, "it had started"
    self.deals[id] = CLOSED | LAPSED
    self._move(deal, deal.pay + deal.jc_stake + deal.fee * deal.jurors, deal.rp_stake + deal.cheat, 0, 0)


@external
def deliver(deal: Deal, sealed: bytes32, has_receipt: bool, receipt: Signature):
    """
    @notice The provider says that it delivered: the payer pays or contests, and its silence is consent. With a receipt
        this also answers a claim of absence, whose bond the provider keeps.
    @param sealed The sealed CID of the result.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    assert self._speaks_for(deal.rp), "not the provider"
    bond: uint256 = 0
    until: uint256 = deal.claim_until
    if word & STATE == ABSENT:
        bond = deal.fee * deal.jurors
        until = (word >> DEADLINE) & LOW40
        assert has_receipt, "no receipt"
    else:
        assert word & (STATE | PAID) == OPEN, "not open"
        if not has_receipt:
            until = deal.deliver_by + deal.grace
    assert block.timestamp <= until, "too late"
    if has_receipt:
        assert self._signed(self._digest(keccak256(abi_encode(RECEIPT_TYPE, id, sealed))), receipt, deal.jc), "not signed"
    self.sealed[id] = sealed
    self.deals[id] = DELIVERED | ((block.timestamp + deal.answer) << DEADLINE)
    if bond != 0:
        self._move(deal, bond, 0, 0, bond)


@external
def finalize(deal: Deal):
    """
    @notice Anybody ends a claim whose deadline has passed.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    state: uint256 = word & STATE
    assert state >= ABSENT and state <= RULED, "no such claim"
    assert block.timestamp > (word >> DEADLINE) & LOW40, "too early"
    if state == ABSENT:
        self.deals[id] = CLOSED | VANISHED
        self._move(deal, deal.pay + deal.jc_stake + deal.fee * deal.jurors, deal.rp_stake + deal.cheat, deal.rp_stake, 0)
    else:
        rp_free: uint256 = 0
        if block.timestamp > deal.claim_until:
            rp_free = deal.rp_stake + deal.cheat
            self.deals[id] = CLOSED | PAID | DONE
        else:
            self.deals[id] = OPEN | PAID
        self._move(deal, deal.pay + deal.jc_stake, rp_free, 0, deal.pay + deal.jc_stake)


# Views

@external
@view
def deal_id(deal: Deal) -> bytes32:
    return self._id(deal)


@external
@view
def accounts_many(who: DynArray[address, 256]) -> DynArray[uint256, 256]:
    words: DynArray[uint256, 256] = []
    for one: address in who:
        words.append(self.accounts[one])
    return words


@external
@view
def deals_many(ids: DynArray[bytes32, 256]) -> DynArray[uint256, 256]:
    words: DynArray[uint256, 256] = []
    for one: bytes32 in ids:
        words.append(self.deals[one])
    return words
