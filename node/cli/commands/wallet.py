"""``lilypad wallet``: a key and its money."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.common import Home, Json, Network, do

wallet = typer.Typer(help="The key of this peer, and its money.", no_args_is_help=True)

Amount = Annotated[
    list[str], typer.Argument(metavar="AMOUNT [UNIT]", help="Base units, or with a unit: 1.5 ether, 20gwei, 3 nanofil.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before it is sent; nor with --json.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what it would cost.")]


@wallet.command("new")
def wallet_new(home: Home = None, json: Json = False) -> None:
    """Make a key and write it, encrypted, to the data folder."""
    from node.cli.wallet import new

    do(new, home, None, json)


@wallet.command("show")
def wallet_show(home: Home = None, network: Network = None, json: Json = False) -> None:
    """The address of the key, and the money it has."""
    from node.cli.wallet import show

    do(show, home, network, json)


@wallet.command("deposit")
def wallet_deposit(
    amount: Amount,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    network: Network = None,
    json: Json = False,
) -> None:
    """Move coins of the key's address into the vault; says what it costs first, and follows it until it counts."""
    from node.cli.wallet import Manner, deposit

    do(deposit, home, network, " ".join(amount), Manner(yes, dry_run, json))


@wallet.command("approve")
def wallet_approve(
    amount: Amount,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    network: Network = None,
    json: Json = False,
) -> None:
    """Let a vault that holds a token take so much of it by the next deposits; a vault of coins needs none."""
    from node.cli.wallet import Manner, approve

    do(approve, home, network, " ".join(amount), Manner(yes, dry_run, json))


@wallet.command("withdraw")
def wallet_withdraw(
    amount: Annotated[
        list[str], typer.Argument(metavar="AMOUNT [UNIT]", help="As for deposit, or `all` that is free.")
    ],
    to: Annotated[str | None, typer.Option(help="Address; the key's own by default.", show_default=False)] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    network: Network = None,
    json: Json = False,
) -> None:
    """Move free money out of the vault."""
    from node.cli.wallet import Manner, withdraw

    do(withdraw, home, network, " ".join(amount), to, Manner(yes, dry_run, json))


@wallet.command("stake")
def wallet_stake(home: Home = None, network: Network = None, json: Json = False) -> None:
    """What this peer has at stake as a mediator, and when it can have it back."""
    from node.cli.wallet import stake

    do(stake, home, network, json)


@wallet.command("leave")
def wallet_leave(
    yes: Yes = False, dry_run: DryRun = False, home: Home = None, network: Network = None, json: Json = False
) -> None:
    """Leave the juries: no pool takes this mediator any more, and after a while it can collect its stake."""
    from node.cli.wallet import Manner, leave

    do(leave, home, network, Manner(yes, dry_run, json))


@wallet.command("collect")
def wallet_collect(
    yes: Yes = False, dry_run: DryRun = False, home: Home = None, network: Network = None, json: Json = False
) -> None:
    """Take the stake of a mediator that has left back into its free money, with what it earned as a juror."""
    from node.cli.wallet import Manner, collect

    do(collect, home, network, Manner(yes, dry_run, json))


@wallet.command("delegate")
def wallet_delegate(
    address: Annotated[str, typer.Argument(help="Who may answer claims for this peer: a watchtower.")],
    revoke: Annotated[bool, typer.Option("--revoke", help="It may no longer.")] = False,
    yes: Yes = False,
    home: Home = None,
    network: Network = None,
    json: Json = False,
) -> None:
    """Let a watchtower make and answer claims in this peer's name; money only ever goes to the parties of a deal."""
    from node.cli.wallet import Manner, delegate

    do(delegate, home, network, address, revoke, Manner(yes, json=json))


@wallet.command("export")
def wallet_export(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A new file, readable by you only.")] = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="The bare secret instead of the encrypted key file.")
    ] = False,
    home: Home = None,
) -> None:
    """The key, to keep a copy or to use it in another wallet: its encrypted file (Web3 Secret Storage, version 3)."""
    from node.cli.wallet import export

    do(export, home, None, output, secret)
