// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vault} from "../Vault.sol";

/// The little of forge's cheat codes that the checks need.
interface Machine {
    function assume(bool holds) external;
    function prank(address who) external;
    function deal(address who, uint256 coins) external;
    function warp(uint256 moment) external;
}

/// @notice What must hold for every input, tried with symbols in their place (halmos runs the functions called check_).
contract VaultCheck {
    Machine private constant VM = Machine(address(uint160(uint256(keccak256("hevm cheat code")))));
    // the compiler takes block.timestamp for one value in all of a call, whatever a cheat code does to it meanwhile
    uint256 private constant NOW = 1_800_000_000;
    Vault private vault;

    function setUp() public {
        vault = new Vault(60, 600);
        VM.warp(NOW);
    }

    function _account(address who) private view returns (uint256 balance, uint256 held) {
        address[] memory one = new address[](1);
        one[0] = who;
        uint256 word = vault.accounts_many(one)[0];
        return (word & type(uint128).max, word >> 128);
    }

    function _fund(address who, uint256 coins) private {
        VM.assume(coins < 1 << 95 && who != address(vault) && who != address(this) && who != address(VM));
        VM.deal(who, coins);
        VM.prank(who);
        vault.deposit{value: coins}(who);
    }

    /// Solvency: what is paid in is owed, and is what the vault holds.
    function check_deposit_is_owed(address who, uint256 coins) public {
        _fund(who, coins);
        (uint256 balance, uint256 held) = _account(who);
        assert(balance == coins && held == 0 && address(vault).balance == coins);
    }

    /// Nobody takes out more than is free, and what leaves is what is no longer owed.
    function check_withdraw_takes_only_what_is_free(address who, uint256 coins, uint256 amount, address to) public {
        _fund(who, coins);
        VM.assume(to != address(vault) && to != address(this));
        VM.prank(who);
        (bool done,) = address(vault).call(abi.encodeCall(vault.withdraw, (amount, to)));
        (uint256 balance, uint256 held) = _account(who);
        assert(!done || (amount <= coins && balance == coins - amount));
        assert(held == 0 && address(vault).balance == balance);
    }

    /// Conservation: a transfer moves money and makes none.
    function check_transfer_conserves(address who, address to, uint256 coins, uint256 amount) public {
        _fund(who, coins);
        VM.assume(to != who);
        VM.prank(who);
        (bool done,) = address(vault).call(abi.encodeCall(vault.transfer, (to, amount)));
        (uint256 mine,) = _account(who);
        (uint256 theirs,) = _account(to);
        assert(done == (amount <= coins));
        assert(mine == (done ? coins - amount : coins) && theirs == (done ? amount : 0));
    }

    /// Locked <= balance after any commit, and locked money can't leave.
    function check_what_a_lock_holds_stays(
        address who,
        uint256 coins,
        uint256 slot,
        bytes32 root,
        uint256 amount,
        uint256 until,
        uint256 take
    ) public {
        _fund(who, coins);
        VM.prank(who);
        (bool done,) = address(vault).call(abi.encodeCall(vault.commit, (slot, root, amount, until)));
        (uint256 balance, uint256 held) = _account(who);
        assert(balance == coins && held == (done ? amount : 0) && held <= balance);
        assert(!done || until <= NOW + 90 days);
        VM.prank(who);
        (bool left,) = address(vault).call(abi.encodeCall(vault.withdraw, (take, address(1))));
        assert(!left || take <= coins - held);
    }

    /// A lock that holds something is replaced only after its end.
    function check_a_lock_lasts(address who, uint256 coins, bytes32 root, uint256 amount, uint256 until, uint256 later)
        public
    {
        _fund(who, coins);
        VM.assume(amount > 0 && later >= NOW && later < 1 << 40);
        VM.prank(who);
        (bool done,) = address(vault).call(abi.encodeCall(vault.commit, (0, root, amount, until)));
        VM.assume(done);
        VM.warp(later);
        VM.prank(who);
        (bool again,) = address(vault).call(abi.encodeCall(vault.commit, (0, bytes32(0), 0, 0)));
        assert(again == (later > until));
    }

    /// A stranger's deposit, transfer, commit, join, leave or collect never lowers my balance nor locks my money.
    function check_strangers_cannot_touch_my_money(address me, address stranger, uint256 coins, bytes32 root, uint256 n)
        public
    {
        _fund(me, coins);
        VM.assume(stranger != me);
        bytes[5] memory calls = [
            abi.encodeCall(vault.withdraw, (n, stranger)),
            abi.encodeCall(vault.transfer, (stranger, n)),
            abi.encodeCall(vault.commit, (n, root, n, NOW)),
            abi.encodeCall(vault.join, (n)),
            abi.encodeCall(vault.collect, ())
        ];
        for (uint256 i = 0; i < 5; i++) {
            VM.prank(stranger);
            (bool done,) = address(vault).call(calls[i]);
            done;
        }
        (uint256 balance, uint256 held) = _account(me);
        assert(balance == coins && held == 0);
    }

    /// A mediator's stake is its own, and leaves after the time for it only.
    function check_a_stake_leaves_late(address who, uint256 coins, uint256 stake, uint256 later) public {
        _fund(who, coins);
        VM.assume(stake <= coins && later >= NOW && later < 1 << 40);
        VM.prank(who);
        vault.join(stake);
        VM.prank(who);
        vault.leave();
                VM.warp(later);
        VM.prank(who);
        (bool done,) = address(vault).call(abi.encodeCall(vault.collect, ()));
        (uint256 balance,) = _account(who);
        assert(done == (later > NOW + 7 * 600));
        assert(balance == (done ? coins : coins - stake));
    }

    /// Whatever opens was signed by the other party, in the deal's own digest, and locks the shares of both.
    function check_what_opens_was_signed_by_the_other(
        Vault.Deal calldata deal,
        address by,
        uint256 coins,
        bytes32 r,
        bytes32 s
    ) public {
        _fund(by, coins);
        VM.assume(uint256(s) >> 255 == 0);
        address other = ecrecover(vault.deal_id(deal), 27, r, s);
        VM.prank(by);
        (bool done,) = address(vault).call(abi.encodeCall(vault.open, (deal, Vault.Signature(r, s))));
        if (!done) return;
        assert(other != address(0) && other != by);
        assert(
            (deal.jc == uint160(by) && deal.rp == uint160(other))
                || (deal.rp == uint160(by) && deal.jc == uint160(other))
        );
        (uint256 balance, uint256 held) = _account(by);
        uint256 share = deal.jc == uint160(by) ? deal.pay + deal.jcStake : deal.rpStake + deal.cheat;
        assert(balance == coins && held == share && held <= balance);
    }

    /// A deal that was never opened can't be settled, redeemed, claimed or ended.
    function check_what_was_never_opened_pays_nobody(Vault.Deal calldata deal, address by, uint256 amount) public {
        Vault.Signature memory none;
        VM.prank(by);
        (bool released,) = address(vault).call(abi.encodeCall(vault.release, (deal)));
        VM.prank(by);
        (bool redeemed,) = address(vault).call(abi.encodeCall(vault.redeem, (deal, amount, none)));
        VM.prank(by);
        (bool parted,) = address(vault).call(abi.encodeCall(vault.part, (deal, amount, none)));
        VM.prank(by);
        (bool absent,) = address(vault).call(abi.encodeCall(vault.absent, (deal, false, none)));
        VM.prank(by);
        (bool lapsed,) = address(vault).call(abi.encodeCall(vault.no_inputs, (deal)));
        assert(!released && !redeemed && !parted && !absent && !lapsed);
    }
}
