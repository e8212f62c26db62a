"""What agents save, by the name under which a world writes it down and gives it back after a restart."""

from __future__ import annotations

from agents.job_creator import Wanted
from agents.juror_stages import Case
from agents.purchase_stages import Purchase
from agents.reputation import Standing
from agents.roll import Judged
from agents.sale import Sale
from agents.trust import Votes
from protocol.wire import name_of

SAVED: dict[str, type] = {name_of(kind): kind for kind in (Wanted, Purchase, Sale, Standing, Votes, Case, Judged)}
"""Every kind of state in a `Save`."""
