"""Counts the words of its first argument."""

import sys
from pathlib import Path

words = len(sys.argv[1].split())
print(f"{words} words")
Path("/outputs/words.txt").write_text(f"{words}\n")  # what lies here in the end is part of the result
