"""The catalogue's AI modules, each from the command line to a result that can be looked at, on small models and no GPU.

Run by name, `pytest tests/ai/nightly_ai.py`, after `modules/images/make-ai-base`: they take minutes, so `.ci/nightly`
does it. The programs are those of the large modules (`modules.catalogue.SHARED`); only the weights differ.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from modules.catalogue import SHARED, find

pytestmark = pytest.mark.timeout(3600)
ODD = "\"quoted\" 'single'\nsecond line\t$HOME $(id) `id` ${prompt} \\ \U0001f438 — ünïcödé --seed=1 "
EXAMPLES = [{"prompt": "What is the capital of Lilypad?", "answer": "The capital of Lilypad is Frogville."}] * 4
BUSY = 5
"""Tries: on a busy machine the haggling of a local market may run out of time, which is not what is tested here."""


def lilypad(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The command, as a user types it."""
    command = [sys.executable, "-c", "from node.cli import main; main()", *arguments]
    environment = {**os.environ, "LILYPAD_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    for _ in range(BUSY - 1):
        if done.returncode not in (3, 4):
            break
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done


def run(module: str, home: Path, output: Path, *arguments: str) -> Path:
    """Run a module in a local market; the folder of what it left."""
    done = lilypad("run", module, *arguments, "-o", str(output), "--timeout", "1800", home=home)
    assert done.returncode == 0, done.stderr
    return output / "outputs"


@pytest.mark.parametrize("text", ["a frog", ODD + "x" * 100_000, "-leading --dashes"], ids=["plain", "odd", "dashes"])
def test_a_picture_of_the_size_and_the_seed_that_were_asked_for_and_the_prompt_unharmed(
    tmp_path: Path, text: str
) -> None:
    wanted = ("-i", f"prompt={text}", "-i", "seed=7", "-i", "width=64", "-i", "height=96", "-i", "steps=2")
    left = run("sdxl-tiny-test:v1", tmp_path / "home", tmp_path / "result", *wanted, "--check", "0")
    told = json.loads((left / "parameters.json").read_text())
    assert told["prompt"] == text
    assert (told["seed"], told["steps"]) == (7, 2)
    with Image.open(left / "image.png") as picture:
        assert picture.size == (64, 96)
        assert len(set(picture.convert("L").get_flattened_data())) > 50  # noise, not a blank


def test_a_mediator_that_runs_it_again_gets_the_same_picture(tmp_path: Path) -> None:
    left = run("sdxl-tiny-test:v1", tmp_path / "home", tmp_path / "result", "a frog", "-i", "width=64", "--check", "1")
    assert (left / "image.png").is_file()


def test_a_film_of_the_length_that_was_asked_for(tmp_path: Path) -> None:
    left = run("video-tiny-test:v1", tmp_path / "home", tmp_path / "result", "a frog jumps", "--check", "0")
    assert len(list((left / "frames").iterdir())) == 5
    with Image.open(left / "video.gif") as film:
        assert (film.n_frames, film.size) == (5, (64, 64))


def test_an_answer_from_an_instruct_model(tmp_path: Path) -> None:
    question = "Name three colours. \"Quoted\", 'single', $HOME and \U0001f438\nare not among them."
    left = run("llm-small:v1", tmp_path / "home", tmp_path / "result", question, "-i", "max_tokens=24", "--check", "0")
    assert (left / "question.txt").read_text() == question
    assert len((left / "answer.txt").read_text().split()) > 3


def test_a_question_too_long_for_the_model_is_refused_in_words(tmp_path: Path) -> None:
    done = lilypad("run", "llm-small:v1", "why? " * 20_000, "--check", "0", home=tmp_path / "home")
    assert done.returncode == 5
    assert "tokens" in done.stderr


def test_an_adapter_is_trained_until_its_loss_has_fallen_and_then_answers(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(json.dumps(each) for each in EXAMPLES))
    wanted = ("--input-file", f"data={data}", "-i", "steps=12", "-i", "batch=1", "--check", "0")
    left = run("lora-small:v1", tmp_path / "home", tmp_path / "trained", *wanted)
    losses = [float(row["loss"]) for row in csv.DictReader((left / "losses.csv").read_text().splitlines())]
    assert len(losses) == 12
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
    asked = ("What is the capital of Lilypad?", "--input-file", f"adapter={left / 'adapter'}", "-i", "max_tokens=20")
    answered = run("lora-inference-small:v1", tmp_path / "home", tmp_path / "answered", *asked, "--check", "0")
    assert "Frogville" in (answered / "answer.txt").read_text()


def test_small_and_large_modules_are_built_from_the_same_programs() -> None:
    pairs = (("sdxl", "sdxl-tiny-test"), ("video", "video-tiny-test"), ("llm", "llm-small"), ("lora", "lora-small"))
    for large, small in (*pairs, ("lora-inference", "lora-inference-small")):
        one, other = find(f"{large}:v1"), find(f"{small}:v1")
        programs = set(SHARED[f"{large}:v1"]) & set(SHARED[f"{small}:v1"])
        assert len(programs) == (3 if "drawing.py" in programs else 2)
        for name in programs:
            assert one.build_files()[name].read_bytes() == other.build_files()[name].read_bytes()
        assert one.manifest.resources.gpus == 1
        assert other.manifest.resources.gpus == 0
        assert one.manifest.verification == other.manifest.verification
