"""Writes one file that is larger than all files together may be."""

with open("/outputs/large", "wb") as file:
    file.truncate(1 << 45)
