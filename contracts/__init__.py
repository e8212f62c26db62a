"""The chain: the vault's source and bytecode, its client, and what sends transactions that never get lost."""
