"""Gives an image that one engine has to others: those of a cluster that has no registry."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from modules.docker.engine import Engine, engine_faults, find_engine
from modules.docker.images import Image, look


@contextlib.contextmanager
def engines(urls: Sequence[str]) -> Iterator[tuple[Engine, ...]]:
    """The engines at these addresses. Blocks for seconds; raises `EngineFault` where one does not answer."""
    with contextlib.ExitStack() as stack:
        found = []
        for url in urls:
            found.append(find_engine(url))
            stack.callback(found[-1].close)
        yield tuple(found)


def spread(image: Image, source: Engine, targets: Sequence[Engine]) -> None:
    """Copy an image to each that lacks it; blocks, for minutes where it is large. Raises `EngineFault`."""
    for target in targets:
        if look(target, image.id) is None:
            with engine_faults(f"the image {image.id} can't be copied to a machine of the cluster"):
                for _ in target.api.load_image(source.api.get_image(image.id)):
                    pass
