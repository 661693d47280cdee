# SPDX-License-Identifier: Apache-2.0
"""What ethtool(8) shows of an interface: driver, offloads, queues, ring sizes.  Reads only.

The layouts are linux/ethtool.h's.  A driver that cannot say something answers EOPNOTSUPP: None.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from typing import NamedTuple

_SIOCETHTOOL = 0x8946
_GDRVINFO, _GRINGPARAM, _GSTRINGS, _GSSET_INFO = 0x03, 0x10, 0x1B, 0x37
_GFEATURES, _GCHANNELS = 0x3A, 0x3C
_FEATURE_NAMES, _NAME = 4, 32


class Amount(NamedTuple):
    now: int
    most: int


def driver(interface: str) -> str:
    """`mlx5_core`; empty where nobody says."""
    answer = _ask(interface, struct.pack("=I", _GDRVINFO), 196)
    return answer[4:36].split(b"\0")[0].decode(errors="replace") if answer else ""


def rx_queues(interface: str) -> Amount | None:
    """Receive queues: those of their own and those shared with transmission."""
    answer = _ask(interface, struct.pack("=I", _GCHANNELS), 36)
    if answer is None:
        return None
    most_rx, _, _, most_both, rx, _, _, both = struct.unpack_from("=8I", answer, 4)
    return Amount(rx + both, max(most_rx, most_both))


def rx_ring(interface: str) -> Amount | None:
    """Descriptors of one receive queue."""
    answer = _ask(interface, struct.pack("=I", _GRINGPARAM), 36)
    if answer is None:
        return None
    most, _, _, _, now = struct.unpack_from("=5I", answer, 4)
    return Amount(now, most)


def features(interface: str) -> dict[str, bool]:
    """`rx-lro` and so on -> whether it is on; empty where nobody says."""
    head = struct.pack("=IIQ", _GSSET_INFO, 0, 1 << _FEATURE_NAMES)
    answer = _ask(interface, head, 20)
    if answer is None:
        return {}
    (count,) = struct.unpack_from("=I", answer, 16)
    names = _ask(
        interface, struct.pack("=III", _GSTRINGS, _FEATURE_NAMES, count), 12 + count * _NAME
    )
    blocks = (count + 31) // 32
    bits = _ask(interface, struct.pack("=II", _GFEATURES, blocks), 8 + 16 * blocks)
    if names is None or bits is None:
        return {}
    found = {}
    for i in range(count):
        name = names[12 + i * _NAME : 12 + (i + 1) * _NAME].split(b"\0")[0].decode()
        (active,) = struct.unpack_from("=I", bits, 8 + 16 * (i // 32) + 8)
        if name:
            found[name] = bool(active >> i % 32 & 1)
    return found


def _ask(interface: str, command: bytes, size: int) -> bytes | None:
    """One question of `size` bytes; None: not supported."""
    value = ctypes.create_string_buffer(command, size)
    request = struct.pack("=16sQ16x", interface.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, request)
        except OSError:
            return None
    return value.raw
