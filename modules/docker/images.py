"""Gets the image of a module: one that is pinned by digest or id, or one built from the module's own folder."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from modules.docker.engine import Engine, EngineFault, engine_faults
from modules.errors import ModuleFault
from modules.executor import MIB
from modules.module import Module

BASE: Final = "lilypad-base:bookworm"
"""What ``modules/images/make-base`` makes; handed to Dockerfiles as the build argument ``BASE`` where it is there."""
AI_BASE: Final = "lilypad-ai:v1"
"""What ``modules/images/make-ai-base`` makes; the build argument ``AI_BASE``."""
REPOSITORY: Final = "lilypad-module"
BUILD_SECONDS: Final = 1800.0
BUILD_MEMORY: Final = 2048 * MIB
_LOG_LINES: Final = 12


class ImageFault(ModuleFault):
    """An image that can't be had."""


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What a machine does to get an image."""

    base: str = BASE
    pull: bool = True
    """Whether images that are not here are fetched from their registry."""
    build: bool = True
    """Whether images are built from a module's own folder: its commands then run here as root of a container."""
    build_network: bool = False
    """Whether those commands reach the network."""
    ai_base: str = AI_BASE

    def is_large(self, module: Module) -> bool:
        """Whether a module's image takes gigabytes or minutes, as those do that are built on the AI modules' base."""
        return self.ai_base in self.bases(module).values()

    def bases(self, module: Module) -> dict[str, str]:
        """The base images that a module's Dockerfile takes by build arguments, by the argument's name."""
        file = module.build_files().get("Dockerfile")
        text = file.read_text(errors="replace") if file is not None else ""
        taken = re.findall(r"^\s*ARG\s+(AI_BASE|BASE)\b", text, re.MULTILINE | re.IGNORECASE)
        return {name: {"BASE": self.base, "AI_BASE": self.ai_base}[name.upper()] for name in dict.fromkeys(taken)}


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the engine has."""

    id: str
    """``sha256:…`` of its configuration."""
    volumes: tuple[str, ...]
    """Places that it declares as volumes."""


def ensure(engine: Engine, module: Module, policy: ImagePolicy, stop: threading.Event) -> Image:
    """Have the image of ``module``; blocks, for minutes where it must be pulled or built, until ``stop`` is set.

    Raises `ImageFault` and `EngineFault`.
    """
    docker = module.manifest.docker
    if docker is None:
        raise ImageFault(f"{module.manifest.reference} is not for the docker executor")
    if docker.image is not None:
        return _pinned(engine, docker.image, policy)
    return _built(engine, module, policy, stop)


def is_built(engine: Engine, module: Module, policy: ImagePolicy) -> bool:
    """Whether the image of a module that is built from its folder is here."""
    return look(engine, image_name(engine, module, policy)) is not None


def image_name(engine: Engine, module: Module, policy: ImagePolicy) -> str:
    """The tag under which the image built from this folder on this base is kept. Only we give such tags."""
    bases = [look(engine, base) for base in policy.bases(module).values()]
    seed = " ".join([module.build_digest, *(base.id if base is not None else "" for base in bases)])
    return f"{REPOSITORY}:{hashlib.sha256(seed.encode()).hexdigest()}"


def _pinned(engine: Engine, reference: str, policy: ImagePolicy) -> Image:
    name, _, pin = reference.rpartition("@")
    # A pulled image is known by NAME@DIGEST, one that was loaded or built here only by its id.
    found = look(engine, reference) or look(engine, pin)
    if found is not None:
        return found
    if not policy.pull:
        raise ImageFault(f"the image {reference} is not here, and this machine pulls none")
    with engine_faults(f"the image {reference} can't be pulled"):
        for line in engine.api.pull(name, tag=pin, stream=True, decode=True):
            if "error" in line:
                raise ImageFault(f"the image {reference} can't be pulled: {line['error']}"[:400])
    found = look(engine, reference)
    if found is None:
        raise ImageFault(f"the image {reference} was pulled and is not there")
    return found


def _built(engine: Engine, module: Module, policy: ImagePolicy, stop: threading.Event) -> Image:
    name = image_name(engine, module, policy)
    found = look(engine, name)
    if found is not None:
        return found
    if not policy.build:
        raise ImageFault(f"the image of {module.manifest.reference} is not here, and this machine builds none")
    files = module.build_files()
    if "Dockerfile" not in files:
        raise ImageFault(f"{module.manifest.reference} is built from its folder, but there is no Dockerfile in it")
    arguments = {name: base for name, base in policy.bases(module).items() if look(engine, base) is not None}
    with tempfile.TemporaryFile() as context:
        _pack(module, context)
        context.seek(0)
        _build(engine, name, context, arguments, policy, stop)
    found = look(engine, name)
    if found is None:
        raise ImageFault(f"the image of {module.manifest.reference} was built and is not there")
    return found


def _build(
    engine: Engine,
    name: str,
    context: IO[bytes],
    arguments: Mapping[str, str],
    policy: ImagePolicy,
    stop: threading.Event,
) -> None:
    until = time.monotonic() + BUILD_SECONDS
    said: list[str] = []
    fault = ""
    with engine_faults("the image can't be built"):
        lines = engine.api.build(
            fileobj=context,
            custom_context=True,
            tag=name,
            buildargs=dict(arguments),
            network_mode="default" if policy.build_network else "none",
            container_limits={"memory": BUILD_MEMORY, "memswap": BUILD_MEMORY},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=BUILD_SECONDS,
        )
        for line in lines:
            # Leaving the loop drops the connection, and with it the engine drops the build.
            if stop.is_set():
                raise EngineFault("the building was broken off")
            if time.monotonic() > until:
                raise ImageFault(f"building took longer than {BUILD_SECONDS:g} s")
            said = [*said, *_texts(line)][-_LOG_LINES:]
            if "error" in line:  # the last it says; read to its end, the stream closes its connection
                fault = f"the Dockerfile fails: {' | '.join(said)}"[-1500:]
    if fault:
        raise ImageFault(fault)


def _texts(line: Mapping[str, Any]) -> list[str]:
    text = str(line.get("stream") or line.get("error") or "").strip()
    return [text[:400]] if text else []


def _pack(module: Module, context: IO[bytes]) -> None:
    """The build folder as a tar file with nothing in it but names and contents, as the digest counts them."""
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, place in module.build_files().items():
            data = place.read_bytes()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))


def look(engine: Engine, reference: str) -> Image | None:
    """The image of this name or id, if the engine has it. Raises `EngineFault`."""
    from docker.errors import ImageNotFound, NotFound

    with engine_faults(f"the image {reference} can't be looked at"):
        try:
            found = engine.api.inspect_image(reference)
        except (ImageNotFound, NotFound):
            return None
    return Image(str(found["Id"]), tuple(sorted((found.get("Config") or {}).get("Volumes") or {})))
