"""All commands of ``lilypad``, with their options; what they do is in the modules beside this one."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from node.errors import UserError

app = typer.Typer(
    name="lilypad",
    help="A peer-to-peer market for compute: agents haggle, results are verified, a vault keeps everyone honest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
node = typer.Typer(help="Run and look at a peer node.", no_args_is_help=True)
wallet = typer.Typer(help="The key of this peer, and its money.", no_args_is_help=True)
modules = typer.Typer(help="What can be run.", no_args_is_help=True)
jobs = typer.Typer(help="The jobs of a running node.", no_args_is_help=True)
dispute = typer.Typer(help="How a dispute was decided.", no_args_is_help=True)
strategy = typer.Typer(help="Who haggles: find, write, test and compare strategies.", no_args_is_help=True)
offers = typer.Typer(help="What a running node has heard on offer.", no_args_is_help=True)
for group, name in (
    (node, "node"),
    (wallet, "wallet"),
    (modules, "modules"),
    (jobs, "jobs"),
    (dispute, "dispute"),
    (offers, "offers"),
    (strategy, "strategy"),
):
    app.add_typer(group, name=name)

Home = Annotated[Path | None, typer.Option("--home", help="Data folder (LILYPAD_HOME).", show_default=False)]
Network = Annotated[str | None, typer.Option("--network", help="Network (LILYPAD_NETWORK).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
JsonLines = Annotated[bool, typer.Option("--json-lines", help="Print each event as a line of JSON, as it happens.")]


def run_app() -> None:
    """Run the command line."""
    # a service manager ends us by SIGTERM: take it like ^C, so that everything is put away
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()


@app.command()
def run(
    module: Annotated[str, typer.Argument(help="name:version of the catalogue, a folder, git+URL@REF#DIR, or a CID.")],
    text: Annotated[str | None, typer.Argument(help="Fills the module's primary input.", show_default=False)] = None,
    value: Annotated[list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input.")] = None,
    input_file: Annotated[
        list[str] | None, typer.Option("--input-file", metavar="NAME=PATH", help="A file or folder as input.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to put the result directory.")] = None,
    max_price: Annotated[
        str | None, typer.Option("--max-price", metavar="N", help="The most to pay for the job, in base units.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Who haggles: a name or reference, see `lilypad strategy ls`.")
    ] = None,
    check: Annotated[
        float | None, typer.Option(help="Chance that a mediator re-runs it [local: 1, else 0.1].", show_default=False)
    ] = None,
    per: Annotated[
        list[str] | None,
        typer.Option(
            "--per", metavar="UNIT", help="Price it by job, gigafuel, second or gib only; may be given again."
        ),
    ] = None,
    isolation: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The least class of isolation to run it under.")
    ] = None,
    check_by: Annotated[
        str, typer.Option(metavar="WHO", help="Who re-runs it: mediators, self, or anybody (mediators first).")
    ] = "anybody",
    private: Annotated[
        bool, typer.Option("--private", help="Seal inputs and result: only the parties and their jurors read them.")
    ] = False,
    mediator: Annotated[
        list[str] | None,
        typer.Option("--mediator", metavar="ADDRESS", help="A mediator to trust [any]; may be given again."),
    ] = None,
    wishes: Annotated[
        list[str] | None,
        typer.Option(
            "--wish",
            metavar="ISSUE=WORST..BEST:WORTH",
            help="Haggle about delivery, checks, rp_stake, jc_stake, jurors or fee too; may be given again.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Give up after this long.")] = 600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is on offer.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Print the job's id and leave it to the node.")] = False,
    chain: Annotated[
        str | None,
        typer.Option(help="The local market's chain: py-evm, anvil, or auto (LILYPAD_CHAIN).", show_default=False),
    ] = None,
    network: Network = None,
    home: Home = None,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Run a module on somebody's machine: find, haggle, lock, run, verify, pay.

    Uses the running node of the data folder; without one and without a configured network, a whole market on this
    machine is started for the run.
    """
    from node.cli.run import Wish, run_job

    wish = Wish(
        module=module,
        text=text,
        values=value or [],
        files=input_file or [],
        output=output,
        max_price=max_price,
        strategy=strategy,
        check=check,
        per=per or [],
        isolation=isolation,
        check_by=check_by,
        mediators=mediator or [],
        wishes=wishes or [],
        private=private,
        timeout=timeout,
        dry_run=dry_run,
        detach=detach,
        chain=chain,
        json=json,
        json_lines=json_lines,
    )
    _do(run_job, home, network, wish)


