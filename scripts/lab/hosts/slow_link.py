"""A slow, lossy cable, for kernels without netem: passes Ethernet frames between two devices.

Run as `python -m lab.hosts.slow_link HOST_SIDE SWITCH_SIDE DELAY_S LOSS`. As netem on the host
would, it delays and loses what the host sends; what the host receives passes at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress

ETH_P_ALL = 0x0003
SIOCETHTOOL = 0x8946
TX_CHECKSUMS, SCATTER_GATHER, TSO, GSO = 0x17, 0x19, 0x1F, 0x24
"""What `ethtool -K` calls tx, sg, tso and gso (linux/ethtool.h)."""
FRAME_MAX = 1 << 16


def turn_off_offloads(device: str) -> None:
    """Make a device send whole frames with real checksums, which a relay can pass on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for feature in (TSO, GSO, TX_CHECKSUMS, SCATTER_GATHER):
            value = ctypes.create_string_buffer(struct.pack("II", feature, 0))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(control, SIOCETHTOOL, request.ljust(40, b"\0"))


def relay(host_side: str, switch_side: str, delay_s: float, loss: float) -> None:
    """Pass frames until this process is ended."""
    rng = random.Random(7)  # noqa: S311 - lost frames, not secrets
    host, switch = _open(host_side), _open(switch_side)
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([host, switch], [], [], pause)
        if switch in ready and (frame := _receive(switch)):
            _send(host, frame)
        if host in ready and (frame := _receive(host)) and rng.random() >= loss:
            waiting.append((time.monotonic() + delay_s, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _send(switch, waiting.popleft()[1])


def _open(device: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.bind((device, 0))
    return end


def _receive(end: socket.socket) -> bytes:
    """Return a frame that came in, nothing for one that this process sent itself."""
    frame, address = end.recvfrom(FRAME_MAX)
    return b"" if address[2] == socket.PACKET_OUTGOING else frame


def _send(end: socket.socket, frame: bytes) -> None:
    with suppress(OSError):  # a full queue loses frames, as a cable's does
        end.send(frame)


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
