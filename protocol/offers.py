"""What peers tell everybody by gossip: resource offers, mediator offers and job offers, signed and short-lived.

An offer replaces the earlier ones of its author by a higher serial; a withdrawal is the same with nothing on sale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol.identity import Address
from protocol.job import Capacity, Job
from protocol.types import Amount, Large, Limit, Moment, Party, Text

RESOURCE_OFFERS = "/lilypad/1/resource-offers"
JOB_OFFERS = "/lilypad/1/job-offers"

Addresses = Annotated[tuple[Text, ...], Limit(8)]
Mediators = Annotated[tuple[Party, ...], Limit(64)]


@dataclass(frozen=True, slots=True)
class VaultRef:
    """A vault that somebody accepts."""

    chain_id: Large
    address: Party


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit of one kind of module is offered for; the start of the haggling, not its end."""

    module: Text
    """A module's digest, or ``*`` for every module."""
    unit: Text
    amount: Amount


@dataclass(frozen=True, slots=True)
class ResourceOffer:
    """A provider sells runs on its machine."""

    provider: Party
    serial: Large
    expires: Moment
    addresses: Addresses
    """Multiaddrs where it can be dialled, each with its peer id."""
    capacity: Capacity
    executors: Annotated[tuple[Text, ...], Limit(8)]
    isolation: Annotated[tuple[Text, ...], Limit(8)]
    """The class of each executor, in their order: how far a job is kept from the machine (`protocol.isolation`)."""
    prices: Annotated[tuple[Price, ...], Limit(64)]
    mediators: Mediators
    """Those it trusts; empty: any."""
    vaults: Annotated[tuple[VaultRef, ...], Limit(8)]

    @property
    def author(self) -> Address:
        return self.provider

    def isolation_of(self, executor: str) -> str:
        """The class that jobs of this executor run under; empty where it is not said."""
        return dict(zip(self.executors, self.isolation, strict=False)).get(executor, "")


@dataclass(frozen=True, slots=True)
class MediatorOffer:
    """A mediator re-runs jobs and judges."""

    mediator: Party
    serial: Large
    expires: Moment
    addresses: Addresses
    capacity: Capacity
    executors: Annotated[tuple[Text, ...], Limit(8)]
    fee: Amount
    """For one re-run."""
    vaults: Annotated[tuple[VaultRef, ...], Limit(8)]

    @property
    def author(self) -> Address:
        return self.mediator


@dataclass(frozen=True, slots=True)
class JobOffer:
    """A job creator looks for a machine; what it would pay stays its own."""

    creator: Party
    serial: Large
    expires: Moment
    job: Job
    vaults: Annotated[tuple[VaultRef, ...], Limit(8)]

    @property
    def author(self) -> Address:
        return self.creator


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Everything that this author had on offer, up to this serial, is withdrawn."""

    author: Party
    serial: Large
    expires: Moment


Offer = ResourceOffer | MediatorOffer | JobOffer | Withdrawal


def topic_of(offer: Offer) -> str:
    """The gossip topic that an offer belongs to."""
    return JOB_OFFERS if isinstance(offer, JobOffer) else RESOURCE_OFFERS
