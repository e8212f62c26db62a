"""`offer.toml` says what a provider runs: executors, modules allowed or refused, and how it gets images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modules.catalogue import find
from modules.docker.images import ImagePolicy
from node.config import load_shop, load_trade
from node.errors import UserError
from node.executors import ChoosyShop, Trade
from node.repeatability import known, note, unrepeatable
from protocol.job import Job, Resources

COWSAY, PYTHON = find("cowsay:v0.1").digest, find("python:v1").digest


def job(module: str, executor: str) -> Job:
    return Job(module, "bafy", "bafy", executor, Resources(1000, 64, 64, 0, 0, 30), "exact", bytes(32))


def offer(tmp_path: Path, text: str) -> ChoosyShop:
    path = tmp_path / "offer.toml"
    path.write_text(text)
    shop = load_shop(path)
    assert isinstance(shop, ChoosyShop)
    return shop


def test_by_default_any_program_is_run_and_only_containers_whose_image_is_at_hand(tmp_path: Path) -> None:
    shop = offer(tmp_path, "")
    assert shop.sheet(job("sha256:unknown", "wasm"), "job") is not None
    assert shop.sheet(job(PYTHON, "docker"), "job") is None
    ready = replace(shop, containers=frozenset({PYTHON}))
    assert ready.sheet(job(PYTHON, "docker"), "job") is not None
    assert ready.sheet(job("sha256:unknown", "docker"), "job") is None


def test_only_what_is_allowed_is_run_and_never_what_is_denied(tmp_path: Path) -> None:
    shop = offer(tmp_path, '[modules]\nallow = ["cowsay:v0.1", "sha256:mine"]')
    assert shop.sheet(job(COWSAY, "wasm"), "job") is not None
    assert shop.sheet(job("sha256:mine", "docker"), "job") is not None
    assert shop.sheet(job("sha256:other", "wasm"), "job") is None
    shop = offer(tmp_path, '[modules]\ndeny = ["cowsay:v0.1"]')
    assert shop.sheet(job(COWSAY, "wasm"), "job") is None
    assert shop.sheet(job("sha256:other", "wasm"), "job") is not None


def test_a_price_names_its_module_as_people_do(tmp_path: Path) -> None:
    shop = offer(tmp_path, '[[prices]]\nmodule = "cowsay:v0.1"\nfloor = 5\n[[prices]]\nmodule = "*"\nfloor = 9')
    sheets = [shop.sheet(job(module, "wasm"), "job") for module in (COWSAY, "sha256:other")]
    assert [sheet.floor for sheet in sheets if sheet is not None] == [5, 9]


def test_executors_and_images_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "offer.toml"
    path.write_text('executors = ["docker"]\n[docker]\npull = false\nbuild_network = true\nbase = "mine:v1"')
    assert load_trade(path) == Trade(("docker",), images=ImagePolicy("mine:v1", False, True, True))
    assert load_trade(path, "wasm").executors == ("wasm",)
    assert load_trade(None) == Trade()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('executors = ["podman"]', "unknown executor 'podman'"),
        ('[modules]\nallow = ["cowsy:v0.1"]', "did you mean cowsay"),
        ("[modules]\nallows = []", "unknown keys allows"),
        ('[docker]\npull = "no"', "true or false"),
        ("docker = 1", "tables"),
    ],
)
def test_what_is_wrong_in_an_offer_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "offer.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        load_trade(path)


async def test_what_does_not_repeat_is_not_sold_as_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    steady, odd = find("cowsay:v0.1"), find("python:v1")
    assert await unrepeatable({}, [steady, odd], frozenset()) == set(), "nothing is known, so nothing is refused"
    note(steady.digest, repeats=False)
    assert known(steady.digest) is False
    assert await unrepeatable({}, [steady, odd], frozenset()) == {steady.digest}
    shop = offer(tmp_path, "")
    refusing = replace(shop, trade=replace(shop.trade, deny=frozenset({steady.digest})))
    assert refusing.sheet(job(steady.digest, "wasm"), "job") is None
    note(steady.digest, repeats=True)
    assert await unrepeatable({}, [steady, odd], frozenset()) == set()
