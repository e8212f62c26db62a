"""Starts processes until none can be started, and none of them ever ends."""

import os
import time

while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
    except OSError:
        time.sleep(0.01)
