# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Lilypad vault
@license Apache-2.0
@notice Holds what two parties of a deal lock for each other, and moves it only by their signatures, by a missed
    deadline, or by a jury that both named. Nobody owns it; nothing in it can be paused or replaced.
@dev A deal is one word of state under its EIP-712 digest. It comes in by `open`, alone, or by `enter`, out of a lock for
    many. Callers show the whole deal with every call and its digest proves it, so nothing of it is stored. No events:
    the words are the truth, and the views read many at once.
    "In time" is <=, "too late" is >.
"""

struct Signature:
    r: bytes32
    vs: bytes32  # EIP-2098: s with the parity of y in the highest bit

# The signed text says address, uint96, uint40 and so on. Here all of it is whole words, which costs no clamps: `open` and
# `enter` bound each of them, and a deal that was never opened has no state to act on. People are words here for the same
# reason; each comes from `msg.sender`, a recovered signer or what equals one.
# One side's share of one deal, as it stands in a tree. A provider's own share has no payee.
struct Leaf:
    payee: uint256  # address 160 bits, pay 96
    rest: uint256   # what of the share is not pay
    deal: bytes32

# A root over 128 seats. Every path is as long as the tree is high, so a seat is one leaf and no other.
struct Lock:
    root: bytes32
    terms: uint256  # sum 96 bits, moment it was made 40, moment it ends 40, number 40
    left: uint256   # what of the sum is still locked here 96 bits; then a bit for each seat that has left

struct Deal:
    jc: uint256
    rp: uint256
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
RESULT_TYPE: constant(bytes32) = keccak256("Result(bytes32 deal,bytes32 sealed,uint8 exitCode,uint64 units)")
VOTE_TYPE: constant(bytes32) = keccak256("Vote(bytes32 deal,uint8 round,uint8 ruling,bytes32 commitments)")
RELEASE_TYPE: constant(bytes32) = keccak256("Release(bytes32 deal,uint96 amount)")
SUCCESSOR_TYPE: constant(bytes32) = keccak256("Successor(bytes32 line,uint40 number,bytes32 deal,uint96 owed)")

HALF_ORDER: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
LOW128: constant(uint256) = (1 << 128) - 1
LOW96: constant(uint256) = (1 << 96) - 1
LOW40: constant(uint256) = (1 << 40) - 1
MAX_LOCK: constant(uint256) = 90 * 86400
MAX_JURORS: constant(uint256) = 24
SEED_DELAY: constant(uint256) = 2  # blocks from a dispute to the one that draws its jury: nobody knows its hash yet
SEATS: constant(uint256) = (1 << 24) - 1
ORDER: constant(uint256) = 566073426779046459040877649791461066728553822781039575296  # 0 to 23, a byte each

HEIGHT: constant(uint256) = 7
TAKEN: constant(uint256) = 96

# A deal's word, from the lowest bit: state 8, flags 8, deadline 40, seed block 40, then 24 bits each (one a seat of the
# pool) for the jurors sitting, those of an appealed jury, those who lost their seat, those who voted, those whose vote
# won; ruling or outcome 8; 24 bits for the jurors who promised to vote.
OPEN: constant(uint256) = 1
ABSENT: constant(uint256) = 2     # the job creator says that nothing was delivered
DELIVERED: constant(uint256) = 3  # the provider says that it delivered
JURY: constant(uint256) = 4
RULED: constant(uint256) = 5
CLOSED: constant(uint256) = 6
LINE: constant(uint256) = 7       # no job's: its shares are for one deal after another
STATE: constant(uint256) = 255
PAID: constant(uint256) = 1 << 8      # the job creator's share has left
STARTED: constant(uint256) = 1 << 9   # the provider had every input, says its signature
CONTESTED: constant(uint256) = 1 << 10  # about a delivery claimed on chain, not about an accusation
REFILLED: constant(uint256) = 1 << 11
ROUND: constant(uint256) = 12
APPEALED: constant(uint256) = 1 << ROUND
BY_PROVIDER: constant(uint256) = 1 << 13
DRAWN: constant(uint256) = 1 << 14
UNPROVEN: constant(uint256) = 1 << 15  # too few of a ruling's votes rest on anything
DEADLINE: constant(uint256) = 16
BLOCK: constant(uint256) = 56
SITTING: constant(uint256) = 96
FORMER: constant(uint256) = 120
OUT: constant(uint256) = 144
VOTED: constant(uint256) = 168
WINNERS: constant(uint256) = 192
PRESENT: constant(uint256) = 224
OUTCOME: constant(uint256) = 216

# Outcomes of a closed deal; 1 to 3 are a jury's rulings.
RIGHT: constant(uint256) = 1
WRONG: constant(uint256) = 2
NOT_FETCHABLE: constant(uint256) = 3
SPLIT: constant(uint256) = 4
DONE: constant(uint256) = 5 << 216
VANISHED: constant(uint256) = 6 << 216
LAPSED: constant(uint256) = 7 << 216
EXPIRED: constant(uint256) = 8 << 216
PARTED: constant(uint256) = 9 << 216
RESUMED: constant(uint256) = 10 << 216

accounts: HashMap[uint256, uint256]  # balance in the low 128 bits, what of it is locked in the high 128
deals: HashMap[bytes32, uint256]
sealed: public(HashMap[bytes32, bytes32])    # what a claim is about: the sealed CID that the provider stands for; a
                                             # line's: the latest successor shown
locks: public(HashMap[address, HashMap[uint256, Lock]])
mediators: HashMap[uint256, uint256]  # stake 96 bits, what of it is at risk 96, moment it may leave 40
tallies: HashMap[bytes32, uint256]    # ballot -> seats that cast it, 24 bits higher where it rests on nothing
delegates: HashMap[uint256, HashMap[address, bool]]

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
@pure
def _need(yes: bool, why: String[16]):
    # One place for all reasons: each costs as many bytes of code as a small function where it is written out.
    assert yes, why


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
def _signed(digest: bytes32, signature: Signature, by: uint256):
    vs: uint256 = convert(signature.vs, uint256)
    s: uint256 = vs & ((1 << 255) - 1)
    signer: uint256 = convert(ecrecover(digest, (vs >> 255) + 27, convert(signature.r, uint256), s), uint256)
    self._need(s <= HALF_ORDER and signer == by and signer != 0, "not signed")


@internal
@view
def _said(kind: bytes32, id: bytes32, told: bytes32, signature: Signature, by: uint256):
    self._signed(self._digest(keccak256(abi_encode(kind, id, told))), signature, by)


@internal
@view
def _until(moment: uint256):
    self._need(block.timestamp <= moment, "too late")


@internal
@view
def _after(moment: uint256):
    self._need(block.timestamp > moment, "too early")


@internal
@view
def _in_time(word: uint256):
    self._until((word >> DEADLINE) & LOW40)


@internal
@view
def _need_window(span: uint256):
    self._need(MIN_WINDOW <= span and span <= MAX_WINDOW, "window")


# Money

@internal
def _take(amount: uint256):
    account: uint256 = self.accounts[convert(msg.sender, uint256)]
    self._need((account & LOW128) - (account >> 128) >= amount, "not enough free")
    self.accounts[convert(msg.sender, uint256)] = account - amount


@internal
def _lock(who: uint256, amount: uint256):
    account: uint256 = self.accounts[who]
    self._need((account & LOW128) - (account >> 128) >= amount, "not enough free")
    self.accounts[who] = account + (amount << 128)


@internal
def _move(deal: Deal, jc_free: uint256, rp_free: uint256, to_jc: uint256, to_rp: uint256):
    # Unlocks of each party's account, then carries amounts across; what is carried was locked, so no balance goes
    # below zero and no borrow reaches the upper half of a word.
    self.accounts[deal.jc] = self.accounts[deal.jc] - (jc_free << 128) + to_jc - to_rp
    self.accounts[deal.rp] = self.accounts[deal.rp] - (rp_free << 128) + to_rp - to_jc


# Money in and out. All that a vault for a token does otherwise: `vault_token.vy` takes the place of these lines.

@external
@payable
def deposit(to: address):
    # All money here fits 96 bits, so no sum of balances, stakes or fees ever leaves its field.
    self._need(self.balance <= LOW96, "too much")
    self.accounts[convert(to, uint256)] += msg.value


@external
def withdraw(amount: uint256, to: address):
    """
    @notice Takes out of what is free, at any moment.
    """
    self._take(amount)
    raw_call(to, b"", value=amount)


# Money inside

@external
def transfer(to: address, amount: uint256):
    """
    @notice Moves free money to another account of this vault.
    """
    self._take(amount)
    self.accounts[convert(to, uint256)] += amount


@external
def delegate(who: address, may: bool):
    """
    @notice Lets somebody (a watchtower) make and answer claims in the caller's place. Payouts go to the parties only.
    """
    self.delegates[convert(msg.sender, uint256)][who] = may


@internal
@view
def _speaks_for(party: uint256):
    self._need(convert(msg.sender, uint256) == party or self.delegates[party][msg.sender], "not a party")


@internal
@view
def _other(deal: Deal) -> uint256:
    # Who else signed, of the two, when one of them calls.
    me: uint256 = convert(msg.sender, uint256)
    self._need(me == deal.jc or me == deal.rp, "not a party")
    return deal.jc ^ deal.rp ^ me


# The deal

@internal
@view
def _agreed(deal: Deal) -> bytes32:
    # What any deal must keep to end well, whichever door it comes by; gives its id, which must be new.
    id: bytes32 = self._id(deal)
    self._need(deal.jc != deal.rp, "one party")
    self._need((deal.pay | deal.jc_stake | deal.rp_stake | deal.cheat | deal.fee | deal.juror_stake) >> 96 == 0, "amount")
    self._need(deal.claim_until <= block.timestamp + MAX_LOCK, "too long")
    self._need(deal.start_by < deal.deliver_by and deal.deliver_by < deal.claim_until and deal.grace <= MAX_LOCK and deal.grace > 0 and deal.deliver_by + deal.grace < deal.claim_until, "order of time")
    self._need_window(deal.answer)
    self._need_window(deal.judge)
    if deal.appeal != 0:
        self._need_window(deal.appeal)
    self._need(deal.jurors <= MAX_JURORS and deal.quorum <= deal.jurors and deal.jurors < 2 * deal.quorum and deal.silence <= 2, "jury")
    self._need(deal.cheat >= deal.pay + deal.jurors * deal.fee, "collateral")
    self._need(self.deals[id] == 0, "not new")
    return id


@external
def open(deal: Deal, signature: Signature):
    """
    @notice Locks both shares or neither. One party calls, with the other's signature of the deal. A deal without terms
        is a line: no job's, and its pay is the most that its jobs may earn together.
    """
    other: uint256 = self._other(deal)
    id: bytes32 = self._agreed(deal)
    self._until(deal.start_by)
    self._signed(id, signature, other)
    word: uint256 = OPEN
    if deal.terms == empty(bytes32):
        word = LINE
    self._open(deal, id, word)


@internal
def _open(deal: Deal, id: bytes32, word: uint256):
    self._need(deal.jc_seat | deal.rp_seat == 0, "seat")
    self.deals[id] = word
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
    self._need(len(deals) == len(amounts), "lengths")
    used: uint256 = 0
    paid: uint256 = 0
    freed: uint256 = 0
    for i: uint256 in range(len(deals), bound=32):
        deal: Deal = deals[i]
        amount: uint256 = amounts[i]
        self._need(deal.jc == convert(msg.sender, uint256), "not the payer")
        id: bytes32 = self._id(deal)
        word: uint256 = self.deals[id]
        due: bool = word & (STATE | PAID) == OPEN
        if word & STATE == DELIVERED:
            due = block.timestamp <= (word >> DEADLINE) & LOW40
        if amount != deal.pay:
            if due:
                self._need(amount < deal.pay, "amount")
                self._said(BILL_TYPE, id, convert(amount, bytes32), bills[used], deal.rp)
            used += 1
        if not due:
            continue
        paid += amount
        freed += deal.pay + deal.jc_stake
        self.accounts[deal.rp] += amount
        if (finals >> i) & 1 == 1 or block.timestamp > deal.claim_until:
            self.deals[id] = CLOSED | PAID | DONE
            self.accounts[deal.rp] -= (deal.rp_stake + deal.cheat) << 128
        else:
            self.deals[id] = OPEN | PAID
    self.accounts[convert(msg.sender, uint256)] -= (freed << 128) + paid


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
        self._need(state == ABSENT or state == DELIVERED, "no such claim")
        until = (word >> DEADLINE) & LOW40
    self._need(word & PAID == 0, "paid")
    self._until(until)
    self._speaks_for(deal.rp)
    self._need(amount <= deal.pay, "amount")
    self._said(VOUCHER_TYPE, id, convert(amount, bytes32), voucher, deal.jc)
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
    self._need(word & STATE == OPEN or word & STATE == LINE, "not open")
    # A line's successor that was shown in time can be resumed for one more window.
    self._after(max(deal.claim_until, ((word >> DEADLINE) & LOW40) + deal.answer))
    home: uint256 = 0
    ended: uint256 = CLOSED | PAID | DONE
    if word & PAID == 0:
        home = deal.pay + deal.jc_stake
        ended = CLOSED | EXPIRED
    self.deals[id] = ended
    self._move(deal, home, deal.rp_stake + deal.cheat, 0, 0)


@external
def part(deal: Deal, amount: uint256, signature: Signature):
    """
    @notice Both agree to end the deal now: so much of the pay to the provider, all else home. One party calls, with
        the other's signed release. Not while a jury sits.
    """
    id: bytes32 = self._id(deal)
    other: uint256 = self._other(deal)
    word: uint256 = self.deals[id]
    state: uint256 = word & STATE
    self._need(state != 0 and (state <= DELIVERED or state == LINE), "not open")
    self._said(RELEASE_TYPE, id, convert(amount, bytes32), signature, other)
    back: uint256 = 0
    most: uint256 = 0
    if word & PAID == 0:
        back = deal.pay + deal.jc_stake
        most = deal.pay
    self._need(amount <= most, "amount")
    if state == ABSENT:
        back += deal.fee * deal.jurors
    self.deals[id] = CLOSED | PARTED | (word & PAID)
    self._move(deal, back, deal.rp_stake + deal.cheat, 0, amount)


# Standing lines: later deals of a pair, agreed on without the chain. It hears of one only when somebody wants a claim.

@external
def show(line: Deal, number: uint256, deal: bytes32, owed: uint256, signatures: Signature[2]):
    """
    @notice Shows a line's successor: the deal that stands in its place now, and what the jobs before it earned. One with
        a higher number, shown before the line is resumed, replaces it. Both signed it, so anybody may show it.
    @param signatures The job creator's and the provider's.
    """
    id: bytes32 = self._id(line)
    word: uint256 = self.deals[id]
    self._need(word & STATE == LINE, "no line")
    self._until(line.claim_until)
    self._need((word >> BLOCK) < number and number <= LOW40, "not later")
    self._need(owed <= line.pay, "amount")
    successor: bytes32 = keccak256(abi_encode(SUCCESSOR_TYPE, id, number, deal, owed))
    self._signed(self._digest(successor), signatures[0], line.jc)
    self._signed(self._digest(successor), signatures[1], line.rp)
    self.sealed[id] = successor
    self.deals[id] = LINE | ((block.timestamp + line.answer) << DEADLINE) | (number << BLOCK)


@external
def resume(line: Deal, deal: Deal, owed: uint256):
    """
    @notice Ends a line whose time to show a later successor is over: pays what is owed, and the deal of the successor
        goes on alone, as `open` would have opened it.
    """
    id: bytes32 = self._id(line)
    word: uint256 = self.deals[id]
    self._need(word & STATE == LINE, "no line")
    self._after((word >> DEADLINE) & LOW40)
    next: bytes32 = self._agreed(deal)
    shown: bool = self.sealed[id] == keccak256(abi_encode(SUCCESSOR_TYPE, id, word >> BLOCK, next, owed))
    # It ends no later than the line itself, so what a line holds is never locked longer than anything else.
    self._need(shown and deal.jc == line.jc and deal.rp == line.rp and deal.claim_until <= line.claim_until, "no successor")
    self.deals[id] = CLOSED | RESUMED
    self._move(line, line.pay + line.jc_stake, line.rp_stake + line.cheat, 0, owed)
    self._open(deal, next, OPEN)


# Batches

@external
def commit(slot: uint256, root: bytes32, amount: uint256, until: uint256):
    """
    @notice Locks the sum of up to 128 shares under the root of their tree, in the place of a lock that ended or that
        every share has left. What that one still held is free again; a root and a sum of 0 only free it.
    """
    me: uint256 = convert(msg.sender, uint256)
    old: Lock = self.locks[msg.sender][slot]
    rest: uint256 = old.left & LOW96
    self._need(rest == 0 or block.timestamp > (old.terms >> 136) & LOW40, "still locked")
    self._need(until <= block.timestamp + MAX_LOCK, "too long")
    self.accounts[me] -= rest << 128
    self._lock(me, amount)
    number: uint256 = (old.terms >> 176) + 1
    self.locks[msg.sender][slot] = Lock(root=root, terms=amount | (block.timestamp << 96) | (until << 136) | (number << 176), left=amount)


@internal
@pure
def _leaf(payee: uint256, rest: uint256, deal: bytes32) -> bytes32:
    return keccak256(abi_encode(payee, rest, deal))


@internal
@pure
def _node(left: bytes32, left_sum: uint256, right: bytes32, right_sum: uint256) -> bytes32:
    # Four words, a leaf three: neither can pass for the other.
    return keccak256(abi_encode(left, left_sum, right, right_sum))


@internal
@pure
def _need_root(lock: Lock, root: bytes32, sum: uint256):
    self._need(root == lock.root and sum == lock.terms & LOW96, "not in the lock")


@internal
def _unseat(who: uint256, seat: uint256, leaf: bytes32, share: uint256, deal: Deal, path: uint256[14]) -> bool:
    # Takes a share out of its lock, or tells that it has left already.
    owner: address = convert(who, address)
    lock: Lock = self.locks[owner][seat >> 48]
    fault: uint256 = self._fits(lock, seat, deal)
    self._need(fault != 1, "another lock")
    self._need(fault != 2, "locked too late")
    self._need(fault == 0, "locked too short")
    node: bytes32 = leaf
    sum: uint256 = share
    bits: uint256 = seat & 255
    for i: uint256 in range(HEIGHT):
        other: bytes32 = convert(path[2 * i], bytes32)
        other_sum: uint256 = path[2 * i + 1]
        if bits & 1 == 0:
            node = self._node(node, sum, other, other_sum)
        else:
            node = self._node(other, other_sum, node, sum)
        sum += other_sum
        bits >>= 1
    self._need(bits == 0, "seat")
    self._need_root(lock, node, sum)
    bit: uint256 = 1 << (TAKEN + (seat & 255))
    if lock.left & bit != 0:
        return True
    self.locks[owner][seat >> 48].left = (lock.left - share) | bit
    return False


@internal
def _enter(deal: Deal, jc_path: uint256[14], rp_path: uint256[14]) -> (bytes32, uint256):
    # Takes both shares out of their locks; the deal's id, and the word it opens with.
    id: bytes32 = self._agreed(deal)
    self._until(deal.claim_until)
    word: uint256 = OPEN
    share: uint256 = deal.rp_stake + deal.cheat
    # Nothing but this and `vacate` takes a provider's share out.
    self._need(not self._unseat(deal.rp, deal.rp_seat, self._leaf(0, share, id), share, deal, rp_path), "left")
    share = deal.pay + deal.jc_stake
    if self._unseat(deal.jc, deal.jc_seat, self._leaf((deal.rp << 96) | deal.pay, deal.jc_stake, id), share, deal, jc_path):
        word |= PAID
    return id, word


@external
def enter(deal: Deal, jc_path: uint256[14], rp_path: uint256[14]):
    """
    @notice Takes both shares of a deal out of their locks and opens it, as `open` would have: before any claim. A party
        or its delegate calls.
    @param jc_path From the leaf up: the other node's hash and sum, seven times.
    """
    if not self.delegates[deal.jc][msg.sender] and not self.delegates[deal.rp][msg.sender]:
        self._other(deal)
    id: bytes32 = empty(bytes32)
    word: uint256 = 0
    id, word = self._enter(deal, jc_path, rp_path)
    self.deals[id] = word


@internal
@pure
def _fits(lock: Lock, seat: uint256, deal: Deal) -> uint256:
    # Whether a lock is the one that a seat names, was made in time and lasts: 0, or the first thing that is wrong.
    if (seat >> 8) & LOW40 != lock.terms >> 176:
        return 1
    if (lock.terms >> 96) & LOW40 > deal.start_by:
        return 2
    if deal.claim_until > (lock.terms >> 136) & LOW40:
        return 3
    return 0


@external
def vacate(deal: Deal, for_provider: bool, path: uint256[14]):
    """
    @notice A side takes its share of a deal home out of its lock when the deal can enter no more: after `start_by` where
        the other side's lock is not the one that the deal names, and after `claim_until` in any case.
    @dev What could not enter once `start_by` has passed never can: each lock of a slot has a number of its own, and one
        made from now on is too late.
    """
    id: bytes32 = self._id(deal)
    who: uint256 = deal.jc
    seat: uint256 = deal.jc_seat
    share: uint256 = deal.pay + deal.jc_stake
    leaf: bytes32 = self._leaf((deal.rp << 96) | deal.pay, deal.jc_stake, id)
    other: uint256 = deal.rp
    other_seat: uint256 = deal.rp_seat
    if for_provider:
        who = deal.rp
        seat = deal.rp_seat
        share = deal.rp_stake + deal.cheat
        leaf = self._leaf(0, share, id)
        other = deal.jc
        other_seat = deal.jc_seat
    self._speaks_for(who)
    self._after(deal.start_by)
    if block.timestamp <= deal.claim_until:
        self._need(self._fits(self.locks[convert(other, address)][other_seat >> 48], other_seat, deal) != 0, "may still enter")
    self._need(not self._unseat(who, seat, leaf, share, deal, path), "left")
    self.accounts[who] -= share << 128


@external
def settle_lock(slot: uint256, leaves: DynArray[Leaf, 128], pay: uint256, amounts: DynArray[uint256, 128], bills: DynArray[Signature, 128]):
    """
    @notice The payer shows all leaves of a lock and pays any of them. Its own shares of those deals are free at once.
    @param pay Bit i: pay the deal at seat i. One that has left the lock meanwhile is skipped, so nobody can make the
        others fail; so is a provider's own share, which only time or `enter` frees.
    @param amounts What each seat's payee gets, where some get less than the pay; else empty.
    @param bills The payees' signatures for the amounts that are less, in order.
    """
    lock: Lock = self.locks[msg.sender][slot]
    nodes: bytes32[128] = empty(bytes32[128])
    sums: uint256[128] = empty(uint256[128])
    gone: uint256 = 0
    paid: uint256 = 0
    freed: uint256 = 0
    used: uint256 = 0
    due: uint256 = pay & ~(lock.left >> TAKEN)
    count: uint256 = len(leaves)
    for i: uint256 in range(count, bound=128):
        leaf: Leaf = leaves[i]
        nodes[i] = self._leaf(leaf.payee, leaf.rest, leaf.deal)
        whole: uint256 = leaf.payee & LOW96
        share: uint256 = whole + leaf.rest
        sums[i] = share
        amount: uint256 = whole
        if len(amounts) != 0:
            amount = amounts[i]
        payee: uint256 = leaf.payee >> 96
        owed: bool = (due >> i) & 1 == 1 and payee != 0
        if amount != whole:
            if owed:
                self._need(amount < whole, "amount")
                self._said(BILL_TYPE, leaf.deal, convert(amount, bytes32), bills[used], payee)
            used += 1
        if owed:
            self.accounts[payee] += amount
            paid += amount
            freed += share
            gone |= 1 << i
    for level: uint256 in range(HEIGHT):
        if count & 1 == 1:
            nodes[count] = empty(bytes32)
            sums[count] = 0
        count = (count + 1) // 2
        for i: uint256 in range(count, bound=64):
            nodes[i] = self._node(nodes[2 * i], sums[2 * i], nodes[2 * i + 1], sums[2 * i + 1])
            sums[i] = sums[2 * i] + sums[2 * i + 1]
    self._need_root(lock, nodes[0], sums[0])
    self.locks[msg.sender][slot].left = (lock.left - freed) | (gone << TAKEN)
    self.accounts[convert(msg.sender, uint256)] -= (freed << 128) + paid


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
    self._need(word & (STATE | PAID) == OPEN, "not open")
    self._speaks_for(deal.jc)
    self._after(deal.deliver_by + deal.grace)
    self._until(deal.claim_until)
    word = ABSENT | ((block.timestamp + deal.answer) << DEADLINE)
    if has_started:
        self._signed(self._digest(keccak256(abi_encode(STARTED_TYPE, id))), started, deal.rp)
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
    self._need(word & STATE == ABSENT, "no such claim")
    self._speaks_for(deal.rp)
    self._in_time(word)
    self._need(word & STARTED == 0, "it had started")
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
    self._speaks_for(deal.rp)
    bond: uint256 = 0
    until: uint256 = deal.claim_until
    if word & STATE == ABSENT:
        bond = deal.fee * deal.jurors
        until = (word >> DEADLINE) & LOW40
        self._need(has_receipt, "no receipt")
    else:
        self._need(word & (STATE | PAID) == OPEN, "not open")
        if not has_receipt:
            until = deal.deliver_by + deal.grace
    self._until(until)
    if has_receipt:
        self._said(RECEIPT_TYPE, id, sealed, receipt, deal.jc)
    self.sealed[id] = sealed
    self.deals[id] = DELIVERED | ((block.timestamp + deal.answer) << DEADLINE)
    if bond != 0:
        self._move(deal, bond, 0, 0, bond)


# Disputes

@external
def contest(deal: Deal, pool: Bytes[480]):
    """
    @notice The job creator denies a delivery, with a bond of n fees: a jury decides.
    @param pool The mediators' sorted addresses, 20 bytes each, where the jury is all of them; else empty, and `draw`
        follows.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    self._need(word & STATE == DELIVERED, "no such claim")
    self._speaks_for(deal.jc)
    self._in_time(word)
    self._lock(deal.jc, deal.fee * deal.jurors)
    self._summon(deal, id, CONTESTED, pool)


