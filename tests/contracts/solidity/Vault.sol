// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The vault a second time
/// @notice Written from docs/vault.md and the model, not from the Vyper source, and kept in plain structs where that one
/// packs words. It is never deployed: the fuzzer compares it with both others, and analysers that can't read Vyper read it.
contract Vault {
    struct Signature {
        bytes32 r;
        bytes32 vs; // EIP-2098
    }

    struct Leaf {
        uint256 payee; // address 160 bits, pay 96
        uint256 rest;
        bytes32 deal;
    }

    struct Deal {
        uint256 jc;
        uint256 rp;
        uint256 pay;
        uint256 jcStake;
        uint256 rpStake;
        uint256 cheat;
        uint256 fee;
        uint256 jurorStake;
        uint256 startBy;
        uint256 deliverBy;
        uint256 claimUntil;
        uint256 grace;
        uint256 answer;
        uint256 judge;
        uint256 appeal;
        bytes32 pool;
        uint256 jurors;
        uint256 quorum;
        uint256 silence;
        uint256 jcSeat;
        uint256 rpSeat;
        bytes32 terms;
    }

    enum Stage {
        None,
        Open,
        Absent,
        Delivered,
        Jury,
        Ruled,
        Closed,
        Line
    }

    enum Outcome {
        None,
        Right,
        Wrong,
        NotFetchable,
        Split,
        Done,
        Vanished,
        Lapsed,
        Expired,
        Parted,
        Resumed
    }

    struct Standing {
        Stage stage;
        bool paid;
        bool started;
        bool contested;
        bool refilled;
        bool appealed;
        bool byProvider;
        bool drawn;
        bool unproven;
        uint40 deadline;
        uint40 seedBlock;
        uint24 sitting;
        uint24 former;
        uint24 out;
        uint24 voted;
        uint24 winners;
        Outcome outcome;
        uint24 present;
    }

    /// Who voted for one ruling, by whether the vote rests on anything.
    struct Tally {
        uint24 shown;
        uint24 unshown;
    }

    struct Account {
        uint128 balance;
        uint128 locked;
    }

    struct Mediator {
        uint96 stake;
        uint96 busy;
        uint40 leaves;
    }

    struct Lock {
        bytes32 root;
        uint256 total;
        uint40 since;
        uint40 until;
        uint40 number;
        uint96 left;
        uint128 gone;
    }

    /// Who bears the fees of a ruling.
    struct Bearing {
        uint256 fees;
        uint256 byAppellant;
        uint256 toOther;
    }

    bytes32 private constant DEAL_TYPE = keccak256(
        "Deal(address jc,address rp,uint96 pay,uint96 jcStake,uint96 rpStake,uint96 cheat,uint96 fee,uint96 jurorStake,uint40 startBy,uint40 deliverBy,uint40 claimUntil,uint32 grace,uint32 answer,uint32 judge,uint32 appeal,bytes32 pool,uint8 jurors,uint8 quorum,uint8 silence,uint80 jcSeat,uint80 rpSeat,bytes32 terms)"
    );
    uint256 private constant LONGEST_LOCK = 90 days;
    uint256 private constant SEED_DELAY = 2;
    uint256 private constant HEIGHT = 7;

    mapping(address => Account) private accounts;
    mapping(address => Mediator) private mediators;
    mapping(address => mapping(address => bool)) private delegates;
    mapping(address => mapping(uint256 => Lock)) private locked;
    mapping(bytes32 => Standing) private standings;
    mapping(bytes32 => Tally) private tallies;
    mapping(bytes32 => bytes32) private claimed;

    uint256 public immutable MIN_WINDOW;
    uint256 public immutable MAX_WINDOW;

    constructor(uint256 shortest, uint256 longest) {
        require(0 < shortest && shortest <= longest && longest <= 30 days, "windows");
        MIN_WINDOW = shortest;
        MAX_WINDOW = longest;
    }

    // ---- signatures

    function _typed(bytes32 structHash) private view returns (bytes32) {
        bytes32 separator = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Lilypad Vault"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function deal_id(Deal calldata deal) public view returns (bytes32) {
        return _typed(keccak256(abi.encode(DEAL_TYPE, deal)));
    }

    function _checkSigned(bytes32 digest, Signature calldata signature, address by) private pure {
        uint256 s = uint256(signature.vs) & type(uint256).max >> 1;
        uint8 v = 27 + uint8(uint256(signature.vs) >> 255);
        address signer = ecrecover(digest, v, signature.r, bytes32(s));
        // secp256k1's order, halved
        bool low = s <= 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
        require(low && signer == by && signer != address(0), "not signed");
    }

    function _checkSaid(string memory kind, bytes32 id, uint256 told, Signature calldata signature, address by)
        private
        view
    {
        _checkSigned(_typed(keccak256(abi.encode(keccak256(bytes(kind)), id, told))), signature, by);
    }

    function _voteDigest(bytes32 id, bool appealed, uint256 ruling, bytes32 commitments)
        private
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256("Vote(bytes32 deal,uint8 round,uint8 ruling,bytes32 commitments)");
        return _typed(keccak256(abi.encode(kind, id, appealed ? 1 : 0, ruling, commitments)));
    }

    function _checkResult(
        Deal calldata deal,
        bytes32 id,
        bytes32 sealed_,
        uint256 exitCode,
        uint256 units,
        Signature calldata result
    ) private view {
        bytes32 kind = keccak256("Result(bytes32 deal,bytes32 sealed,uint8 exitCode,uint64 units)");
        bytes32 told = keccak256(abi.encode(kind, id, sealed_, exitCode, units));
        _checkSigned(_typed(told), result, _person(deal.rp));
    }

    // ---- people and money

    function _person(uint256 word) private pure returns (address) {
        require(word >> 160 == 0);
        return address(uint160(word));
    }

    function _speaksFor(address party) private view returns (bool) {
        return msg.sender == party || delegates[party][msg.sender];
    }

    function _takeFree(uint256 amount) private {
        Account storage mine = accounts[msg.sender];
        require(amount <= mine.balance - mine.locked, "not enough free");
        mine.balance -= uint128(amount);
    }

    function _hold(address who, uint256 amount) private {
        Account storage account = accounts[who];
        require(amount <= account.balance - account.locked, "not enough free");
        account.locked += uint128(amount);
    }

    function _unhold(address who, uint256 amount) private {
        accounts[who].locked -= _half(amount);
    }

    function _pay(address from, address to, uint256 amount) private {
        accounts[from].balance -= _half(amount);
        accounts[to].balance += _half(amount);
    }

    function _half(uint256 amount) private pure returns (uint128) {
        require(amount < 1 << 128);
        return uint128(amount);
    }

    function _jcShare(Deal calldata deal) private pure returns (uint256) {
        return deal.pay + deal.jcStake;
    }

    function _rpShare(Deal calldata deal) private pure returns (uint256) {
        return deal.rpStake + deal.cheat;
    }

    function _bond(Deal calldata deal) private pure returns (uint256) {
        return deal.fee * deal.jurors;
    }

    function _appealBond(Deal calldata deal) private pure returns (uint256) {
        return deal.fee * (2 * deal.jurors + 1);
    }

    function deposit(address to) external payable {
        require(address(this).balance < 1 << 96, "too much");
        accounts[to].balance += uint128(msg.value);
    }

    function withdraw(uint256 amount, address to) external {
        _takeFree(amount);
        (bool done,) = to.call{value: amount}("");
        require(done);
    }

    function transfer(address to, uint256 amount) external {
        _takeFree(amount);
        accounts[to].balance += uint128(amount);
    }

    function delegate(address who, bool may) external {
        delegates[msg.sender][who] = may;
    }

    // ---- the deal

    /// Everything a deal must keep to, whichever door it comes by.
    function _checkTerms(Deal calldata deal, bytes32 id) private view {
        require(deal.jc != deal.rp, "one party");
        uint256[6] memory amounts = [deal.pay, deal.jcStake, deal.rpStake, deal.cheat, deal.fee, deal.jurorStake];
        for (uint256 i = 0; i < 6; i++) {
            require(amounts[i] < 1 << 96, "amount");
        }
        require(deal.claimUntil <= block.timestamp + LONGEST_LOCK, "too long");
        require(
            deal.startBy < deal.deliverBy && deal.deliverBy < deal.claimUntil && deal.grace != 0
                && deal.grace <= LONGEST_LOCK && deal.deliverBy + deal.grace < deal.claimUntil,
            "order of time"
        );
        _checkWindow(deal.answer);
        _checkWindow(deal.judge);
        if (deal.appeal > 0) _checkWindow(deal.appeal);
        require(
            deal.jurors <= 24 && deal.quorum <= deal.jurors && 2 * deal.quorum > deal.jurors && deal.silence < 3, "jury"
        );
        require(deal.cheat >= deal.pay + _bond(deal), "collateral");
        require(standings[id].stage == Stage.None, "not new");
    }

    function _checkWindow(uint256 span) private view {
        require(span >= MIN_WINDOW && span <= MAX_WINDOW, "window");
    }

    function _checkUntil(uint256 moment) private view {
        require(block.timestamp <= moment, "too late");
    }

    function _checkAfter(uint256 moment) private view {
        require(block.timestamp > moment, "too early");
    }

    function open(Deal calldata deal, Signature calldata signature) external {
        uint256 me = uint160(msg.sender);
        require(me == deal.jc || me == deal.rp, "not a party");
        bytes32 id = deal_id(deal);
        _checkTerms(deal, id);
        _checkUntil(deal.startBy);
        uint256 other = me == deal.jc ? deal.rp : deal.jc;
        require(other >> 160 == 0, "not signed");
        _checkSigned(id, signature, address(uint160(other)));
        require(deal.jcSeat == 0 && deal.rpSeat == 0, "seat");
        _hold(_person(deal.jc), _jcShare(deal));
        _hold(_person(deal.rp), _rpShare(deal));
        standings[id].stage = deal.terms == 0 ? Stage.Line : Stage.Open;
    }

    function settle(
        Deal[] calldata deals,
        uint256[] calldata amounts,
        Signature[] calldata bills,
        uint256 finals
    ) external {
        require(deals.length <= 32 && amounts.length <= 32 && bills.length <= 32);
        require(deals.length == amounts.length, "lengths");
        uint256 nextBill = 0;
        for (uint256 i = 0; i < deals.length; i++) {
            bool less = amounts[i] != deals[i].pay;
            bool final_ = (finals >> i) & 1 == 1;
            _settleOne(deals[i], amounts[i], bills, nextBill, final_);
            if (less) nextBill++;
        }
    }

    function _settleOne(
        Deal calldata deal,
        uint256 amount,
        Signature[] calldata bills,
        uint256 bill,
        bool final_
    ) private {
        require(deal.jc == uint160(msg.sender), "not the payer");
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        bool due = (it.stage == Stage.Open && !it.paid)
            || (it.stage == Stage.Delivered && block.timestamp <= it.deadline);
        if (!due) return;
        address rp = _person(deal.rp);
        if (amount != deal.pay) {
            require(amount < deal.pay, "amount");
            _checkSaid("Bill(bytes32 deal,uint96 amount)", id, amount, bills[bill], rp);
        }
        _unhold(msg.sender, _jcShare(deal));
        _pay(msg.sender, rp, amount);
        if (final_ || block.timestamp > deal.claimUntil) {
            _close(id, Outcome.Done, true);
            _unhold(rp, _rpShare(deal));
        } else {
            _reopenPaid(id);
        }
    }

    function _reopenPaid(bytes32 id) private {
        delete standings[id];
        standings[id].stage = Stage.Open;
        standings[id].paid = true;
    }

    function _close(bytes32 id, Outcome outcome, bool paid) private {
        delete standings[id];
        standings[id].stage = Stage.Closed;
        standings[id].outcome = outcome;
        standings[id].paid = paid;
    }

    function redeem(Deal calldata deal, uint256 amount, Signature calldata voucher) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        bool answers = it.stage == Stage.Absent || it.stage == Stage.Delivered;
        require(it.stage == Stage.Open || answers, "no such claim");
        require(!it.paid, "paid");
        _checkUntil(answers ? it.deadline : deal.claimUntil);
        (address jc, address rp) = (_person(deal.jc), _person(deal.rp));
        require(_speaksFor(rp), "not a party");
        require(amount <= deal.pay, "amount");
        _checkSaid("Voucher(bytes32 deal,uint96 amount)", id, amount, voucher, jc);
        if (it.stage == Stage.Absent) {
            _unhold(jc, _bond(deal));
            _pay(jc, rp, _bond(deal));
        }
        _unhold(jc, _jcShare(deal));
        _pay(jc, rp, amount);
        _reopenPaid(id);
    }

    function release(Deal calldata deal) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        require(it.stage == Stage.Open || it.stage == Stage.Line, "not open");
        // Whoever showed a line's successor has one more window to resume it.
        uint256 resumable = it.stage == Stage.Line ? it.deadline + deal.answer : 0;
        _checkAfter(resumable > deal.claimUntil ? resumable : deal.claimUntil);
        if (!it.paid) _unhold(_person(deal.jc), _jcShare(deal));
        _unhold(_person(deal.rp), _rpShare(deal));
        _close(id, it.paid ? Outcome.Done : Outcome.Expired, it.paid);
    }

    function part(Deal calldata deal, uint256 amount, Signature calldata signature) external {
        bytes32 id = deal_id(deal);
        uint256 me = uint160(msg.sender);
        require(me == deal.jc || me == deal.rp, "not a party");
        Standing storage it = standings[id];
        bool claimed_ = it.stage == Stage.Absent || it.stage == Stage.Delivered;
        require(it.stage == Stage.Open || it.stage == Stage.Line || claimed_, "not open");
        (address jc, address rp) = (_person(deal.jc), _person(deal.rp));
        _checkSaid(
            "Release(bytes32 deal,uint96 amount)", id, amount, signature, msg.sender == jc ? rp : jc
        );
        require(amount <= (it.paid ? 0 : deal.pay), "amount");
        if (it.stage == Stage.Absent) _unhold(jc, _bond(deal));
        if (!it.paid) _unhold(jc, _jcShare(deal));
        _unhold(rp, _rpShare(deal));
        _pay(jc, rp, amount);
        _close(id, Outcome.Parted, it.paid);
    }

    // ---- standing lines

    function _successor(bytes32 line, uint256 number, bytes32 deal, uint256 owed) private pure returns (bytes32) {
        bytes32 kind = keccak256("Successor(bytes32 line,uint40 number,bytes32 deal,uint96 owed)");
        return keccak256(abi.encode(kind, line, number, deal, owed));
    }

    function show(Deal calldata line, uint256 number, bytes32 deal, uint256 owed, Signature[2] calldata signatures)
        external
    {
        bytes32 id = deal_id(line);
        Standing storage it = standings[id];
        require(it.stage == Stage.Line, "no line");
        _checkUntil(line.claimUntil);
        require(number > it.seedBlock && number >> 40 == 0, "not later");
        require(owed <= line.pay, "amount");
        bytes32 successor = _successor(id, number, deal, owed);
        _checkSigned(_typed(successor), signatures[0], _person(line.jc));
        _checkSigned(_typed(successor), signatures[1], _person(line.rp));
        claimed[id] = successor;
        it.seedBlock = uint40(number);
        it.deadline = uint40(block.timestamp + line.answer);
    }

    function resume(Deal calldata line, Deal calldata deal, uint256 owed) external {
        bytes32 id = deal_id(line);
        Standing storage it = standings[id];
        require(it.stage == Stage.Line, "no line");
        _checkAfter(it.deadline);
        bytes32 current = deal_id(deal);
        _checkTerms(deal, current);
        require(claimed[id] == _successor(id, it.seedBlock, current, owed), "no successor");
        require(
            line.jc == deal.jc && line.rp == deal.rp && deal.claimUntil <= line.claimUntil, "no successor"
        );
        require(deal.jcSeat == 0 && deal.rpSeat == 0, "seat");
        (address jc, address rp) = (_person(line.jc), _person(line.rp));
        _unhold(jc, _jcShare(line));
        _unhold(rp, _rpShare(line));
        _pay(jc, rp, owed);
        _hold(jc, _jcShare(deal));
        _hold(rp, _rpShare(deal));
        _close(id, Outcome.Resumed, false);
        standings[current].stage = Stage.Open;
    }

    // ---- batches

    function locks(address owner, uint256 slot) external view returns (bytes32, uint256, uint256) {
        Lock storage it = locked[owner][slot];
        uint256 terms = it.total | uint256(it.since) << 96 | uint256(it.until) << 136 | uint256(it.number) << 176;
        return (it.root, terms, uint256(it.left) | uint256(it.gone) << 96);
    }

    function commit(uint256 slot, bytes32 root, uint256 amount, uint256 until) external {
        Lock storage it = locked[msg.sender][slot];
        require(it.left == 0 || block.timestamp > it.until, "still locked");
        require(until <= block.timestamp + LONGEST_LOCK, "too long");
        _unhold(msg.sender, it.left);
        _hold(msg.sender, amount);
        it.root = root;
        it.total = amount;
        it.left = uint96(amount);
        it.gone = 0;
        it.since = uint40(block.timestamp);
        it.until = uint40(until);
        it.number++;
    }

    function _leafHash(Leaf memory leaf) private pure returns (bytes32) {
        return keccak256(abi.encode(leaf));
    }

    function _parent(bytes32 left, uint256 leftSum, bytes32 right, uint256 rightSum) private pure returns (bytes32) {
        return keccak256(abi.encode(left, leftSum, right, rightSum));
    }

    /// One side of a deal in its lock: whose, which seat, which leaf.
    struct Side {
        address who;
        uint256 seat;
        Leaf leaf;
        uint256 share;
    }

    function _jcSide(Deal calldata deal, bytes32 id) private pure returns (Side memory) {
        Leaf memory leaf = Leaf(uint256(uint160(_person(deal.rp))) << 96 | deal.pay, deal.jcStake, id);
        return Side(_person(deal.jc), deal.jcSeat, leaf, _jcShare(deal));
    }

    function _rpSide(Deal calldata deal, bytes32 id) private pure returns (Side memory) {
        return Side(_person(deal.rp), deal.rpSeat, Leaf(0, _rpShare(deal), id), _rpShare(deal));
    }

    function _inTime(Side memory side, Deal calldata deal) private view returns (bool named, bool early, bool lasts) {
        Lock storage it = locked[side.who][side.seat >> 48];
        named = it.number == uint40(side.seat >> 8);
        early = it.since <= deal.startBy;
        lasts = it.until >= deal.claimUntil;
    }

    /// Takes a side's share out of its lock; false where its seat has left.
    function _unseat(Side memory side, Deal calldata deal, uint256[14] calldata path) private returns (bool) {
        {
            (bool named, bool early, bool lasts) = _inTime(side, deal);
            require(named, "another lock");
            require(early, "locked too late");
            require(lasts, "locked too short");
        }
        Lock storage it = locked[side.who][side.seat >> 48];
        uint256 position = side.seat & 255;
        bytes32 node = _leafHash(side.leaf);
        uint256 sum = side.share;
        for (uint256 level = 0; level < HEIGHT; level++) {
            (bytes32 other, uint256 otherSum) = (bytes32(path[2 * level]), path[2 * level + 1]);
            node = (position >> level) & 1 == 0
                ? _parent(node, sum, other, otherSum)
                : _parent(other, otherSum, node, sum);
            sum += otherSum;
        }
        require(position < 1 << HEIGHT, "seat");
        require(node == it.root && sum == it.total, "not in the lock");
        uint128 bit = uint128(1 << position);
        if (it.gone & bit != 0) return false;
        it.gone |= bit;
        it.left -= uint96(side.share);
        return true;
    }

    function _enter(Deal calldata deal, bytes32 id, uint256[14] calldata jcPath, uint256[14] calldata rpPath) private {
        _checkTerms(deal, id);
        _checkUntil(deal.claimUntil);
        require(_unseat(_rpSide(deal, id), deal, rpPath), "left");
        bool unpaid = _unseat(_jcSide(deal, id), deal, jcPath);
        standings[id].stage = Stage.Open;
        standings[id].paid = !unpaid;
    }

    function enter(Deal calldata deal, uint256[14] calldata jcPath, uint256[14] calldata rpPath) external {
        require(_speaksFor(_person(deal.jc)) || _speaksFor(_person(deal.rp)), "not a party");
        _enter(deal, deal_id(deal), jcPath, rpPath);
    }

    function vacate(Deal calldata deal, bool forProvider, uint256[14] calldata path) external {
        bytes32 id = deal_id(deal);
        (Side memory mine, Side memory other) = (_jcSide(deal, id), _rpSide(deal, id));
        if (forProvider) (mine, other) = (other, mine);
        require(_speaksFor(mine.who), "not a party");
        _checkAfter(deal.startBy);
        if (block.timestamp <= deal.claimUntil) {
            (bool named, bool early, bool lasts) = _inTime(other, deal);
            require(!(named && early && lasts), "may still enter");
        }
        require(_unseat(mine, deal, path), "left");
        _unhold(mine.who, mine.share);
    }

    function settle_lock(
        uint256 slot,
        Leaf[] calldata leaves,
        uint256 pay,
        uint256[] calldata amounts,
        Signature[] calldata bills
    ) external {
        require(leaves.length <= 128 && amounts.length <= 128 && bills.length <= 128);
        Lock storage it = locked[msg.sender][slot];
        uint256 due = 0;
        uint256 nextBill = 0;
        for (uint256 i = 0; i < leaves.length; i++) {
            uint256 whole = uint96(leaves[i].payee);
            uint256 amount = amounts.length == 0 ? whole : amounts[i];
            address payee = address(uint160(leaves[i].payee >> 96));
            if ((pay >> i) & 1 == 1 && (it.gone >> i) & 1 == 0 && payee != address(0)) {
                due |= 1 << i;
                if (amount != whole) {
                    require(amount < whole, "amount");
                    _checkSaid("Bill(bytes32 deal,uint96 amount)", leaves[i].deal, amount, bills[nextBill], payee);
                }
            }
            if (amount != whole) nextBill++;
        }
        (bytes32 root, uint256 sum) = _root(leaves);
        require(root == it.root && sum == it.total, "not in the lock");
        for (uint256 i = 0; i < leaves.length; i++) {
            if ((due >> i) & 1 == 0) continue;
            uint256 whole = uint96(leaves[i].payee);
            _unhold(msg.sender, whole + leaves[i].rest);
            _pay(msg.sender, address(uint160(leaves[i].payee >> 96)), amounts.length == 0 ? whole : amounts[i]);
            it.left -= uint96(whole + leaves[i].rest);
        }
        it.gone |= uint128(due);
    }

    function _root(Leaf[] calldata leaves) private pure returns (bytes32, uint256) {
        uint256 width = 1 << HEIGHT;
        bytes32[] memory nodes = new bytes32[](width);
        uint256[] memory sums = new uint256[](width);
        uint256 filled = leaves.length;
        for (uint256 i = 0; i < filled; i++) {
            nodes[i] = _leafHash(leaves[i]);
            sums[i] = uint96(leaves[i].payee) + leaves[i].rest;
        }
        for (uint256 level = 0; level < HEIGHT; level++) {
            // a place with nothing under it is zero, and stays so
            uint256 parents = (filled + 1) / 2;
            for (uint256 i = 0; i < parents; i++) {
                bool alone = 2 * i + 1 >= filled;
                bytes32 right = alone ? bytes32(0) : nodes[2 * i + 1];
                uint256 rightSum = alone ? 0 : sums[2 * i + 1];
                nodes[i] = _parent(nodes[2 * i], sums[2 * i], right, rightSum);
                sums[i] = sums[2 * i] + rightSum;
            }
            filled = parents;
        }
        return (nodes[0], sums[0]);
    }

    // ---- claims

    function absent(Deal calldata deal, bool hasStarted, Signature calldata started) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        require(it.stage == Stage.Open && !it.paid, "not open");
        address jc = _person(deal.jc);
        require(_speaksFor(jc), "not a party");
        _checkAfter(deal.deliverBy + deal.grace);
        _checkUntil(deal.claimUntil);
        if (hasStarted) {
            bytes32 told = keccak256(abi.encode(keccak256("Started(bytes32 deal)"), id));
            _checkSigned(_typed(told), started, _person(deal.rp));
        }
        _hold(jc, _bond(deal));
        it.stage = Stage.Absent;
        it.started = hasStarted;
        it.deadline = uint40(block.timestamp + deal.answer);
    }

    function no_inputs(Deal calldata deal) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        (address jc, address rp) = (_person(deal.jc), _person(deal.rp));
        require(it.stage == Stage.Absent, "no such claim");
        require(_speaksFor(rp), "not a party");
        _checkUntil(it.deadline);
        require(!it.started, "it had started");
        _unhold(jc, _jcShare(deal) + _bond(deal));
        _unhold(rp, _rpShare(deal));
        _close(id, Outcome.Lapsed, false);
    }

    function deliver(Deal calldata deal, bytes32 sealed_, bool hasReceipt, Signature calldata receipt) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        (address jc, address rp) = (_person(deal.jc), _person(deal.rp));
        require(_speaksFor(rp), "not a party");
        bool answers = it.stage == Stage.Absent;
        if (answers) {
            require(hasReceipt, "no receipt");
            _checkUntil(it.deadline);
        } else {
            require(it.stage == Stage.Open && !it.paid, "not open");
            _checkUntil(hasReceipt ? deal.claimUntil : deal.deliverBy + deal.grace);
        }
        if (hasReceipt) {
            _checkSaid("Receipt(bytes32 deal,bytes32 sealed)", id, uint256(sealed_), receipt, jc);
        }
        if (answers) {
            _unhold(jc, _bond(deal));
            _pay(jc, rp, _bond(deal));
        }
        claimed[id] = sealed_;
        delete standings[id];
        it.stage = Stage.Delivered;
        it.deadline = uint40(block.timestamp + deal.answer);
    }

    // ---- disputes

    function contest(Deal calldata deal, bytes calldata pool) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        address jc = _person(deal.jc);
        require(it.stage == Stage.Delivered, "no such claim");
        require(_speaksFor(jc), "not a party");
        _checkUntil(it.deadline);
        _hold(jc, _bond(deal));
        it.contested = true;
        _summon(deal, id, pool);
    }

    function accuse(
        Deal calldata deal,
        bytes32 sealed_,
        uint256 exitCode,
        uint256 units,
        Signature calldata result,
        bytes calldata pool
    ) external {
        bytes32 id = deal_id(deal);
        require(standings[id].stage == Stage.Open, "not open");
        _accuse(deal, id, sealed_, exitCode, units, result, pool);
    }

    function accuse_seated(
        Deal calldata deal,
        uint256[14] calldata jcPath,
        uint256[14] calldata rpPath,
        bytes32 sealed_,
        uint256 exitCode,
        uint256 units,
        Signature calldata result,
        bytes calldata pool
    ) external {
        bytes32 id = deal_id(deal);
        _enter(deal, id, jcPath, rpPath);
        _accuse(deal, id, sealed_, exitCode, units, result, pool);
    }

    function _accuse(
        Deal calldata deal,
        bytes32 id,
        bytes32 sealed_,
        uint256 exitCode,
        uint256 units,
        Signature calldata result,
        bytes calldata pool
    ) private {
        require(_speaksFor(_person(deal.jc)), "not a party");
        _checkUntil(deal.claimUntil);
        bool stoodFor = sealed_ != 0 && claimed[id] == sealed_;
        if (!stoodFor) _checkResult(deal, id, sealed_, exitCode, units, result);
        _hold(_person(deal.jc), _bond(deal));
        claimed[id] = sealed_;
        _summon(deal, id, pool);
    }

    function _summon(Deal calldata deal, bytes32 id, bytes calldata pool) private {
        require(pool.length <= 480);
        Standing storage it = standings[id];
        it.stage = Stage.Jury;
        it.deadline = uint40(block.timestamp + deal.judge);
        it.seedBlock = uint40(block.number + SEED_DELAY);
        if (pool.length == 0) return;
        _checkPool(deal, pool);
        require(pool.length == 20 * deal.jurors, "not named");
        it.drawn = true;
        it.sitting = _select(deal, it, pool, deal.jurors, id);
    }

    function _checkPool(Deal calldata deal, bytes calldata pool) private pure {
        require(pool.length <= 480);
        require(keccak256(pool) == deal.pool, "pool");
    }

    function _memberAt(bytes calldata pool, uint256 seat) private pure returns (address) {
        return address(bytes20(pool[20 * seat:20 * seat + 20]));
    }

    function _bits(uint24 seats) private pure returns (uint256 count) {
        for (uint256 seat = 0; seat < 24; seat++) {
            if (_has(seats, seat)) count++;
        }
    }

    function _has(uint24 seats, uint256 seat) private pure returns (bool) {
        return (seats >> seat) & 1 == 1;
    }

    /// Fisher and Yates from the front; those who can't serve are passed over.
    function _select(Deal calldata deal, Standing storage it, bytes calldata pool, uint256 wanted, bytes32 seed)
        private
        view
        returns (uint24 seated)
    {
        uint256 size = pool.length / 20;
        uint256[] memory order = new uint256[](size);
        for (uint256 i = 0; i < size; i++) {
            order[i] = i;
        }
        uint24 barred = it.sitting | it.former | it.out;
        uint256 count = 0;
        for (uint256 i = 0; i < size && count < wanted; i++) {
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (size - i);
            (order[i], order[j]) = (order[j], order[i]);
            if (_has(barred, order[i])) continue;
            address who = _memberAt(pool, order[i]);
            if (uint160(who) == deal.jc || uint160(who) == deal.rp) continue;
            if (mediators[who].leaves != 0 || mediators[who].stake < deal.jurorStake) continue;
            seated |= uint24(1 << order[i]);
            count++;
        }
    }

    function draw(Deal calldata deal, bytes calldata pool) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        require(it.stage == Stage.Jury && !it.drawn, "not due");
        _checkPool(deal, pool);
        _checkUntil(it.deadline);
        uint256 number = it.seedBlock;
        require(block.number > number, "too early");
        if (block.number - number > 256) {
            it.seedBlock = uint40(block.number + SEED_DELAY);
            return;
        }
        uint256 wanted = it.appealed ? 2 * deal.jurors + 1 : deal.jurors - _bits(it.sitting);
        it.sitting |= _select(deal, it, pool, wanted, keccak256(abi.encode(id, blockhash(number))));
        it.deadline = uint40(block.timestamp + deal.judge);
        it.drawn = true;
    }

    function vote(
        Deal calldata deal,
        bytes calldata pool,
        uint256 ruling,
        bytes32 commitments,
        uint256 voters,
        Signature[] calldata votes
    ) external {
        require(votes.length <= 24);
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        require(it.stage == Stage.Jury && it.drawn, "not due");
        _checkPool(deal, pool);
        _checkUntil(it.deadline);
        require(ruling <= 3, "ruling");
        bytes32 digest = _voteDigest(id, it.appealed, ruling, commitments);
        uint24 heard = _hear(deal, it, pool, digest, voters, votes, ruling != 0);
        require(heard != 0, "not their turn");
        if (ruling == 0) {
            it.present |= heard;
            return;
        }
        it.voted |= heard;
        bool isWrong = ruling == uint256(Outcome.Wrong);
        Tally storage tally = tallies[isWrong ? digest : keccak256(abi.encode(id, it.appealed, ruling))];
        tally.shown &= it.sitting;
        tally.unshown &= it.sitting;
        if (isWrong || commitments != 0) tally.shown |= heard;
        else tally.unshown |= heard;
        uint256 quorum = it.appealed ? deal.jurors + 1 : deal.quorum;
        uint256 shown = _bits(tally.shown);
        if (shown + _bits(tally.unshown) < quorum) return;
        if (2 * shown > quorum) {
            _rule(deal, id, pool, Outcome(ruling), tally.shown);
        } else {
            it.unproven = true;
            _rule(deal, id, pool, Outcome(ruling), tally.shown | tally.unshown);
        }
    }

    function _hear(
        Deal calldata deal,
        Standing storage it,
        bytes calldata pool,
        bytes32 digest,
        uint256 voters,
        Signature[] calldata votes,
        bool bind
    ) private returns (uint24 heard) {
        uint256 used = 0;
        for (uint256 seat = 0; seat < 24; seat++) {
            if ((voters >> seat) & 1 == 0) continue;
            address who = _memberAt(pool, seat);
            _checkSigned(digest, votes[used], who);
            used++;
            Mediator storage juror = mediators[who];
            bool due = _has(it.sitting, seat) && !_has(it.voted, seat);
            if (due && juror.stake - juror.busy >= deal.jurorStake) {
                heard |= uint24(1 << seat);
                if (bind) juror.busy += uint96(deal.jurorStake);
            }
        }
    }

    function _rule(Deal calldata deal, bytes32 id, bytes calldata pool, Outcome ruling, uint24 tally) private {
        Standing storage it = standings[id];
        uint256 fees = deal.fee * _bits(tally);
        if (it.appealed) {
            uint24 first = it.winners & ~it.out;
            if (ruling == it.outcome) {
                Bearing memory upheld = Bearing(deal.fee * _bits(first), fees, _appealBond(deal) - fees);
                _end(deal, id, pool, ruling, upheld, first | tally, 0);
            } else {
                uint256 own = fees < _bond(deal) ? fees : _bond(deal);
                // A party can serve one jury and not the other: neither jury is to blame for what it was not shown.
                _end(deal, id, pool, ruling, Bearing(own, fees - own, 0), tally, it.unproven ? 0 : first);
            }
        } else if (deal.appeal == 0) {
            _end(deal, id, pool, ruling, Bearing(fees, 0, 0), tally, 0);
        } else {
            it.stage = Stage.Ruled;
            it.deadline = uint40(block.timestamp + deal.appeal);
            it.winners = tally;
            it.outcome = ruling;
        }
    }

    function appeal(Deal calldata deal, bytes calldata pool, bool forProvider) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        require(it.stage == Stage.Ruled, "no ruling");
        _checkPool(deal, pool);
        _checkUntil(it.deadline);
        address party = _person(forProvider ? deal.rp : deal.jc);
        require(_speaksFor(party), "not a party");
        require(pool.length / 20 > _bits(it.sitting | it.out) + 2 * deal.jurors, "pool too small");
        _hold(party, _appealBond(deal));
        _dismiss(deal, pool, it.voted & ~it.winners & ~it.out, 0, 0);
        it.stage = Stage.Jury;
        it.started = it.refilled = it.drawn = false;
        it.appealed = true;
        it.byProvider = forProvider;
        it.deadline = uint40(block.timestamp + deal.judge);
        it.seedBlock = uint40(block.number + SEED_DELAY);
        it.former = it.sitting;
        it.sitting = it.voted = it.present = 0;
    }

    function expose(
        Deal calldata deal,
        bytes calldata pool,
        uint256 position,
        uint256[2] calldata rulings,
        bytes32[2] calldata commitments,
        Signature[2] calldata votes
    ) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        require(it.stage == Stage.Jury || it.stage == Stage.Ruled, "no jury");
        _checkPool(deal, pool);
        require(position < 24 && _has(it.sitting, position), "not sitting");
        require(rulings[0] != 0 && rulings[1] != 0, "no vote");
        bool otherRun = rulings[0] == 2 && commitments[0] != commitments[1];
        require(rulings[0] != rulings[1] || otherRun, "the same vote");
        for (uint256 i = 0; i < 2; i++) {
            bytes32 digest = _voteDigest(id, it.appealed, rulings[i], commitments[i]);
            _checkSigned(digest, votes[i], _memberAt(pool, position));
        }
        uint24 seat = uint24(1 << position);
        it.sitting &= ~seat;
        it.out |= seat;
        if (it.voted & seat != 0) _shareOut(deal, _dismiss(deal, pool, seat, 0, seat));
        else _fine(deal, pool, seat);
    }

    /// Jurors who voted go: some with a fee, some without their stake. Returns what was lost.
    function _dismiss(Deal calldata deal, bytes calldata pool, uint24 seats, uint24 paid, uint24 slashed)
        private
        returns (uint256 lost)
    {
        for (uint256 seat = 0; seat < 24; seat++) {
            if (!_has(seats, seat)) continue;
            Mediator storage juror = mediators[_memberAt(pool, seat)];
            juror.busy -= uint96(deal.jurorStake);
            if (_has(slashed, seat)) {
                juror.stake -= uint96(deal.jurorStake);
                lost += deal.jurorStake;
            } else if (_has(paid, seat)) {
                juror.stake += uint96(deal.fee);
            }
        }
    }

    function _fine(Deal calldata deal, bytes calldata pool, uint24 seats) private {
        uint256 lost = 0;
        for (uint256 seat = 0; seat < 24; seat++) {
            if (!_has(seats, seat)) continue;
            Mediator storage juror = mediators[_memberAt(pool, seat)];
            uint256 ready = juror.stake - juror.busy;
            uint256 amount = ready < deal.jurorStake ? ready : deal.jurorStake;
            juror.stake -= uint96(amount);
            lost += amount;
        }
        _shareOut(deal, lost);
    }

    function _shareOut(Deal calldata deal, uint256 lost) private {
        accounts[_person(deal.jc)].balance += _half(lost - lost / 2);
        accounts[_person(deal.rp)].balance += _half(lost / 2);
    }

    function _end(
        Deal calldata deal,
        bytes32 id,
        bytes calldata pool,
        Outcome outcome,
        Bearing memory bearing,
        uint24 paid,
        uint24 slashed
    ) private {
        Standing memory it = standings[id];
        (address jc, address rp) = (_person(deal.jc), _person(deal.rp));
        _unhold(jc, _bond(deal));
        if (!it.paid) _unhold(jc, _jcShare(deal));
        _unhold(rp, _rpShare(deal));
        if (it.appealed) _unhold(it.byProvider ? rp : jc, _appealBond(deal));
        _shareOut(deal, _dismiss(deal, pool, (it.voted | it.winners) & ~it.out, paid, slashed));

        uint256 pay = it.paid ? 0 : deal.pay;
        if (outcome == Outcome.Split) {
            _pay(jc, rp, pay / 2);
        } else if (outcome == Outcome.Right) {
            _pay(jc, rp, pay);
            if (it.contested) {
                // each bears half: fault can't be told
                accounts[rp].balance -= _half(bearing.fees / 2);
                accounts[jc].balance -= _half(bearing.fees - bearing.fees / 2);
            } else {
                accounts[jc].balance -= _half(bearing.fees);
                _pay(jc, rp, _bond(deal) - bearing.fees);
            }
        } else {
            accounts[rp].balance -= _half(bearing.fees);
            _pay(rp, jc, deal.cheat - bearing.fees);
            if (outcome == Outcome.NotFetchable) _pay(rp, jc, deal.rpStake);
        }
        if (it.appealed) {
            (address appellant, address other) = it.byProvider ? (rp, jc) : (jc, rp);
            accounts[appellant].balance -= _half(bearing.byAppellant);
            _pay(appellant, other, bearing.toOther);
        }
        _close(id, outcome, it.paid);
    }

    function finalize(Deal calldata deal, bytes calldata pool) external {
        bytes32 id = deal_id(deal);
        Standing storage it = standings[id];
        (address jc, address rp) = (_person(deal.jc), _person(deal.rp));
        require(it.stage >= Stage.Absent && it.stage <= Stage.Ruled, "no such claim");
        if (block.timestamp <= it.deadline) {
            require(it.stage == Stage.Ruled, "too early");
            require(_speaksFor(it.outcome == Outcome.Right ? jc : rp), "not a party");
        }
        if (it.stage == Stage.Absent) {
            _unhold(jc, _jcShare(deal) + _bond(deal));
            _unhold(rp, _rpShare(deal));
            _pay(rp, jc, deal.rpStake);
            _close(id, Outcome.Vanished, false);
        } else if (it.stage == Stage.Delivered) {
            _unhold(jc, _jcShare(deal));
            _pay(jc, rp, _jcShare(deal));
            if (block.timestamp > deal.claimUntil) {
                _unhold(rp, _rpShare(deal));
                _close(id, Outcome.Done, true);
            } else {
                _reopenPaid(id);
            }
        } else {
            _finalizeDispute(deal, id, pool);
        }
    }

    function _finalizeDispute(Deal calldata deal, bytes32 id, bytes calldata pool) private {
        Standing storage it = standings[id];
        require(pool.length <= 480);
        if (it.sitting | it.former | it.out != 0) _checkPool(deal, pool);
        uint24 silent = it.stage == Stage.Jury && it.drawn ? it.sitting & ~it.voted : 0;
        _fine(deal, pool, silent & it.present);
        if (it.outcome != Outcome.None) {
            uint24 winners = it.winners & ~it.out;
            _end(deal, id, pool, it.outcome, Bearing(deal.fee * _bits(winners), 0, 0), winners, 0);
        } else if (silent != 0 && !it.refilled && pool.length > 20 * deal.jurors) {
            it.refilled = true;
            it.drawn = false;
            it.deadline = uint40(block.timestamp + deal.judge);
            it.seedBlock = uint40(block.number + SEED_DELAY);
            it.sitting &= ~silent;
            it.out |= silent;
        } else {
            Outcome agreed = deal.silence == 0 ? Outcome.Split : Outcome(deal.silence);
            _end(deal, id, pool, agreed, Bearing(0, 0, 0), 0, 0);
        }
    }

    // ---- mediators

    function join(uint256 amount) external {
        _takeFree(amount);
        mediators[msg.sender].stake += uint96(amount);
        mediators[msg.sender].leaves = 0;
    }

    function leave() external {
        mediators[msg.sender].leaves = uint40(block.timestamp + 7 * MAX_WINDOW);
    }

    function collect() external {
        Mediator storage mine = mediators[msg.sender];
        require(mine.leaves != 0, "not leaving");
        _checkAfter(mine.leaves);
        accounts[msg.sender].balance += mine.stake - mine.busy;
        mine.stake = mine.busy;
    }

    // ---- views, packed as the other vault packs its words

    /// `sealed(bytes32)`, which this language lets nobody call a function.
    fallback(bytes calldata input) external returns (bytes memory) {
        require(bytes4(input[:4]) == bytes4(keccak256("sealed(bytes32)")));
        return abi.encode(claimed[bytes32(input[4:36])]);
    }

    function accounts_many(address[] calldata who) external view returns (uint256[] memory found) {
        found = new uint256[](who.length);
        for (uint256 i = 0; i < who.length; i++) {
            found[i] = accounts[who[i]].balance | uint256(accounts[who[i]].locked) << 128;
        }
    }

    function mediators_many(address[] calldata who) external view returns (uint256[] memory found) {
        found = new uint256[](who.length);
        for (uint256 i = 0; i < who.length; i++) {
            Mediator storage it = mediators[who[i]];
            found[i] = it.stake | uint256(it.busy) << 96 | uint256(it.leaves) << 192;
        }
    }

    function deals_many(bytes32[] calldata ids) external view returns (uint256[] memory found) {
        found = new uint256[](ids.length);
        for (uint256 i = 0; i < ids.length; i++) {
            found[i] = _packed(standings[ids[i]]);
        }
    }

    function _packed(Standing memory it) private pure returns (uint256 word) {
        bool[8] memory flags =
            [it.paid, it.started, it.contested, it.refilled, it.appealed, it.byProvider, it.drawn, it.unproven];
        word = uint256(it.stage) | uint256(it.deadline) << 16 | uint256(it.seedBlock) << 56;
        for (uint256 i = 0; i < 8; i++) {
            if (flags[i]) word |= 1 << (8 + i);
        }
        uint24[5] memory sets = [it.sitting, it.former, it.out, it.voted, it.winners];
        for (uint256 i = 0; i < 5; i++) {
            word |= uint256(sets[i]) << (96 + 24 * i);
        }
        word |= uint256(it.outcome) << 216 | uint256(it.present) << 224;
    }
}
