"""For tests and testnets only: a node that cheats where ``LILYPAD_DISHONEST`` says so; nothing else reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.dishonest.accuser import Accuser
from agents.dishonest.agreer import Agreer
from agents.dishonest.colluder import Colluder
from agents.dishonest.copier import Copier
from agents.dishonest.defaulter import Defaulter
from agents.dishonest.double_booker import DoubleBooker
from agents.dishonest.guesser import Guesser
from agents.dishonest.late import Late
from agents.dishonest.liar import Liar
from agents.dishonest.phantom import Phantom
from agents.dishonest.sleeper import Sleeper
from agents.dishonest.starver import Starver
from agents.dishonest.vanisher import Vanisher
from agents.job_creator import JobCreator
from agents.mediator import Mediator
from agents.provider import Provider
from content.adding import add_path
from content.blocks import Blocks
from content.cid import Cid, Codec
from node.errors import ExitCode, UserError
from node.parsing import parse_address
from protocol.identity import Address

PROVIDERS = ("liar", "phantom", "hoarder", "vanisher", "late", "double-booker")
MEDIATORS = ("copier", "guesser", "sleeper", "agreer", "colluder")
BUYERS = ("accuser", "defaulter", "starver")
COPIES = 3
"""How often a double booker sells its machine."""
KINDS = (*PROVIDERS, *MEDIATORS, *BUYERS)

DishonestProvider = Liar | Phantom | Vanisher | Late | DoubleBooker
DishonestMediator = Copier | Guesser | Sleeper | Agreer | Colluder
DishonestBuyer = Accuser | Defaulter | Starver
Dishonest = DishonestProvider | DishonestMediator | DishonestBuyer


@dataclass(frozen=True, slots=True)
class Habit:
    """How a node cheats."""

    kinds: frozenset[str] = frozenset()
    """At most one for each of its roles."""
    friends: frozenset[Address] | None = None
    """Providers with which a colluder is in league; None: with all."""


HONEST = Habit()


def read_habit(environment: Mapping[str, str]) -> Habit:
    """What ``LILYPAD_DISHONEST`` and ``LILYPAD_FRIENDS`` (addresses joined by commas) say; raises `UserError`."""
    kinds = frozenset(filter(None, environment.get("LILYPAD_DISHONEST", "").split(",")))
    friends = filter(None, environment.get("LILYPAD_FRIENDS", "").split(","))
    if not kinds <= frozenset(KINDS) or any(
        len(kinds & frozenset(role)) > 1 for role in (PROVIDERS, MEDIATORS, BUYERS)
    ):
        text = environment["LILYPAD_DISHONEST"]
        raise UserError(
            ExitCode.USAGE,
            f"LILYPAD_DISHONEST={text}",
            f"choose one for each role from {', '.join(KINDS)}, or unset it",
        )
    return Habit(kinds, frozenset(parse_address(each, "LILYPAD_FRIENDS") for each in friends) or None)


def _of(habit: Habit, kinds: tuple[str, ...]) -> str:
    return next((kind for kind in kinds if kind in habit.kinds), "")


def corrupted_provider(habit: Habit, honest: Callable[[], Provider], blocks: Blocks) -> Provider | DishonestProvider:
    """A provider as it is, or one that cheats."""
    match _of(habit, PROVIDERS):
        case "liar":
            return Liar(honest(), _forger(blocks))
        case "phantom":
            return Phantom(honest(), runs=False)
        case "hoarder":
            return Phantom(honest(), runs=True)
        case "vanisher":
            return Vanisher(honest())
        case "late":
            return Late(honest())
        case "double-booker":
            return DoubleBooker([honest() for _ in range(COPIES)])
        case _:
            return honest()


def corrupted_mediator(habit: Habit, honest: Mediator, blocks: Blocks) -> Mediator | DishonestMediator:
    """The mediator as it is, or one that cheats."""
    match _of(habit, MEDIATORS):
        case "copier":
            return Copier(honest)
        case "guesser":
            return Guesser(honest)
        case "sleeper":
            return Sleeper(honest)
        case "agreer":
            return Agreer(honest)
        case "colluder":
            return Colluder(honest, habit.friends, _forger(blocks))
        case _:
            return honest


def corrupted_buyer(habit: Habit, honest: JobCreator) -> JobCreator | DishonestBuyer:
    """The job creator as it is, or one that cheats."""
    match _of(habit, BUYERS):
        case "accuser":
            return Accuser(honest)
        case "defaulter":
            return Defaulter(honest)
        case "starver":
            return Starver(honest, lambda job: str(Cid.of(Codec.RAW, b"nobody has this: " + job)))
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
