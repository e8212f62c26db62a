"""The rules of the market, pure: what is offered, signed, owed and decided; nothing here waits or does I/O."""
