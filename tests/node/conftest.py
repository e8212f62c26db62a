"""One network of separate processes for all tests that only use it, and people at terminals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.network import Network, open_network
from tests.helpers.processes import User, adopt_orphans, assert_gone, descendants


@pytest.fixture(scope="session", autouse=True)
def _adopting() -> None:
    adopt_orphans()


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Somebody with nothing configured; what their commands start must be gone at the end, and all they put away."""
    before = descendants()
    person = User(tmp_path / "user")
    yield person
    assert_gone(before)
    assert person.leftovers() == []


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two providers, a mediator and a client, each a process."""
    before = descendants()
    roles = {"provider_a": "provider", "provider_b": "provider", "judge": "mediator", "client": "client"}
    with open_network(tmp_path_factory.mktemp("network"), roles) as running:
        yield running
    assert_gone(before)
    for node in running.nodes.values():
        assert node.leftovers() == []
