"""Runs the job's script as ``python3 script ARGUMENTS`` would, in a folder where it may write."""

import io
import os
import runpy
import sys

# By lines, so that they can be followed. Unbuffered, Python would lose the rest of a line that a pipe takes in parts.
assert isinstance(sys.stdout, io.TextIOWrapper)
sys.stdout.reconfigure(line_buffering=True)
os.chdir("/outputs")
sys.argv[0] = "/inputs/script"
sys.path[0] = "/inputs"
runpy.run_path(sys.argv[0], run_name="__main__")
