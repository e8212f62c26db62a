"""Runs the job's script as ``python3 script.py ARGUMENTS`` would, in a folder where it may write."""

import os
import sys

os.chdir("/outputs")
os.execv(sys.executable, [sys.executable, "-u", "/inputs/script", *sys.argv[1:]])
