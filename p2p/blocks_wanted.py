"""What one peer still wants of us: a bounded queue that forgets what was answered or taken back."""

from __future__ import annotations

from p2p.blocks_wire import Message, Want


class Wanted:
    """Wants in the order in which they came; the newest ones are refused when there are too many."""

    __slots__ = ("_room", "_wants", "refused")

    def __init__(self, room: int) -> None:
        self._room = room
        self._wants: dict[bytes, Want] = {}
        self.refused = 0
        """Wants that found no room: a peer that keeps within 1024, as others ask of each other, never meets this."""

    def hear(self, message: Message) -> None:
        """Take in a message's wants and cancels."""
        if message.all_wants:
            self._wants.clear()
        for want in message.wants:
            if want.cancel:
                self._wants.pop(want.name, None)
            elif want.name in self._wants or len(self._wants) < self._room:
                self._wants[want.name] = want
            else:
                self.refused += 1

    def next(self) -> Want | None:
        """The oldest want, which now counts as answered; None if there is none."""
        if not self._wants:
            return None
        return self._wants.pop(next(iter(self._wants)))

    def __len__(self) -> int:
        return len(self._wants)
