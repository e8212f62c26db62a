"""The other world for the same agents: virtual time, seeded faults, a ledger that is the vault's exact model."""
