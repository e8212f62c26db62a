"""`lilypad run` from the command line: its document, its repeatability, programs of one's own, where results go."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.strategies.built_in import BUILT_IN
from tests.helpers.network import Network
from tests.helpers.processes import User
from tests.helpers.programs import program, write_module

SHAPE = {
    "job": str,
    "deal": str,
    "module": {"name": str, "version": str, "digest": str},
    "provider": str,
    "price": {"agreed": str, "per": str, "paid": str},
    "rounds": int,
    "result": {"cid": str, "path": str, "stdout": str, "stderr": str, "exit_code": int, "fuel": int},
    "verification": {"mode": str, "checked": bool, "mediators": list, "verdict": str},
    "money": {"locked": {"ours": str, "provider": str, "bond": str}, "still_locked": dict, "check_fees": str},
    "chain": {"id": int, "vault": str, "transactions": list, "gas": int},
    "milliseconds": dict.fromkeys(
        ("discover", "negotiate", "guarantee", "execute", "fetch", "verify", "total"), (int, float)
    ),
}
"""What INTERFACES promises; more may stand there."""

COUNTER = """
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
int main(int argc, char **argv) {
    char line[200], path[300];
    int verbose = argc > 1 && !strcmp(argv[1], "-v");
    const char *folder = argv[argc - 1];
    snprintf(path, sizeof path, "%s/words.txt", folder);
    FILE *in = fopen(path, "r"), *out;
    if (!in) { perror(path); return 3; }
    int lines = 0;
    while (fgets(line, sizeof line, in)) { lines++; if (verbose) fprintf(stderr, "read %s", line); }
    out = fopen("/outputs/count", "w");
    fprintf(out, "%d", lines);
    fclose(out);
    printf("%d lines\\n", lines);
    return 0;
}
"""


def check_shape(found: Any, shape: Any, place: str = "") -> None:
    """Fails where ``found`` lacks something of ``shape``, or has it in another type."""
    if isinstance(shape, Mapping):
        for name, inner in shape.items():
            assert name in found, f"{place}.{name} is missing"
            check_shape(found[name], inner, f"{place}.{name}")
    else:
        assert isinstance(found, shape), f"{place} is {found!r}"


def test_a_run_with_nothing_configured_prints_the_document_and_leaves_only_its_result(user: User) -> None:
    ended = user.lilypad("run", "cowsay:v0.1", "hello", "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    check_shape(document, SHAPE)
    assert document["outcome"] == "DONE"
    assert "< hello >" in document["result"]["stdout"]
    assert (document["result"]["exit_code"], document["result"]["stderr"]) == (0, "")
    assert document["verification"] == document["verification"] | {"checked": True, "verdict": "accepted"}
    assert len(document["verification"]["mediators"]) == 1
    assert document["provider"] not in document["verification"]["mediators"]

    # measured, not made up: every phase took time, their sum is the total, gas is the sum of what was sent
    times = dict(document["milliseconds"])
    total = times.pop("total")
    assert abs(sum(times.values()) - total) < 1
    assert all(times[phase] > 0 for phase in ("negotiate", "guarantee", "execute", "fetch", "verify"))
    assert total / 1000 < ended.seconds
    sent = document["chain"]["transactions"]
    assert [each["call"] for each in sent] == ["open", "settle"]
    assert document["chain"]["gas"] == sum(each["gas"] for each in sent) > 60_000
    assert document["price"]["paid"] == document["price"]["agreed"] != "0"
    assert document["result"]["fuel"] > 1000
    money = document["money"]
    assert int(money["locked"]["ours"]) > int(document["price"]["paid"])
    assert int(money["locked"]["provider"]) > int(document["price"]["paid"])
    assert (money["locked"]["bond"], money["still_locked"]["ours"], money["ruling"]) == ("0", "0", None)

    # what it says is on disk, is
    place = Path(document["result"]["path"])
    assert place.is_relative_to(user.home)
    assert (place / "stdout").read_text() == document["result"]["stdout"]
    assert (place / "exit_code").read_text().strip() == "0"
    left = {path.relative_to(user.home).parts[0] for path in user.home.rglob("*")}
    assert left == {"results", "lock"}


def test_the_same_job_twice_gives_the_same_cid_and_fuel(network: Network) -> None:
    documents = [network.run("cowsay:v0.1", "again", "--json", "--check", "1").document for _ in range(2)]
    assert [each["outcome"] for each in documents] == ["DONE", "DONE"]
    first, second = (each["result"] for each in documents)
    assert (first["cid"], first["fuel"]) == (second["cid"], second["fuel"])
    assert documents[0]["job"] != documents[1]["job"]
    assert documents[0]["deal"] != documents[1]["deal"]
    assert all(each["verification"]["checked"] for each in documents)


def test_a_program_of_ones_own_works_on_a_folder_of_ones_own(network: Network, tmp_path: Path) -> None:
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        pytest.skip("needs clang, lld and wasi-libc to compile C for WASI")
    source, wasm = tmp_path / "count.c", tmp_path / "count.wasm"
    source.write_text(COUNTER)
    subprocess.run(["clang", "--target=wasm32-wasi", "-O1", "-o", wasm, source], check=True)
    data = tmp_path / "folder"
    data.mkdir()
    (data / "words.txt").write_text("one\ntwo\nthree\n")
    output = tmp_path / "out"
    args = 'args=["-v","/inputs/data"]'
    ended = network.run(
        "wasm:v1", "--input-file", f"program={wasm}", "--input-file", f"data={data}", "-i", args, "-o", output, "--json"
    )
    assert ended.code == 0, ended.err
    result = ended.document["result"]
    assert result["stdout"] == "3 lines\n"
    assert result["stderr"] == "read one\nread two\nread three\n"
    assert result["path"] == str(output)
    assert (output / "outputs" / "count").read_text() == "3"
    assert (output / "stdout").read_text() == "3 lines\n"


def test_a_program_built_elsewhere_runs_and_speaks_to_people_without_json(network: Network, tmp_path: Path) -> None:
    wasm = tmp_path / "say.wasm"
    wasm.write_bytes(program("say"))
    output = tmp_path / "deeper" / "out"
    ended = network.run("wasm:v1", "--input-file", f"program={wasm}", "-o", output)
    assert (ended.code, ended.out) == (0, "done\n"), ended.err
    assert "agreed with" in ended.err
    assert f"the result is in {output}" in ended.err
    assert (output / "stdout").read_text() == "done\n"


def test_a_module_folder_is_run_by_its_path(network: Network, tmp_path: Path) -> None:
    ended = network.run(write_module(tmp_path / "mine", program("say")), "--json")
    document = ended.document
    assert (ended.code, document["outcome"]) == (0, "DONE")
    assert document["module"]["name"] == "habit"
    assert document["module"]["digest"].startswith("sha256:")


def test_a_dry_run_only_shows_what_is_on_offer(network: Network) -> None:
    before = len(network.nodes["client"].stories())
    ended = network.run("cowsay:v0.1", "hello", "--dry-run", "--json")
    assert ended.code == 0
    assert sorted(offer["kind"] for offer in ended.document) == ["mediator", "provider", "provider"]
    assert len(network.nodes["client"].stories()) == before


@pytest.mark.parametrize("strategy", sorted(BUILT_IN))
def test_whom_the_user_chose_haggles_for_the_job(network: Network, strategy: str) -> None:
    document = network.run("cowsay:v0.1", strategy, "--strategy", strategy, "--json").document
    assert document["outcome"] == "DONE"
    assert int(document["price"]["agreed"]) >= 800


def test_a_fixed_price_asks_less_often_than_one_who_holds_out(network: Network) -> None:
    rounds = {
        name: network.run("cowsay:v0.1", name, "--strategy", name, "--json").document["rounds"]
        for name in ("fixed", "boulware")
    }
    assert rounds["fixed"] < rounds["boulware"], rounds


def test_json_goes_to_stdout_alone(network: Network) -> None:
    ended = network.run("cowsay:v0.1", "quiet", "--json")
    assert ended.err == ""
    assert json.loads(ended.out)["outcome"] == "DONE"
