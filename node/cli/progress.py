"""What a user sees while a job goes on: a line an event, on stderr."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO


class Progress:
    """Prints events as people would tell them; nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line."""
        if self._quiet:
            return
        moment = f"{time.monotonic() - self._began:6.2f} s"
        shown = f"\033[2m{moment}\033[0m" if self._colours else moment
        print(f"{shown}  {printable(text)}", file=sys.stderr, flush=True)

    def event(self, event: dict[str, Any]) -> None:
        """One event of a job's story."""
        text = tell(event)
        if text:
            self.say(text)


def tell(event: dict[str, Any]) -> str:
    """An event in a few words; empty where people need not hear of it."""
    match event["event"]:
        case "tendering":
            return f"haggling with {counted(len(event['contacted']), 'provider')}"
        case "agreed":
            price = f"{event['rate']} per {event['per']}"
            price += "" if event["per"] == "job" else f", {event['pay']} at most"
            return f"agreed with {short(event['provider'])}: {price}, after {event['rounds']} proposals"
        case "locked":
            return "both guarantees are locked in the vault"
        case "running":
            return "the provider has the inputs and runs it"
        case "arrived":
            return f"result {event['cid']}" + (f" ({event['failure']})" if event["failure"] else "")
        case "held":
            return "every block fetched and verified"
        case "checked" if event["verdict"] == "accepted":
            who = f"mediator {short(event['mediators'][0])}" if event["mediators"] else "this machine"
            return f"re-run by {who}: {event['reason']}"
        case "checked":
            return f"{event['verdict']}: {event['reason']}"
        case "dispute":
            claimed = f"; the provider signed {event['claimed']}" if "claimed" in event else ""
            return f"{event['kind']} before the vault: {event['reason']}{claimed} (deal {event['deal']})"
        case "jury":
            title = "the appeal's jury" if event["round"] else "the jury"
            return f"{title}, seated by the chain: {', '.join(map(short, event['jurors']))}"
        case "vote":
            # a copier says so too: whether its commitment opens to it is what `dispute verify` looks at
            own = f"; it says that its own run gave {event['own']}" if event.get("own") else ""
            return f"juror {short(event['juror'])} voted {event['ruling']}{own}"
        case "ruling":
            rest = "final" if event["final"] else "may still be appealed"
            return f"ruled {event['ruling']}, {rest}"
        case "noted":
            return str(event["text"])
        case "transaction":
            return f"transaction {event['call']}: {event['gas']:,} gas"
    return ""


def still_locked(document: dict[str, Any]) -> str:
    """What a dispute that goes on after its job keeps locked; empty where none does."""
    if document["outcome"] == "RUNNING" or document["dispute"] is None or document["dispute"]["final"]:
        return ""
    money = document.get("money")
    locked = f"; {money['still_locked']['ours']} of ours are locked until then" if money else ""
    return f"its dispute goes on{locked}: `lilypad jobs show {document['job']}`"


def won_or_lost(ruling: dict[str, Any]) -> str:
    """What a ruling has won us or cost us, beside the pay."""
    said = []
    for what in ("won", "lost"):
        if ruling[what] is None:
            return "what it won or lost after an appeal is not known here"
        least, most = ruling[what]["least"], ruling[what]["most"]
        if most != "0":
            said.append(
                f"{what} {most}" if least == most else f"{what} {least} to {most}, as jurors are paid out of it"
            )
    if not said:
        return "nothing won or lost beside the pay"
    return ", ".join(said) if ruling["final"] else f"{', '.join(said)}, unless it is appealed"


def printable(text: object) -> str:
    """One line of a terminal, whoever wrote it: what ends the line, moves the cursor or turns the text is escaped.

    Reasons, names and CIDs come from peers; raw, one of them could write lines that look like ours.
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in str(text)
    )


def pass_on(text: str, stream: TextIO) -> None:
    """What a job wrote: as it is into a file or pipe, and what would command a terminal escaped where one reads it."""
    if text and stream.isatty():
        text = "\n".join(printable(line.replace("\t", "    ")) for line in text.rstrip("\n").split("\n")) + "\n"
    stream.write(text)
    stream.flush()


def counted(many: int, what: str) -> str:
    """So many of something: ``1 vote``, ``2 votes``."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def short(peer: str) -> str:
    """A peer id that fits a line."""
    return f"{peer[:8]}…{peer[-6:]}" if len(peer) > 16 else peer