@node.command("start")
def node_start(
    role: Annotated[
        str, typer.Option(help="Any of provider, mediator, client, joined by commas.", envvar="LILYPAD_ROLE")
    ] = "client",
    offer: Annotated[
        Path | None, typer.Option(help="offer.toml: what a provider sells.", envvar="LILYPAD_OFFER", show_default=False)
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Who haggles for this node, see `lilypad strategy ls`.", envvar="LILYPAD_STRATEGY", show_default=False
        ),
    ] = None,
    fee: Annotated[
        int, typer.Option(help="What a mediator takes for a re-run, in base units.", envvar="LILYPAD_FEE")
    ] = 0,
    stake: Annotated[
        int,
        typer.Option(
            help="What a mediator has at stake on juries at least, in base units, out of its vault money.",
            envvar="LILYPAD_STAKE",
        ),
    ] = 0,
    listen: Annotated[
        str, typer.Option(help="Multiaddr to listen on.", envvar="LILYPAD_LISTEN")
    ] = "/ip4/127.0.0.1/tcp/0",
    announce: Annotated[
        str | None, typer.Option(help="Multiaddr to give out instead.", envvar="LILYPAD_ANNOUNCE", show_default=False)
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(help="Multiaddr of a first peer; may be given again.", show_default=False)
    ] = None,
    relay: Annotated[
        list[str] | None,
        typer.Option(help="Multiaddr of a relay that keeps a place for us; may be given again.", show_default=False),
    ] = None,
    serve_relay: Annotated[bool, typer.Option("--serve-relay", help="Be a relay for others, within limits.")] = False,
    lan: Annotated[bool, typer.Option("--lan", help="Find peers on the local network, and be found there.")] = False,
    dht: Annotated[bool, typer.Option(help="Take part in the market's DHT.")] = True,
    http: Annotated[str, typer.Option(help="Address of the HTTP server.", envvar="LILYPAD_HTTP")] = "127.0.0.1:0",
    executors: Annotated[
        str | None,
        typer.Option(
            help="Of wasm, docker: what to run jobs on [all that work].", envvar="LILYPAD_EXECUTORS", show_default=False
        ),
    ] = None,
    watch: Annotated[
        list[Path] | None,
        typer.Option(
            "--watch", metavar="FILE", help="Be the watchtower of the peer with this state.sqlite (or a copy); again."
        ),
    ] = None,
    network: Network = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Start a peer in the foreground; ^C ends it, its open deals go on at the next start."""
    from node.cli.node import Start, start

    wish = Start(
        role,
        offer,
        strategy,
        fee,
        stake,
        listen,
        announce,
        tuple(bootstrap or ()),
        http,
        executors,
        json,
        tuple(relay or ()),
        serve_relay,
        lan,
        dht,
        tuple(watch or ()),
    )
    _do(start, home, network, wish)


@node.command("status")
def node_status(home: Home = None, json: Json = False) -> None:
    """Who this node is, whom it knows, what it has."""
    from node.cli.node import status

    _do(status, home, None, json)


@node.command("peers")
def node_peers(home: Home = None, json: Json = False) -> None:
    """Who is connected and how, and how others reach this node."""
    from node.cli.node import peers

    _do(peers, home, None, json)


@node.command("stop")
def node_stop(home: Home = None) -> None:
    """End the running node; its open deals go on at the next start."""
    from node.cli.node import stop

    _do(stop, home, None)


Amount = Annotated[
    list[str], typer.Argument(metavar="AMOUNT [UNIT]", help="Base units, or with a unit: 1.5 ether, 20gwei, 3 nanofil.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before it is sent.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what it would cost.")]


@node.command("backup")
def node_backup(
    file: Annotated[Path, typer.Argument(help="Where to: a new tar file.")],
    content: Annotated[bool, typer.Option(help="With the blocks that others may still fetch, and the results.")] = True,
    home: Home = None,
) -> None:
    """Copy the data folder into one file, also while the node runs."""
    from node.cli.backup import backup

    _do(backup, home, None, file, content)


@node.command("restore")
def node_restore(file: Annotated[Path, typer.Argument(help="What `node backup` wrote.")], home: Home = None) -> None:
    """Make the data folder out of a back-up; never over one that is there."""
    from node.cli.backup import restore

    _do(restore, home, None, file)


@wallet.command("new")
def wallet_new(home: Home = None, json: Json = False) -> None:
    """Make a key and write it, encrypted, to the data folder."""
    from node.cli.wallet import new

    _do(new, home, None, json)


@wallet.command("show")
def wallet_show(home: Home = None, network: Network = None, json: Json = False) -> None:
    """The address and peer id of the key, and the money it has."""
    from node.cli.wallet import show

    _do(show, home, network, json)


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

    _do(deposit, home, network, " ".join(amount), Manner(yes, dry_run, json))


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

    _do(withdraw, home, network, " ".join(amount), to, Manner(yes, dry_run, json))


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

    _do(delegate, home, network, address, revoke, Manner(yes, json=json))


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

    _do(export, home, None, output, secret)


@modules.command("ls")
def modules_ls(json: Json = False) -> None:
    """The catalogue."""
    from node.cli.modules import ls

    _do(ls, None, None, json)


@modules.command("show")
def modules_show(module: str, json: Json = False) -> None:
    """What a module takes, needs and is called by."""
    from node.cli.modules import show

    _do(show, None, None, module, json)


@modules.command("new")
def modules_new(
    name: Annotated[str, typer.Argument(help="What it is to be called.")],
    executor: Annotated[str, typer.Option(help="wasm or docker.")] = "wasm",
    folder: Annotated[Path | None, typer.Option(help="Where [./NAME].", show_default=False)] = None,
) -> None:
    """Make a module that works, to be changed into your own."""
    from node.cli.module_tools import new

    _do(new, None, None, name, executor, folder)


@modules.command("build")
def modules_build(
    module: Annotated[str, typer.Argument(help="As in `lilypad run`.")],
    network: Annotated[
        bool, typer.Option("--network", help="Let the commands of its Dockerfile use the network.")
    ] = False,
    json: Json = False,
) -> None:
    """Have at hand what a module runs: build or pull its image; compile a WASM module of your own by its build.sh."""
    from node.cli.module_tools import build

    _do(build, None, None, module, network, json)


@modules.command("check")
def modules_check(
    module: Annotated[str, typer.Argument(help="As in `lilypad run`.")],
    text: Annotated[str | None, typer.Argument(help="Fills the module's primary input.", show_default=False)] = None,
    value: Annotated[list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input.")] = None,
    input_file: Annotated[
        list[str] | None, typer.Option("--input-file", metavar="NAME=PATH", help="A file or folder as input.")
    ] = None,
    times: Annotated[int, typer.Option(help="How often it is run.", min=2, max=20)] = 3,
    json: Json = False,
) -> None:
    """Run a module several times on this machine and say whether it repeats itself, as verification needs."""
    from node.cli.module_tools import check

    _do(check, None, None, module, text, value or [], input_file or [], times, json)


@jobs.command("ls")
def jobs_ls(home: Home = None, json: Json = False) -> None:
    """All jobs, newest first."""
    from node.cli.jobs import ls

    _do(ls, home, None, json)


@jobs.command("show")
def jobs_show(
    job: str,
    record: Annotated[
        Path | None,
        typer.Option(help="Write its dispute's record here, for anybody to check.", show_default=False),
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """A job's story so far."""
    from node.cli.jobs import show

    _do(show, home, None, job, json, record)


