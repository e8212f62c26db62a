"""``python -m testnet.delayer QUEUE SECONDS``: lets each packet of a netfilter queue go on after a time.

Speaks NETLINK_NETFILTER by itself (linux/netfilter/nfnetlink_queue.h): binds the queue, asks for packets' ids only, and
gives each its verdict when its time has come. Runs where it has NET_ADMIN, until it is ended.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections import deque

_NETLINK_NETFILTER = 12
_SUBSYS_QUEUE = 3
_PACKET, _VERDICT, _CONFIG = 0, 1, 2
_CFG_CMD, _CFG_PARAMS, _CFG_MAXLEN = 1, 2, 3
_BIND, _COPY_META = 1, 1
_PACKET_HDR, _VERDICT_HDR = 1, 2
_ACCEPT = 1
_NLM_REQUEST = 1
_MOST_WAITING = 20_000
"""Packets that the kernel keeps for us; more are dropped by it."""


def main(queue: int, delay: float) -> None:
    """Delay for ever."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as line:
        line.bind((0, 0))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        line.send(_message(_CONFIG, queue, _attribute(_CFG_CMD, struct.pack("!BxH", _BIND, socket.AF_INET))))
        line.send(_message(_CONFIG, queue, _attribute(_CFG_PARAMS, struct.pack("!IB", 0, _COPY_META))))
        line.send(_message(_CONFIG, queue, _attribute(_CFG_MAXLEN, struct.pack("!I", _MOST_WAITING))))
        waiting: deque[tuple[float, int]] = deque()
        while True:
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            if select.select([line], [], [], pause)[0]:
                due = time.monotonic() + delay
                waiting.extend((due, packet) for packet in _packets(_receive(line)))
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, packet = waiting.popleft()
                line.send(_message(_VERDICT, queue, _attribute(_VERDICT_HDR, struct.pack("!II", _ACCEPT, packet))))


def _receive(line: socket.socket) -> bytes:
    try:
        return line.recv(1 << 20)
    except OSError:  # the kernel had more to say than the buffer holds: those packets are lost, as on a busy line
        return b""


def _packets(data: bytes) -> list[int]:
    """The ids of the packets that a datagram of the kernel tells of."""
    found = []
    while len(data) >= 20:
        length, kind = struct.unpack_from("=IH", data)
        if length < 16 or length > len(data):
            break
        if kind == _SUBSYS_QUEUE << 8 | _PACKET:
            body = data[20:length]
            while len(body) >= 4:
                size, name = struct.unpack_from("=HH", body)
                if size < 4:
                    break
                if name & 0x7FFF == _PACKET_HDR:
                    found.append(struct.unpack_from("!I", body, 4)[0])
                body = body[(size + 3) & ~3 :]
        data = data[(length + 3) & ~3 :]
    return found


def _message(kind: int, queue: int, attributes: bytes) -> bytes:
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, queue) + attributes
    return struct.pack("=IHHII", 16 + len(body), _SUBSYS_QUEUE << 8 | kind, _NLM_REQUEST, 0, 0) + body


def _attribute(name: int, content: bytes) -> bytes:
    padding = -len(content) % 4
    return struct.pack("=HH", 4 + len(content), name) + content + bytes(padding)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