@external
def accuse(deal: Deal, sealed: bytes32, exit_code: uint256, units: uint256, result: Signature, pool: Bytes[480]):
    """
    @notice The job creator says that the result is wrong, also after paying, with a bond of n fees: a jury decides.
    @param result The provider's signature of the result; not looked at where the provider claimed it here itself.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    self._need(word & STATE == OPEN, "not open")
    self._accuse(deal, id, word, sealed, exit_code, units, result, pool)


@external
def accuse_seated(deal: Deal, jc_path: uint256[14], rp_path: uint256[14], sealed: bytes32, exit_code: uint256, units: uint256, result: Signature, pool: Bytes[480]):
    """
    @notice `enter` and `accuse` in one: for a deal that is still in its locks.
    """
    id: bytes32 = empty(bytes32)
    word: uint256 = 0
    id, word = self._enter(deal, jc_path, rp_path)
    self._accuse(deal, id, word, sealed, exit_code, units, result, pool)


@internal
def _accuse(deal: Deal, id: bytes32, word: uint256, sealed: bytes32, exit_code: uint256, units: uint256, result: Signature, pool: Bytes[480]):
    self._speaks_for(deal.jc)
    self._until(deal.claim_until)
    if sealed == empty(bytes32) or self.sealed[id] != sealed:
        self._signed(self._digest(keccak256(abi_encode(RESULT_TYPE, id, sealed, exit_code, units))), result, deal.rp)
        self.sealed[id] = sealed
    self._lock(deal.jc, deal.fee * deal.jurors)
    self._summon(deal, id, word & PAID, pool)


@internal
@view
def _due(judge: uint256) -> uint256:
    # The jury is drawn by the hash of a block that nobody knows yet.
    return ((block.timestamp + judge) << DEADLINE) | ((block.number + SEED_DELAY) << BLOCK)


@internal
def _summon(deal: Deal, id: bytes32, flags: uint256, pool: Bytes[480]):
    word: uint256 = JURY | flags | self._due(deal.judge)
    if len(pool) != 0:
        self._known(deal, pool)
        self._need(len(pool) == 20 * deal.jurors, "not named")
        word |= DRAWN | (self._seat(deal, word, pool, deal.jurors, id) << SITTING)
    self.deals[id] = word


@internal
@pure
def _known(deal: Deal, pool: Bytes[480]):
    self._need(keccak256(pool) == deal.pool, "pool")


@internal
@pure
def _member(pool: Bytes[480], position: uint256) -> uint256:
    return convert(slice(pool, 20 * position, 20), uint256)


@internal
@pure
def _ready(mediator: uint256) -> uint256:
    return (mediator & LOW96) - ((mediator >> 96) & LOW96)


@internal
@pure
def _count(seats: uint256) -> uint256:
    rest: uint256 = seats
    count: uint256 = 0
    for i: uint256 in range(24):
        if rest == 0:
            break
        rest &= rest - 1
        count += 1
    return count


@internal
@view
def _seat(deal: Deal, word: uint256, pool: Bytes[480], wanted: uint256, seed: bytes32) -> uint256:
    # The pool is shuffled by the seed alone and those who can't serve are passed over, so nobody gains a place by
    # joining or leaving once the seed is known. Nothing is put at risk here: only what a mediator signs can cost it
    # anything, or strangers could drain and occupy it with disputes it never heard of.
    barred: uint256 = (word >> SITTING) | (word >> FORMER) | (word >> OUT)
    size: uint256 = len(pool) // 20
    order: uint256 = ORDER
    seated: uint256 = 0
    count: uint256 = 0
    for i: uint256 in range(size, bound=24):
        if count == wanted:
            break
        j: uint256 = 8 * (i + convert(keccak256(concat(seed, convert(i, bytes32))), uint256) % (size - i))
        position: uint256 = (order >> j) & 255
        order = (order & ~(255 << j)) | (((order >> (8 * i)) & 255) << j)
        if (barred >> position) & 1 == 1:
            continue
        who: uint256 = self._member(pool, position)
        if who == deal.jc or who == deal.rp:
            continue
        mediator: uint256 = self.mediators[who]
        if mediator >> 192 != 0 or mediator & LOW96 < deal.juror_stake:
            continue
        seated |= 1 << position
        count += 1
    return seated


@external
def draw(deal: Deal, pool: Bytes[480]):
    """
    @notice Anybody seats the jury by the hash of a block younger than the dispute; where the chain has forgotten that
        block, a new one is named.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    self._need(word & (STATE | DRAWN) == JURY, "not due")
    self._known(deal, pool)
    self._in_time(word)
    number: uint256 = (word >> BLOCK) & LOW40
    self._need(block.number > number, "too early")
    if block.number > number + 256:
        self.deals[id] = (word & ~(LOW40 << BLOCK)) | ((block.number + SEED_DELAY) << BLOCK)
        return
    wanted: uint256 = deal.jurors
    if word & APPEALED != 0:
        wanted = 2 * wanted + 1
    else:
        wanted -= self._count((word >> SITTING) & SEATS)
    seated: uint256 = self._seat(deal, word, pool, wanted, keccak256(concat(id, blockhash(number))))
    word = (word & ~(LOW40 << DEADLINE)) | ((block.timestamp + deal.judge) << DEADLINE)
    self.deals[id] = word | DRAWN | (seated << SITTING)


