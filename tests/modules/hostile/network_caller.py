"""Looks for somebody to talk to: the host by every address it may have, a name server, the cloud's own address."""

import os
import socket
import sys

print("interfaces", sorted(os.listdir("/sys/class/net")))
port = int(sys.argv[1])
for host in ("127.0.0.1", "172.17.0.1", "host.docker.internal", "169.254.169.254", "1.1.1.1"):
    try:
        socket.create_connection((host, port), timeout=0.5)
    except OSError as error:
        print("no", type(error).__name__)
    else:
        print("REACHED", host)