@jobs.command("logs")
def jobs_logs(
    job: str,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on to the job's end.")] = False,
    home: Home = None,
    json_lines: JsonLines = False,
) -> None:
    """All that happened to a job, event by event, with the moment of each."""
    from node.cli.jobs import logs

    _do(logs, home, None, job, follow, json_lines)


@jobs.command("explain")
def jobs_explain(job: str, home: Home = None, json: Json = False) -> None:
    """Why this provider, or why none: who was asked, who said no to what, and when."""
    from node.cli.jobs import explain

    _do(explain, home, None, job, json)


@jobs.command("get")
def jobs_get(
    job: str,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to put the result directory.")] = None,
    home: Home = None,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Wait for a job's end and fetch its result."""
    from node.cli.run import get_job

    _do(get_job, home, None, job, output, json, json_lines)


@jobs.command("resume")
def jobs_resume(
    job: str,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to put the result directory.")] = None,
    home: Home = None,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Follow a job again, after ^C or from elsewhere, and fetch its result; the same as `get`."""
    from node.cli.run import get_job

    _do(get_job, home, None, job, output, json, json_lines)


@jobs.command("cancel")
def jobs_cancel(job: str, home: Home = None) -> None:
    """Drop a job that has no deal yet."""
    from node.cli.jobs import cancel

    _do(cancel, home, None, job)


@dispute.command("verify")
def dispute_verify(
    file: Annotated[Path, typer.Argument(help="What `lilypad jobs show ID --record FILE` wrote.")], json: Json = False
) -> None:
    """Check a finished dispute from its record, offline: signatures, seed and draw, commitments, votes, ruling."""
    from node.cli.dispute import verify

    _do(verify, None, None, file, json)


@offers.command("ls")
def offers_ls(home: Home = None, json: Json = False) -> None:
    """What is on offer now."""
    from node.cli.offers import ls

    _do(ls, home, None, json)


@offers.command("watch")
def offers_watch(home: Home = None, json_lines: JsonLines = False) -> None:
    """What comes on offer, changes and goes, as this node hears of it; ^C ends it."""
    from node.cli.offers import watch

    _do(watch, home, None, json_lines)


@app.command()
def doctor(home: Home = None, network: Network = None, json: Json = False) -> None:
    """Look over machine, data folder, network and running node; say what is wrong, and what mends it."""
    from node.cli.doctor import doctor as examine

    _do(examine, home, network, json)


@strategy.command("ls")
def strategy_ls(json: Json = False) -> None:
    """The built-in strategies, and those of installed packages."""
    from node.cli.strategy import ls

    _do(ls, None, None, json)


@strategy.command("new")
def strategy_new(name: Annotated[str, typer.Argument(help="What it is to be called.")]) -> None:
    """Write a strategy that works into the current folder, to be changed into your own."""
    from node.cli.strategy import new

    _do(new, None, None, name)


@strategy.command("test")
def strategy_test(
    reference: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="A name, ./file.py:Class, module:Class, exec:CMD.")
    ],
    json: Json = False,
) -> None:
    """Whether a strategy keeps the rules: loads, answers in time, stays within its mandate, makes deals."""
    from node.cli.strategy import test

    _do(test, None, None, reference, json)


@strategy.command("bench")
def strategy_bench(
    reference: Annotated[str, typer.Argument(metavar="STRATEGY", help="A name or reference.")],
    domains: Annotated[int, typer.Option(help="Random domains.", min=1, max=1000)] = 20,
    rounds: Annotated[int, typer.Option(help="Offers of each side.", min=2, max=200)] = 60,
    json: Json = False,
) -> None:
    """Measure a strategy against the built-in ones."""
    from node.cli.strategy import bench

    _do(bench, None, None, reference, domains, rounds, json)


@strategy.command("tournament")
def strategy_tournament(
    reference: Annotated[list[str] | None, typer.Argument(metavar="[STRATEGY]...", help="[the built-in ones]")] = None,
    domains: Annotated[int, typer.Option(help="Random domains.", min=1, max=1000)] = 10,
    rounds: Annotated[int, typer.Option(help="Offers of each side.", min=2, max=200)] = 60,
    picture: Annotated[Path | None, typer.Option(help="Write an SVG of a talk between the two best.")] = None,
    json: Json = False,
) -> None:
    """Everybody against everybody, from both sides: a leaderboard with confidence intervals."""
    from node.cli.strategy import tournament

    _do(tournament, None, None, reference or [], domains, rounds, picture, json)


def _do(command: Any, home: Path | None, network: str | None, *arguments: Any) -> None:
    from node.cli.ending import fail
    from node.config import load_config

    try:
        command(load_config(home, network), *arguments)
    except (UserError, KeyboardInterrupt, OSError) as error:
        fail(error)
