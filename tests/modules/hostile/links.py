"""Leaves something in /outputs that leads elsewhere, or that is no file."""

import os
import socket
import sys

match sys.argv[1]:
    case "file":
        os.symlink("/etc/shadow", "/outputs/link")
    case "folder":
        os.symlink("/", "/outputs/link")
    case "outputs":
        # The folder itself can't be replaced: it is a mount. Its neighbour is tried.
        os.symlink("../../..", "/outputs/outputs")
    case "pipe":
        os.mkfifo("/outputs/pipe")
    case "socket":
        socket.socket(socket.AF_UNIX).bind("/outputs/socket")
    case "name":
        open(b"/outputs/\xff\xfe", "w").close()