@external
def vote(deal: Deal, pool: Bytes[480], ruling: uint256, commitments: bytes32, voters: uint256, votes: DynArray[Signature, 24]):
    """
    @notice Anybody hands in signed votes for one ruling over the same commitments, one or several; a quorum decides.
        Ruling 0 is no vote but a promise: I hold what I need to judge. Silence after it costs the stake. Without
        commitments a vote (for "wrong" it counts as any other) says that its juror had nothing to judge by.
    @param voters Bit set of the voters' positions in the pool; `votes` are their signatures in that order. Who has
        voted meanwhile, or has no stake left for it, is skipped, so nobody can make the others' votes fail.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    self._need(word & (STATE | DRAWN) == JURY | DRAWN, "not due")
    self._known(deal, pool)
    self._in_time(word)
    self._need(ruling <= NOT_FETCHABLE, "ruling")
    sitting: uint256 = (word >> SITTING) & SEATS
    round: uint256 = (word >> ROUND) & 1
    digest: bytes32 = self._digest(keccak256(abi_encode(VOTE_TYPE, id, round, ruling, commitments)))
    used: uint256 = 0
    heard: uint256 = 0
    for i: uint256 in range(24):
        if voters >> i == 0:
            break
        if (voters >> i) & 1 == 1:
            who: uint256 = self._member(pool, i)
            self._signed(digest, votes[used], who)
            used += 1
            mediator: uint256 = self.mediators[who]
            if ((sitting & ~(word >> VOTED)) >> i) & 1 == 1 and self._ready(mediator) >= deal.juror_stake:
                heard |= 1 << i
                if ruling != 0:
                    # One stake backs one vote at a time.
                    self.mediators[who] = mediator + (deal.juror_stake << 96)
    self._need(heard != 0, "not their turn")
    if ruling == 0:
        self.deals[id] = word | (heard << PRESENT)
        return
    word |= heard << VOTED
    # "Wrong" adds up over the same commitments only; the other rulings also with votes that rest on nothing, whose
    # voters are kept 24 bits higher. One who lost its seat meanwhile no longer counts.
    ballot: bytes32 = digest
    if ruling != WRONG:
        ballot = convert(convert(id, uint256) ^ ruling, bytes32)
        if commitments == empty(bytes32):
            heard <<= 24
    tally: uint256 = (self.tallies[ballot] & (sitting | (sitting << 24))) | heard
    quorum: uint256 = deal.quorum
    if round == 1:
        quorum = deal.jurors + 1
    if self._count(tally) < quorum:
        self.tallies[ballot] = tally
        self.deals[id] = word
        return
    if self._count(tally & SEATS) <= quorum >> 1:
        tally |= tally >> 24
        word |= UNPROVEN
    tally &= SEATS
    if round == 1:
        self._end_appeal(deal, id, word, pool, ruling, tally)
    elif deal.appeal == 0:
        self._end(deal, id, word, pool, ruling, tally, 0, deal.fee * self._count(tally), 0, 0)
    else:
        word = (word & ~(STATE | (LOW40 << DEADLINE))) | RULED | ((block.timestamp + deal.appeal) << DEADLINE)
        self.deals[id] = word | (tally << WINNERS) | (ruling << OUTCOME)


@external
def appeal(deal: Deal, pool: Bytes[480], for_provider: bool):
    """
    @notice Either party has a ruling judged again, once, by 2n + 1 others of the pool, whose fees it locks.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    self._need(word & STATE == RULED, "no ruling")
    self._known(deal, pool)
    self._in_time(word)
    party: uint256 = deal.jc
    flags: uint256 = APPEALED
    if for_provider:
        party = deal.rp
        flags |= BY_PROVIDER
    self._speaks_for(party)
    sitting: uint256 = (word >> SITTING) & SEATS
    out: uint256 = (word >> OUT) & SEATS
    self._need(len(pool) // 20 >= self._count(sitting | out) + 2 * deal.jurors + 1, "pool too small")
    self._lock(party, (2 * deal.jurors + 1) * deal.fee)
    self._dismiss(deal, pool, (word >> VOTED) & ~(word >> WINNERS) & ~out, 0, 0)
    flags |= word & (PAID | CONTESTED | UNPROVEN | (SEATS << OUT) | (SEATS << WINNERS) | (STATE << OUTCOME))
    flags |= self._due(deal.judge)
    self.deals[id] = JURY | flags | (sitting << FORMER)


@external
def expose(deal: Deal, pool: Bytes[480], position: uint256, rulings: uint256[2], commitments: bytes32[2], votes: Signature[2]):
    """
    @notice Anybody shows two different votes signed by one sitting juror: its stake goes half to each party.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    self._need(word & (STATE - 1) == JURY, "no jury")  # or RULED, the next number
    self._known(deal, pool)
    seat: uint256 = 1 << position
    self._need((word >> SITTING) & SEATS & seat != 0, "not sitting")
    self._need(min(rulings[0], rulings[1]) != 0, "no vote")
    self._need(rulings[0] != rulings[1] or (rulings[0] == WRONG and commitments[0] != commitments[1]), "the same vote")
    round: uint256 = (word >> ROUND) & 1
    for i: uint256 in range(2):
        digest: bytes32 = self._digest(keccak256(abi_encode(VOTE_TYPE, id, round, rulings[i], commitments[i])))
        self._signed(digest, votes[i], self._member(pool, position))
    self.deals[id] = (word & ~(seat << SITTING)) | (seat << OUT)
    if (word >> VOTED) & seat != 0:
        self._slash(deal, self._dismiss(deal, pool, seat, 0, seat))
    else:
        self._fine(deal, pool, seat)


@internal
def _dismiss(deal: Deal, pool: Bytes[480], seats: uint256, paid: uint256, slashed: uint256) -> uint256:
    # Frees the stakes of jurors who voted, with the fee for some and without the stake for others; returns what was
    # lost.
    lost: uint256 = 0
    for i: uint256 in range(24):
        if seats >> i == 0:
            break
        if (seats >> i) & 1 == 1:
            who: uint256 = self._member(pool, i)
            mediator: uint256 = self.mediators[who] - (deal.juror_stake << 96)
            if (slashed >> i) & 1 == 1:
                mediator -= deal.juror_stake
                lost += deal.juror_stake
            elif (paid >> i) & 1 == 1:
                mediator += deal.fee
            self.mediators[who] = mediator
    return lost


@internal
def _slash(deal: Deal, lost: uint256):
    self.accounts[deal.jc] += lost - lost // 2
    self.accounts[deal.rp] += lost // 2


@internal
def _fine(deal: Deal, pool: Bytes[480], seats: uint256):
    # Takes the stake of jurors who have not voted, as far as other votes don't hold it.
    lost: uint256 = 0
    for i: uint256 in range(24):
        if seats >> i == 0:
            break
        if (seats >> i) & 1 == 1:
            who: uint256 = self._member(pool, i)
            amount: uint256 = min(self._ready(self.mediators[who]), deal.juror_stake)
            self.mediators[who] -= amount
            lost += amount
    self._slash(deal, lost)


@internal
def _end_appeal(deal: Deal, id: bytes32, word: uint256, pool: Bytes[480], ruling: uint256, tally: uint256):
    first: uint256 = (word >> WINNERS) & SEATS & ~(word >> OUT)
    fees: uint256 = deal.fee * self._count(tally)
    if ruling == (word >> OUTCOME) & STATE:
        # Upheld: the appellant pays the second jury, and the rest of its bond goes to the other side.
        bond: uint256 = (2 * deal.jurors + 1) * deal.fee
        self._end(deal, id, word, pool, ruling, first | tally, 0, deal.fee * self._count(first), fees, bond - fees)
    else:
        # Overturned: who made the first ruling loses the stake; what the dispute's own fees don't cover the appellant
        # pays. What a jury was shown may change from one to the next, at a party's will: that is no juror's fault.
        if word & UNPROVEN != 0:
            first = 0
        own: uint256 = min(fees, deal.fee * deal.jurors)
        self._end(deal, id, word, pool, ruling, tally, first, own, fees - own, 0)


@internal
def _end(deal: Deal, id: bytes32, word: uint256, pool: Bytes[480], outcome: uint256, paid: uint256, slashed: uint256, fees: uint256, appellant_fees: uint256, to_other: uint256):
    # Of the fees, `fees` come from the dispute itself, `appellant_fees` from the appellant's bond.
    bond: uint256 = deal.fee * deal.jurors
    pay: uint256 = deal.pay
    jc_free: uint256 = deal.pay + deal.jc_stake + bond
    if word & PAID != 0:
        pay = 0
        jc_free = bond
    rp_free: uint256 = deal.rp_stake + deal.cheat
    to_jc: uint256 = 0
    to_rp: uint256 = 0
    jc_fees: uint256 = 0
    rp_fees: uint256 = 0
    if outcome == SPLIT:
        to_rp = pay // 2
    elif outcome == RIGHT:
        if word & CONTESTED != 0:
            # The jury could fetch it and the job creator could not: fault can't be told.
            to_rp = pay
            rp_fees = fees // 2
            jc_fees = fees - rp_fees
        else:
            to_rp = pay + bond - fees
            jc_fees = fees
    else:
        to_jc = deal.cheat - fees
        if outcome == NOT_FETCHABLE:
            to_jc += deal.rp_stake
        rp_fees = fees
    if word & APPEALED != 0:
        bond = (2 * deal.jurors + 1) * deal.fee
        if word & BY_PROVIDER != 0:
            rp_free += bond
            rp_fees += appellant_fees
            to_jc += to_other
        else:
            jc_free += bond
            jc_fees += appellant_fees
            to_rp += to_other
    seats: uint256 = ((word >> VOTED) | (word >> WINNERS)) & SEATS & ~(word >> OUT)
    self._slash(deal, self._dismiss(deal, pool, seats, paid, slashed))
    self.deals[id] = CLOSED | (word & PAID) | (outcome << OUTCOME)
    self._move(deal, jc_free, rp_free, to_jc, to_rp)
    self.accounts[deal.jc] -= jc_fees
    self.accounts[deal.rp] -= rp_fees


@external
def finalize(deal: Deal, pool: Bytes[480]):
    """
    @notice Anybody ends a claim, a jury or a ruling whose deadline has passed; the loser of a ruling may at once.
    @param pool The mediators; empty where no jury was summoned.
    """
    id: bytes32 = self._id(deal)
    word: uint256 = self.deals[id]
    state: uint256 = word & STATE
    self._need(unsafe_sub(state, ABSENT) <= RULED - ABSENT, "no such claim")  # from ABSENT to RULED
    ruling: uint256 = (word >> OUTCOME) & STATE
    if block.timestamp <= (word >> DEADLINE) & LOW40:
        self._need(state == RULED, "too early")
        loser: uint256 = deal.rp
        if ruling == RIGHT:
            loser = deal.jc
        self._speaks_for(loser)
    # Where nobody was ever seated the pool may be one that nobody can show, and the money must come home all the same.
    if word >> SITTING != 0:
        self._known(deal, pool)
    if state == ABSENT:
        self.deals[id] = CLOSED | VANISHED
        self._move(deal, deal.pay + deal.jc_stake + deal.fee * deal.jurors, deal.rp_stake + deal.cheat, deal.rp_stake, 0)
    elif state == DELIVERED:
        rp_free: uint256 = 0
        if block.timestamp > deal.claim_until:
            rp_free = deal.rp_stake + deal.cheat
            self.deals[id] = CLOSED | PAID | DONE
        else:
            self.deals[id] = OPEN | PAID
        self._move(deal, deal.pay + deal.jc_stake, rp_free, 0, deal.pay + deal.jc_stake)
    else:
        winners: uint256 = (word >> WINNERS) & SEATS & ~(word >> OUT)
        silent: uint256 = 0
        if state == JURY and word & DRAWN != 0:
            silent = (word >> SITTING) & SEATS & ~(word >> VOTED)
        # Who never promised to vote may never have heard of the dispute: it is only replaced.
        self._fine(deal, pool, silent & (word >> PRESENT))
        if ruling != 0:
            # It was not appealed, or the second jury did not decide: it stands.
            self._end(deal, id, word, pool, ruling, winners, 0, deal.fee * self._count(winners), 0, 0)
        elif silent != 0 and word & REFILLED == 0 and len(pool) > 20 * deal.jurors:
            # Others take the seats of the silent, once. Votes that arrived keep counting.
            word = (word & ~(DRAWN | (LOW40 << DEADLINE) | (LOW40 << BLOCK) | (silent << SITTING))) | REFILLED | (silent << OUT)
            self.deals[id] = word | self._due(deal.judge)
        else:
            outcome: uint256 = deal.silence
            if outcome == 0:
                outcome = SPLIT
            self._end(deal, id, word, pool, outcome, 0, 0, 0, 0, 0)


# Mediators

@external
def join(amount: uint256):
    """
    @notice Adds free money to the caller's stake as a mediator; takes back a wish to leave.
    """
    self._take(amount)
    self.mediators[convert(msg.sender, uint256)] = (self.mediators[convert(msg.sender, uint256)] & ((1 << 192) - 1)) + amount


@external
def leave():
    """
    @notice Says that the caller takes its stake out, which it can after the longest dispute there may be.
    """
    mediator: uint256 = self.mediators[convert(msg.sender, uint256)] & ((1 << 192) - 1)
    self.mediators[convert(msg.sender, uint256)] = mediator | ((block.timestamp + 7 * MAX_WINDOW) << 192)


@external
def collect():
    """
    @notice After the time to leave: all of the stake that is not at risk becomes free money.
    """
    mediator: uint256 = self.mediators[convert(msg.sender, uint256)]
    self._need(mediator >> 192 != 0, "not leaving")
    self._after(mediator >> 192)
    amount: uint256 = self._ready(mediator)
    self.mediators[convert(msg.sender, uint256)] = mediator - amount
    self.accounts[convert(msg.sender, uint256)] += amount


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
        words.append(self.accounts[convert(one, uint256)])
    return words


@external
@view
def deals_many(ids: DynArray[bytes32, 256]) -> DynArray[uint256, 256]:
    words: DynArray[uint256, 256] = []
    for one: bytes32 in ids:
        words.append(self.deals[one])
    return words


@external
@view
def mediators_many(who: DynArray[address, 256]) -> DynArray[uint256, 256]:
    words: DynArray[uint256, 256] = []
    for one: address in who:
        words.append(self.mediators[convert(one, uint256)])
    return words
