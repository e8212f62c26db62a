"""A manifest is read strictly, and each way to get it wrong is told with its file, its line and its cure."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.errors import ManifestError
from modules.manifest import Input, Manifest, Pricing, Resources, Verification, Wasm, digest
from modules.manifest_parser import MAX_MANIFEST_BYTES, parse

GOOD = """\
name = "cowsay"
version = "v0.1"
summary = "A cow says it"
executor = "wasm"
primary_input = "message"

[inputs.message]
type = "string"
default = "moo"

[wasm]
program = "cowsay.wasm"
args = ["${message}"]

[resources]
memory_mib = 16

[pricing]
units = ["job"]

[verification]
compare = "exact"
"""

DOCKER = """\
name = "sdxl"
version = "v0.9-lilypad1"
summary = "Pictures"
executor = "docker"
primary_input = "prompt"
inputs.prompt.type = "string"

[docker]
image = "example/sdxl@sha256:0123"
command = ["python3", "/app/run.py"]
env = { PROMPT = "${prompt}" }

[resources]
gpus = 1
vram_mib = 16384
"""


def test_a_manifest_is_read_with_its_defaults() -> None:
    assert parse(GOOD.encode()) == Manifest(
        name="cowsay",
        version="v0.1",
        summary="A cow says it",
        executor="wasm",
        primary_input="message",
        inputs={"message": Input(types=("string",), default="moo")},
        wasm=Wasm(program="cowsay.wasm", args=("${message}",)),
        resources=Resources(cpu=1.0, memory_mib=16, disk_mib=64, gpus=0, vram_mib=0, timeout_s=30),
        pricing=Pricing(("job",)),
        verification=Verification("exact", 0.0),
    )


def test_a_container_manifest_is_read() -> None:
    manifest = parse(DOCKER.encode())
    assert manifest.docker is not None
    assert manifest.docker.env == (("PROMPT", "${prompt}"),)
    assert manifest.resources.gpus == 1
    assert manifest.reference == "sdxl:v0.9-lilypad1"


# What is replaced in GOOD, by what, the line that the error must name, and words that it must hold.
WRONG = [
    ('name = "cowsay"', 'name = "Cow Say"', 1, ['"Cow Say"', "lower-case"]),
    ('name = "cowsay"\n', "", 0, ["name is missing", 'add name = "…"']),
    ('name = "cowsay"', "name = 7", 1, ["name must be text"]),
    ('summary = "A cow says it"', 'summary = ""', 3, ["summary is empty"]),
    ('version = "v0.1"', 'version = "0.1"', 2, ['"0.1"', '"v" and a number']),
    ('executor = "wasm"', 'executor = "wsm"', 4, ["one of wasm, docker", "did you mean wasm?"]),
    ('executor = "wasm"', 'executor = "docker"', 4, ["no [docker] table"]),
    ('executor = "wasm"', 'executor = "wasm"\ndocker = { image = "x" }', 5, ["remove one of them"]),
    ('primary_input = "message"', 'primary_input = "mesage"', 5, ["not declared", "did you mean message?"]),
    ("[inputs.message]", "[input.message]", 5, ["primary_input", "not declared"]),
    ('primary_input = "message"', 'sumary = "x"', 5, ["sumary is unknown", "did you mean summary?"]),
    ('primary_input = "message"', 'zzz = "x"', 5, ["zzz is unknown; remove it"]),
    ('type = "string"', 'type = "strng"', 8, ["[inputs.message]", "did you mean string?"]),
    ('type = "string"\n', "", 7, ["type is missing", "directory"]),
    ('type = "string"', 'type = ["string", "file"]', 8, ['only ["file", "directory"] go together']),
    ('type = "string"', 'type = ["file", "file"]', 8, ["twice"]),
    ('type = "string"', "type = []", 8, ["empty"]),
    ('type = "string"', 'type = "int"', 9, ["default must be of type int"]),
    ('type = "string"', 'type = "file"', 9, ["optional = true"]),
    ('default = "moo"', "default = 1979-05-27", 9, ["default must be of type string"]),
    ('default = "moo"', 'default = "moo"\noptional = true', 10, ["remove it"]),
    ('default = "moo"', 'optional = "yes"', 9, ["optional must be true or false"]),
    ('default = "moo"', 'defualt = "moo"', 9, ["defualt is unknown", "did you mean default?"]),
    ("[inputs.message]", '[inputs."1 2"]\ntype="int"\n[inputs.message]', 7, ["no name for an input"]),
    ('program = "cowsay.wasm"\n', "", 11, ["program is missing"]),
    ('program = "cowsay.wasm"', 'program = "../cowsay.wasm"', 12, ["inside the module's folder"]),
    ('program = "cowsay.wasm"', 'program = "/bin/sh"', 12, ["inside the module's folder"]),
    ('program = "cowsay.wasm"', 'program = "./cowsay.wasm"', 12, ["inside the module's folder"]),
    ('program = "cowsay.wasm"', 'program = "${program}"', 12, ['"program", which is not declared']),
    ('program = "cowsay.wasm"', 'program = "${message}"', 12, ['must then have type = "file"']),
    ('program = "cowsay.wasm"', 'program = "cowsay.wasm"\nstdin = "message"', 13, ["must be one input"]),
    ('program = "cowsay.wasm"', 'program = "cowsay.wasm"\nenv = { A = "b" }', 13, ["env is unknown"]),
    ('args = ["${message}"]', 'args = ["${mesage}"]', 13, ["did you mean message?"]),
    ('args = ["${message}"]', 'args = "${message}"', 13, ["must be a list of texts"]),
    ('args = ["${message}"]', "args = [1]", 13, ["must be a list of texts"]),
    ('args = ["${message}"]', 'args = ["\\u0000"]', 13, ["zero byte"]),
    ("memory_mib = 16", "memory_mib = 0", 16, ["from 1 to 4096"]),
    ("memory_mib = 16", "memory_mib = 5000", 16, ["from 1 to 4096"]),
    ("memory_mib = 16", "memory_mib = 16.5", 16, ["must be a whole number"]),
    ("memory_mib = 16", "memory_mib = true", 16, ["must be a whole number"]),
    ("memory_mib = 16", "memory_mib = '16'", 16, ["must be a whole number"]),
    ("memory_mib = 16", "cpu = inf", 16, ["must be a number"]),
    ("memory_mib = 16", "cpu = 0", 16, ["from 0.01 to 1024"]),
    ("memory_mib = 16", "gpus = 1", 16, ["can't be had"]),
    ("memory_mib = 16", "timeout_s = -1", 16, ["from 1 to"]),
    ("memory_mib = 16", "memory = 16", 16, ["memory is unknown", "did you mean memory_mib?"]),
    ("[resources]\nmemory_mib = 16\n", "", 0, []),
    ('units = ["job"]', 'units = ["hour"]', 19, ['has "hour"', "gigafuel"]),
    ('units = ["job"]', "units = []", 19, ["empty"]),
    ('compare = "exact"', 'compare = "exactly"', 22, ["did you mean exact?"]),
    ('compare = "exact"', 'compare = "exact"\ntolerance = 0.5', 23, ["makes no sense"]),
    ('compare = "exact"', 'compare = "numeric"\ntolerance = -1', 23, ["from 0.0"]),
    ('compare = "exact"', 'compare = "image"\ntolerance = 5', 23, ["to 1.0"]),
    ('compare = "exact"', 'compare = "numeric"\ntolerance = 1e308', 23, ["to 1.0"]),
    ('compare = "exact"', 'compare = "text"\ntolerance = 1.0', 23, ["any result agrees"]),
    ("[wasm]", "[wasm", 11, ["is not TOML"]),
    ("[wasm]", "[wasm]\n[wasm]", 12, ["is not TOML"]),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_manifest_is_refused_at_its_line(old: str, new: str, line: int, words: list[str]) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if not words:
        parse(text.encode())
        return
    with pytest.raises(ManifestError) as caught:
        parse(text.encode(), where="cow/module.toml")
    message = str(caught.value)
    assert message.startswith(f"cow/module.toml:{line}: " if line else "cow/module.toml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("example/sdxl@sha256:0123", "example/sdxl:latest", ["pin it"]),
        ('image = "example/sdxl@sha256:0123"\n', "", ["either image or build"]),
        ('image = "', 'build = "."\nimage = "', ["either image or build"]),
        ('image = "example/sdxl@sha256:0123"', 'build = "../x"', ["inside the module's folder"]),
        ("${prompt}", "${promt}", ["did you mean prompt?"]),
        ('{ PROMPT = "${prompt}" }', "{ PROMPT = 1 }", ["table of texts"]),
        ("env = {", "user = {", ["user is unknown"]),
        ("{ PROMPT =", '{ "A=B" =', ["letters, digits"]),
        ('"${prompt}" }', '"a\\u0000b" }', ["zero byte"]),
    ],
)
def test_a_wrong_container_manifest_is_refused(old: str, new: str, words: list[str]) -> None:
    assert old in DOCKER
    with pytest.raises(ManifestError) as caught:
        parse(DOCKER.replace(old, new, 1).encode())
    for word in words:
        assert word in str(caught.value)


def test_what_is_no_text_or_too_large_or_too_deep_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"module\.toml:2: is not UTF-8"):
        parse(b'name = "cow"\nversion = "\xff"\n')
    with pytest.raises(ManifestError, match="larger than"):
        parse(b"#" * (MAX_MANIFEST_BYTES + 1))
    with pytest.raises(ManifestError):
        parse(b"a = " + b"[" * 100_000)
    with pytest.raises(ManifestError, match="number in it is too long"):
        parse(b"a = " + b"1" * 5000)
    with pytest.raises(ManifestError, match="larger than"):
        parse(b".".join([b"a"] * 50_000) + b" = 1")


def test_the_slowest_manifest_that_is_let_in_takes_no_time() -> None:
    line = b".".join([b"a"] * 200) + b" = 1\n"
    started = time.perf_counter()
    with pytest.raises(ManifestError):
        parse(b"".join(b"k%d." % number + line for number in range(150)))
    assert time.perf_counter() - started < 2
    with pytest.raises(ManifestError, match=r":1: has more than 200 dots"):
        parse(b".".join([b"a"] * 10_000) + b" = 1")


def test_the_digest_follows_meaning_and_programs_but_not_the_writing() -> None:
    programs = {"cowsay.wasm": "sha256:" + "0" * 64}
    first = digest(parse(GOOD.encode()), programs)
    assert first.startswith("sha256:")
    assert len(first) == 71
    rewritten = (
        GOOD.replace("[resources]\nmemory_mib = 16\n", "") + "\n[resources]  # later\nmemory_mib = 16\ncpu = 1\n"
    )
    assert digest(parse(rewritten.encode()), programs) == first
    assert digest(parse(GOOD.encode()), {"cowsay.wasm": "sha256:" + "1" * 64}) != first
    assert digest(parse(GOOD.replace("16", "17").encode()), programs) != first
    with pytest.raises(KeyError):
        digest(parse(GOOD.encode()), {})


def test_the_digest_is_the_hash_that_the_documents_describe() -> None:
    programs = {"cowsay.wasm": "sha256:" + "0" * 64}
    described = {
        "executor": "wasm",
        "inputs": {"message": {"default": "moo", "optional": False, "types": ["string"]}},
        "name": "cowsay",
        "pricing": {"units": ["job"]},
        "primary_input": "message",
        "resources": {
            "cpu": 1.0,
            "disk_mib": 64,
            "gpus": 0,
            "memory_mib": 16,
            "timeout_s": 30,
            "vram_mib": 0,
        },
        "summary": "A cow says it",
        "verification": {"compare": "exact", "tolerance": 0.0},
        "version": "v0.1",
        "wasm": {"args": ["${message}"], "program": "sha256:" + "0" * 64},
    }
    expected = "sha256:" + hashlib.sha256(msgpack.packb(described)).hexdigest()
    assert digest(parse(GOOD.encode()), programs) == expected


FRAGMENTS = st.lists(
    st.sampled_from([*GOOD.splitlines(), *DOCKER.splitlines(), "x = [1, {y = 2}]", "[inputs]", "[[wasm]]"])
)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(str.encode), FRAGMENTS.map(lambda x: "\n".join(x).encode())
    )
)
def test_no_bytes_make_the_parser_fail_in_another_way(data: bytes) -> None:
    with suppress(ManifestError):
        parse(data)
