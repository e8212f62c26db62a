"""A chain for one machine: py-evm behind JSON-RPC on loopback, with a clock that tests can move."""
