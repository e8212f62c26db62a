"""Bad input gets one clear message and its exit code, and leaves nothing behind: no process, no file, no lock."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from node.keys import new_key
from tests.helpers.network import Network, save_cheap_key
from tests.helpers.processes import User, end_process, finish, wait_until
from tests.helpers.programs import busy, program, write_module


def refused(user: User, code: int, *arguments: object) -> str:
    """Run a command that must end with this code and one complaint, nothing on stdout; gives all of stderr."""
    ended = user.inside(*arguments)
    assert ended.code == code, (ended.code, ended.err)
    assert ended.complaint
    assert ended.out == ""
    assert user.leftovers() == []
    return ended.err


# --- what is wrong before anything starts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing:v1", "hello"), "nothing:v1"),
        (("cowsay:v9", "hello"), "cowsay:v9"),
        (("./nowhere",), "nowhere"),
        (("cowsay:v0.1", "-i", "colour=red"), "colour"),
        (("cowsay:v0.1", "-i", "message"), "NAME=VALUE"),
        (("cowsay:v0.1", "hello", "-i", "message=twice"), "message"),
        (("cowsay:v0.1", "--input-file", "message=/nowhere"), "message"),
        (("wasm:v1",), "program"),
        (("wasm:v1", "--input-file", "program=/nowhere.wasm"), "/nowhere.wasm"),
        (("wasm:v1", "--input-file", "program=/etc/hostname", "-i", "args=no list"), "args"),
        (("cowsay:v0.1", "hello", "--max-price", "1.5"), "--max-price"),
        (("cowsay:v0.1", "hello", "--max-price", "-3"), "--max-price"),
        (("cowsay:v0.1", "hello", "--check", "2"), "--check"),
        (("cowsay:v0.1", "hello", "--timeout", "0"), "--timeout"),
        (("cowsay:v0.1", "hello", "--strategy", "generous"), "generous"),
        (("cowsay:v0.1", "hello", "-o", "."), "exists already"),
        (("cowsay:v0.1", "hello", "--network", "moonbase"), "moonbase"),
    ],
)
def test_what_can_be_seen_at_once_is_refused_at_once(user: User, arguments: tuple[str, ...], said: str) -> None:
    code = 9 if "moonbase" in arguments else 2  # where no node of that network works
    assert said in refused(user, code, "run", *arguments)


def test_a_place_that_can_not_be_written_is_refused_before_anything_is_bought(user: User) -> None:
    (user.here / "file").write_text("")
    for place in ("file/result", "deep/" + "x" * 300, "/proc/result"):
        said = refused(user, 2, "run", "cowsay:v0.1", "hello", "-o", place)
        assert "no result can be written to" in said
        assert "with -o" in said
    assert not (user.here / "deep").exists()


@pytest.mark.parametrize("arguments", [("run",), ("run", "cowsay:v0.1", "--colour"), ("fly",), ("jobs", "show")])
def test_what_is_no_command_is_a_usage_error(user: User, arguments: tuple[str, ...]) -> None:
    ended = user.inside(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage:" in ended.err
    assert "Traceback" not in ended.err


def test_a_module_folder_without_sense_is_refused(user: User) -> None:
    folder = write_module(user.here / "odd", program("say"))
    (folder / "module.toml").write_text("name = [[[")
    assert "module.toml" in refused(user, 2, "run", "./odd")
    (folder / "module.toml").write_bytes(b"\xff\xfe\x00garbage")
    refused(user, 2, "run", "./odd")
    (folder / "module.toml").unlink()
    refused(user, 2, "run", "./odd")


@pytest.mark.parametrize("garbage", ["name = [[[", "\x00", "network = 7\n[networks]\nx = 1", 'networks = "none"'])
def test_garbage_in_the_configuration_is_refused(user: User, garbage: str) -> None:
    (user.here / "lilypad.toml").write_text(garbage)
    (user.folder / "config" / "lilypad").mkdir()
    error = refused(user, 2, "node", "start", "--network", "x")
    assert "lilypad.toml" in error or "networks" in error


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ("[[prices", "can't be read"),
        ("[[prices]]\nfloor = -1", "floor"),
        ("[[prices]]\nfloor = 10\nask = 5", "ask"),
        ("[[prices]]\nfloor = 10\ncolour = 5", "colour"),
        ("prices = 7", "prices"),
        ("[capacity]\ncpu = 'many'", "cpu"),
        ("[capacity]\nmemory_mib = 1e99", "memory_mib"),
        ("mediators = ['0x12']", "0x12"),
        ("colour = 'red'", "colour"),
    ],
)
def test_an_offer_without_sense_is_refused(user: User, offer: str, said: str) -> None:
    (user.here / "lilypad.toml").write_text(_SOMEWHERE)
    (user.here / "offer.toml").write_text(offer)
    error = refused(user, 2, "node", "start", "--network", "moon", "--role", "provider", "--offer", "offer.toml")
    assert said in error


_SOMEWHERE = f'[networks.moon]\nrpc = "http://127.0.0.1:9/"\nvault = "0x{"11" * 20}"\nbootstrap = []\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--role", "king"), "king"),
        (("--strategy", "generous"), "generous"),
        (("--offer", "no.toml", "--role", "provider"), "no.toml"),
        (("--listen", "somewhere"), "somewhere"),
        (("--http", "nowhere"), "--http"),
    ],
)
def test_a_node_refuses_what_it_cannot_do(user: User, arguments: tuple[str, ...], said: str) -> None:
    (user.here / "lilypad.toml").write_text(_SOMEWHERE)
    save_cheap_key(new_key(), user.home / "key.json")
    ended = user.lilypad("node", "start", "--network", "moon", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.complaint


def test_a_first_peer_without_a_name_is_refused(user: User) -> None:
    (user.here / "lilypad.toml").write_text(_SOMEWHERE)
    save_cheap_key(new_key(), user.home / "key.json")
    ended = user.lilypad("node", "start", "--network", "moon", "--bootstrap", "/ip4/127.0.0.1/tcp/1")
    assert (ended.code, ended.out) == (2, "")
    assert "/ip4/127.0.0.1/tcp/1" in ended.complaint


def test_a_node_without_a_network_is_told_to_name_one(user: User) -> None:
    assert "--network" in refused(user, 2, "node", "start")


@pytest.mark.parametrize("table", ["rpc = 'x'", "vault = '0x12'\nrpc = 'x'", "rpc='x'\nvault='v'\nchain_id = -4"])
def test_a_network_that_is_not_all_there_is_refused(user: User, table: str) -> None:
    (user.here / "lilypad.toml").write_text(f"[networks.half]\n{table}\n")
    refused(user, 2, "node", "start", "--network", "half")


# --- keys and chain -------------------------------------------------------------------------------------------------


def test_a_key_that_is_missing_closed_open_to_others_or_damaged_has_its_own_code(user: User) -> None:
    (user.here / "lilypad.toml").write_text(_SOMEWHERE)
    start = ("node", "start", "--network", "moon")
    assert "lilypad wallet new" in refused(user, 8, *start)
    assert "lilypad wallet new" in refused(user, 8, "wallet", "show")

    file = user.home / "key.json"
    save_cheap_key(new_key(), file)
    user.environment = {"LILYPAD_PASSPHRASE": "wrong"}
    assert "passphrase" in refused(user, 8, *start)
    user.environment = {}

    file.chmod(0o644)
    assert f"chmod 600 {file}" in refused(user, 8, *start)
    file.chmod(0o600)
    refused(user, 8, "wallet", "new")  # never overwrites
    file.write_text('{"version": 3')
    assert "can't be read" in refused(user, 8, *start)
    file.write_text("[]")
    refused(user, 8, *start)


def test_a_chain_that_does_not_answer_has_its_own_code(user: User) -> None:
    (user.here / "lilypad.toml").write_text(_SOMEWHERE)
    save_cheap_key(new_key(), user.home / "key.json")
    assert "127.0.0.1:9" in refused(user, 9, "node", "start", "--network", "moon")
    refused(user, 9, "wallet", "deposit", 5, "--network", "moon")
    refused(user, 9, "wallet", "show", "--network", "moon")


def test_a_chain_with_another_number_is_refused(user: User, network: Network) -> None:
    text = (network.nodes["client"].here / "lilypad.toml").read_text().replace("chain_id = 1337", "chain_id = 1338")
    (user.here / "lilypad.toml").write_text(text)
    save_cheap_key(new_key(), user.home / "key.json")
    assert "1338" in refused(user, 9, "node", "start")


def test_commands_that_need_a_node_say_how_to_start_one(user: User) -> None:
    for command in (("node", "status"), ("jobs", "ls"), ("offers", "ls"), ("jobs", "get", "00"), ("node", "stop")):
        assert "lilypad node start" in refused(user, 9, *command)


# --- jobs that come to nothing --------------------------------------------------------------------------------------


def test_a_price_below_every_floor_finds_no_agreement(network: Network) -> None:
    ended = network.run("cowsay:v0.1", "hello", "--max-price", "5", "--json")
    assert ended.code == 4
    assert "--max-price" in ended.err
    assert ended.complaint
    document = ended.document
    assert (document["outcome"], document["deal"], document["price"]["paid"]) == ("NO_AGREEMENT", None, "0")


@pytest.mark.parametrize("resources", ["memory_mib = 4096", "cpu = 512.0"])
def test_a_job_too_big_for_everybody_finds_no_offer(network: Network, tmp_path: Path, resources: str) -> None:
    module = write_module(tmp_path / "big", program("say"), resources)
    ended = network.run(module, "--json", "--timeout", "2")
    assert ended.code == 3, ended.err
    assert ended.complaint
    assert ended.document["outcome"] == "NO_OFFER"


def test_a_job_for_machines_that_nobody_has_finds_no_offer(network: Network, tmp_path: Path) -> None:
    folder = tmp_path / "gpu"
    folder.mkdir()
    (folder / "module.toml").write_text(
        'name = "gpu"\nversion = "v1"\nsummary = "a test"\nexecutor = "docker"\n'
        f'[docker]\nimage = "example/gpu@sha256:{"ab" * 32}"\ncommand = ["true"]\n'
        "[resources]\ngpus = 1\nvram_mib = 16000\nmemory_mib = 65536\n"
    )
    ended = network.run(folder, "--json", "--timeout", "2")
    assert (ended.code, ended.document["outcome"]) == (3, "NO_OFFER"), ended.err
    assert "no offer fits this job" in ended.complaint


@pytest.mark.parametrize(
    ("habit", "resources", "exit_code", "said"),
    [
        ("trap", "timeout_s = 5", 134, "trapped"),
        ("spin", "timeout_s = 1", None, "out_of_"),
        ("eat", "memory_mib = 2\ntimeout_s = 5", 134, "2 MiB"),
        ("flood", "disk_mib = 1\ntimeout_s = 20", 153, "output_too_large"),
        ("seven", "timeout_s = 5", 7, "exit code 7"),
    ],
)
def test_a_module_that_misbehaves_fails_with_its_own_exit_code_and_is_paid_for(
    network: Network, tmp_path: Path, habit: str, resources: str, exit_code: int | None, said: str
) -> None:
    module = write_module(tmp_path / habit, program(habit), resources)
    ended = network.run(module, "--json", "--check", "0")
    assert ended.code == 5, ended.err
    assert said in ended.complaint
    document = ended.document
    assert document["outcome"] == "FAILED"
    assert document["result"]["exit_code"] == exit_code or exit_code is None
    assert document["price"]["paid"] == document["price"]["agreed"]  # the work was done as it was ordered
    assert len(ended.out) < 2_000_000
    wait_until(lambda: network.nodes["client"].money()["locked"] == 0, 5, "money stays locked")


def test_more_than_there_is_in_the_vault_is_not_even_tendered(network: Network) -> None:
    money = network.nodes["client"].money()
    ended = network.run("cowsay:v0.1", "hello", "--max-price", money["free"], "--json")
    assert ended.code == 8
    assert "lilypad wallet deposit" in ended.err
    assert ended.document["outcome"] == "NO_FUNDS"
    assert ended.document["chain"]["transactions"] == []


def test_a_check_that_this_machine_can_not_make_is_refused_before_anything_is_bought(network: Network) -> None:
    client = network.nodes["client"]
    free = client.money()["free"]
    ended = network.run("cowsay:v0.1", "hello", "--check", "1", "--check-by", "self")
    assert (ended.code, ended.out) == (2, "")
    assert "no wasm executor" in ended.err
    assert "--check-by mediators" in ended.err
    assert client.money()["free"] == free


def test_a_node_that_sells_only_cannot_buy(network: Network) -> None:
    ended = network.run("cowsay:v0.1", "hello", by="provider_a")
    assert ended.code == 2
    assert "--role client" in ended.err


def test_time_that_runs_out_has_its_own_code_and_the_deal_goes_on(network: Network, tmp_path: Path) -> None:
    module = write_module(tmp_path / "slow", busy(4_000_000_000))
    ended = network.run(module, "--json", "--timeout", "2", "--check", "0")
    assert ended.code == 7, ended.err
    document = ended.document
    assert document["outcome"] == "TIMED_OUT"
    assert f"lilypad jobs resume {document['job']}" in ended.err
    got = network.nodes["client"].lilypad("jobs", "resume", document["job"], "--json")
    assert (got.code, got.document["result"]["stdout"]) == (0, "done\n")


def test_a_result_that_can_not_be_saved_is_not_lost_and_what_was_paid_is_said(network: Network) -> None:
    client = network.nodes["client"]
    process = client.start("run", "cowsay:v0.1", "hello", "--check", "0", "-o", "later/result")
    assert process.stderr is not None
    assert "haggling with 2 providers" in process.stderr.readline()
    (client.here / "later").write_text("somebody put a file there")
    ended = finish(process)
    (client.here / "later").unlink()
    assert ended.code == 2
    (job,) = [each["job"] for each in client.stories()][:1]
    paid = client.job(job)["price"]["paid"]
    assert f"paid {paid} for job {job}" in ended.complaint
    assert f"lilypad jobs get {job} -o" in ended.err
    assert client.lilypad("jobs", "get", job, "-o", "later/result").code == 0


def test_an_unknown_job_is_told_so(network: Network) -> None:
    for command in ("show", "get", "resume", "cancel"):
        ended = network.nodes["client"].lilypad("jobs", command, "ab" * 16)
        assert (ended.code, ended.out) == (2, "")
        assert "no such job" in ended.complaint
    assert network.nodes["client"].lilypad("jobs", "show", "../../etc").code == 2


def test_a_second_node_is_kept_off_a_folder_in_use(network: Network) -> None:
    ended = network.nodes["provider_a"].lilypad("node", "start")
    assert ended.code == 2
    assert "another lilypad process works in" in ended.complaint
    assert network.nodes["provider_a"].api("/api/v1/status")["roles"] == ["provider"]


# --- alone on this machine ------------------------------------------------------------------------------------------


def test_two_runs_at_once_in_one_folder(user: User) -> None:
    first = user.start("run", "cowsay:v0.1", "hello")
    wait_until((user.home / "lock").exists, 60, "it takes the lock first")
    time.sleep(0.2)
    second = user.lilypad("run", "cowsay:v0.1", "hello")
    assert second.code == 2
    assert "another lilypad process works in" in second.complaint
    assert finish(first).code == 0


def test_a_market_that_is_not_ready_in_time_is_put_away(user: User) -> None:
    ended = user.lilypad("run", "cowsay:v0.1", "hello", "--timeout", "0.5")
    assert ended.code == 7
    assert "--timeout" in ended.err
    assert "local market" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["starting", "haggling", "running"])
def test_an_interrupted_run_puts_everything_away(user: User, stage: str, number: signal.Signals) -> None:
    write_module(user.here / "slow", busy(20_000_000_000), "timeout_s = 60")
    process = user.start("run", "./slow")
    assert process.stderr is not None
    said = {"starting": "starting a market", "haggling": "haggling with", "running": "runs it"}[stage]
    for line in process.stderr:
        if said in line:
            break
    process.send_signal(number)
    ended = finish(process, 15)
    assert ended.code == 130, ended.err
    assert ended.complaint == "lilypad: interrupted"
    assert "the local market and all that was in it are gone" in ended.err
    assert not list(user.home.glob("results/*"))


def test_an_interrupted_run_on_a_node_leaves_the_deal_alone(network: Network, tmp_path: Path) -> None:
    node = network.nodes["client"]
    process = node.start("run", write_module(tmp_path / "slow", busy(3_000_000_000)), "--check", "0")
    assert process.stderr is not None
    for line in process.stderr:
        if "runs it" in line:
            break
    process.send_signal(signal.SIGINT)
    ended = finish(process, 15)
    assert ended.code == 130
    job = node.stories()[0]["job"]
    assert f"lilypad jobs resume {job}" in ended.err
    got = node.lilypad("jobs", "resume", job)
    assert (got.code, got.out) == (0, "done\n")


def test_a_node_that_dies_during_a_run_is_reported(network: Network, tmp_path: Path) -> None:
    node = network.nodes["client"]
    process = node.start("run", write_module(tmp_path / "slow", busy(3_000_000_000)), "--check", "0")
    assert process.stderr is not None
    for line in process.stderr:
        if "runs it" in line:
            break
    node.kill()
    ended = finish(process, 15)
    assert ended.code == 9
    assert ended.complaint
    node.begin("--role", "client")
    job = node.stories()[0]["job"]
    got = node.lilypad("jobs", "resume", job, timeout=60)
    assert (got.code, got.out) == (0, "done\n"), got.err


def test_a_market_can_be_ended_at_any_moment_of_its_start(user: User) -> None:
    for pause in (0.9, 1.2, 1.5, 1.8):
        process = user.start("run", "cowsay:v0.1", "hello")
        time.sleep(pause)
        end_process(process, signal.SIGTERM)
        assert process.returncode == 130
