"""The two roots of every error in the house: somebody else's fault, or our own.

A peer's fault is expected: it is scored, the peer is cut if it goes on, and the node continues. Our own misuse is a bug
and is never caught on the way up, so that a test sees it.
"""

from __future__ import annotations


class PeerFault(Exception):
    """Something that came from outside breaks a rule; the sender is to blame, the node goes on."""


class Misuse(Exception):
    """This program called a part of itself in a way it must not; never caught, so that it is loud."""


class Malformed(PeerFault):
    """Bytes that can't be read as what they claim to be."""


class OutOfTurn(PeerFault):
    """A message that the state of its conversation does not allow."""

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"{type(event).__name__} is out of turn in state {type(state).__name__}")
        self.state = state
        self.event = event


class NotSigned(PeerFault):
    """A signature that is missing, malleable, or somebody else's."""
