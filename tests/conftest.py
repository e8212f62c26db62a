"""What holds for every test."""

import os
import sys

# Commands under test are processes, hundreds of them: where compiled code is kept off the disk, each would compile the
# whole house again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
