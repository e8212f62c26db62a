"""The rules of the market, pure: what is offered, signed, owed and decided; nothing here waits, reads a clock or does I/O."""
