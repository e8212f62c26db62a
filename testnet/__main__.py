"""``python -m testnet``: the whole ``lilypad`` command, for whoever starts it with an interpreter of their own."""

from testnet.cli import main

main()
