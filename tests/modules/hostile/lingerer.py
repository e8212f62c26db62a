"""Leaves a process behind that holds the output open and takes no signals."""

import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)
print("gone")
