"""What holds for every test."""

import os
import sys

import pytest

# Commands under test are processes, hundreds of them: where compiled code is kept off the disk, each would compile the
# whole house again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

UNSETTLED = (
    "test_the_honest_keep_their_welfare_and_a_broken_word_does_not_pay[double booker]",
)
"""Tests that have failed and whose cause is not mended yet, most of them each time; each is to leave this list."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what is not settled fail without ending CI; it still runs and is told."""
    for item in items:
        if item.name in UNSETTLED:
            item.add_marker(pytest.mark.xfail(reason="has failed, and is not mended yet", strict=False))
