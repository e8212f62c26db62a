"""The image that testnets run: small, without rights, and the command line in it answers."""

from __future__ import annotations

import json

import pytest

from tests.helpers.testnets import IMAGE, docker, has_image

pytestmark = pytest.mark.skipif(
    not has_image(), reason="the image is not there: docker/build makes it, and .ci/run does"
)


def test_the_image_is_small_and_runs_as_nobody_special() -> None:
    told = json.loads(docker("image", "inspect", IMAGE))[0]
    assert told["Config"]["User"] == "10001:10001"
    assert told["Config"]["Healthcheck"]["Test"] == ["CMD", "healthy"]
    assert told["Size"] < 700 * 2**20
    said = docker("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/data", IMAGE, "--help")
    assert "testnet" in said
    assert docker("run", "--rm", "--network", "none", "--entrypoint", "id", IMAGE, "-u").strip() == "10001"
