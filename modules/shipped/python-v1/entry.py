"""Runs the job's script as ``python3 script ARGUMENTS`` would, in a folder where it may write."""

import os
import runpy
import sys

# By lines, so that they can be followed. Unbuffered, Python would lose the rest of a line that a pipe takes in parts.
sys.stdout.reconfigure(line_buffering=True)
os.chdir("/outputs")
sys.argv[0] = "/inputs/script"
sys.path[0] = "/inputs"
runpy.run_path(sys.argv[0], run_name="__main__")
