"""For tests and testnets only: a node that cheats where ``LILYPAD_DISHONEST`` says so; nothing else reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.dishonest.copier import Copier
from agents.dishonest.double_booker import DoubleBooker
from agents.dishonest.guesser import Guesser
from agents.dishonest.late import Late
from agents.dishonest.liar import Liar
from agents.dishonest.phantom import Phantom
from agents.dishonest.sleeper import Sleeper
from agents.dishonest.vanisher import Vanisher
from agents.mediator import Mediator
from agents.provider import Provider
from content.adding import add_path
from content.blocks import Blocks
from node.errors import ExitCode, UserError

PROVIDERS = ("liar", "phantom", "hoarder", "vanisher", "double-booker", "late")
MEDIATORS = ("copier", "guesser", "sleeper")
KINDS = (*PROVIDERS, *MEDIATORS)
COPIES = 3
"""How often a double booker sells its machine."""

DishonestProvider = Liar | Phantom | Vanisher | DoubleBooker | Late
DishonestMediator = Copier | Guesser | Sleeper


def check_kind(kind: str) -> str:
    """A kind of cheat, or empty; raises `UserError`."""
    if kind and kind not in KINDS:
        raise UserError(ExitCode.USAGE, f"LILYPAD_DISHONEST={kind}", f"choose from {', '.join(KINDS)}, or unset it")
    return kind


def corrupted_provider(kind: str, honest: Callable[[], Provider], blocks: Blocks) -> Provider | DishonestProvider:
    """A provider as it is, or one that cheats."""
    match kind:
        case "liar":
            return Liar(honest(), _forger(blocks))
        case "phantom":
            return Phantom(honest(), runs=False)
        case "hoarder":
            return Phantom(honest(), runs=True)
        case "vanisher":
            return Vanisher(honest())
        case "double-booker":
            return DoubleBooker([honest() for _ in range(COPIES)])
        case "late":
            return Late(honest())
        case _:
            return honest()


def corrupted_mediator(kind: str, honest: Mediator) -> Mediator | DishonestMediator:
    """A mediator as it is, or one that cheats."""
    match kind:
        case "copier":
            return Copier(honest)
        case "guesser":
            return Guesser(honest)
        case "sleeper":
            return Sleeper(honest)
        case _:
            return honest


def _forger(blocks: Blocks) -> Callable[[bytes], str]:
    def forge(deal: bytes) -> str:
        with TemporaryDirectory() as folder:
            (Path(folder) / "stdout").write_text(f"trust me: {deal.hex()}\n")
            (Path(folder) / "stderr").write_text("")
            (Path(folder) / "exit_code").write_text("0\n")
            (Path(folder) / "outputs").mkdir()
            return str(add_path(Path(folder), blocks))

    return forge
