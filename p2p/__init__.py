"""The network: a libp2p host that strangers can't break, spoken to in the house's own events."""
