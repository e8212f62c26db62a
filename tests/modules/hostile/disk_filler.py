"""Fills /outputs with one file after the other."""

import itertools

for number in itertools.count():
    with open(f"/outputs/{number}", "wb") as file:
        file.write(b"\1" * (1 << 20))
