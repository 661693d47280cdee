# SPDX-License-Identifier: Apache-2.0
"""What ethtool(8) shows of an interface, and sets: queues, rings, offloads; and how RSS spreads.

By pyroute2; of RSS it knows nothing: the layouts are linux/ethtool.h's.  A driver that cannot say
something is no error: None.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.preflight.surveyed import Amount, Queues, Rss

_SIOCETHTOOL = 0x8946
_GRXFH, _GRXFHINDIR = 0x29, 0x38
_UDP4, _UDP6 = 0x02, 0x06  # UDP_V4_FLOW, UDP_V6_FLOW
_PORTS = 1 << 6 | 1 << 7  # RXH_L4_B_0_1, RXH_L4_B_2_3


@contextlib.contextmanager
def _asked(interface: str) -> Iterator[Any]:
    """Raises OSError, whatever pyroute2 raises."""
    from pyroute2.ethtool.ioctl import (  # noqa: PLC0415  # 16 MB that the agent does without
        EthtoolError,
        IoctlEthtool,
    )

    with contextlib.closing(IoctlEthtool(interface)) as ethtool:
        try:
            yield ethtool
        except EthtoolError as error:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)) from error


def driver(interface: str) -> str:
    """`mlx5_core`; empty: a virtual interface has none."""
    link = Path(f"/sys/class/net/{interface}/device/driver")
    return link.resolve().name if link.exists() else ""


def queues(interface: str) -> Queues | None:
    """Receive queues: those that are shared with transmission where there are such."""
    try:
        with _asked(interface) as ethtool:
            found = ethtool.get_channels()
    except OSError:
        return None
    if found.max_combined:
        return Queues(
            "combined",
            found.combined_count + found.rx_count,
            max(found.max_combined, found.max_rx),
        )
    return Queues("rx", found.rx_count, found.max_rx)


def queue_count(interface: str, kind: str) -> int:
    """Raises OSError."""
    with _asked(interface) as ethtool:
        return int(getattr(ethtool.get_channels(), f"{kind}_count"))


def set_queues(interface: str, kind: str, count: int) -> None:
    with _asked(interface) as ethtool:
        found = ethtool.get_channels()
        setattr(found, f"{kind}_count", count)
        ethtool.set_channels(found)


def rings(interface: str) -> dict[str, Amount]:
    """Descriptors of a queue: rx, tx; empty where nobody says."""
    try:
        with _asked(interface) as ethtool:
            found = ethtool.get_rings()
    except OSError:
        return {}
    return {"rx": Amount(found.rx, found.rx_max), "tx": Amount(found.tx, found.tx_max)}


def set_ring(interface: str, direction: str, count: int) -> None:
    with _asked(interface) as ethtool:
        found = ethtool.get_rings()
        setattr(found, direction, count)
        ethtool.set_rings(found)


def features(interface: str) -> dict[str, bool]:
    """`rx-lro` and so on -> whether it is on; empty where nobody says."""
    try:
        with _asked(interface) as ethtool:
            return {name: on for name, on, *_ in ethtool.get_features() if name}
    except OSError:
        return {}


def set_feature(interface: str, name: str, *, on: bool) -> None:
    with _asked(interface) as ethtool:
        found = ethtool.get_features()
        if name not in {known for known, *_ in found}:
            raise OSError(errno.EOPNOTSUPP, f"the driver has no {name}")
        found[name] = on
        ethtool.set_features(found)
    if features(interface).get(name) is not on:  # ETHTOOL_SFEATURES wishes, it does not demand
        raise OSError(errno.EOPNOTSUPP, f"the driver keeps it {'off' if on else 'on'}")


# ---- RSS


def rss(interface: str) -> Rss | None:
    """How flows are spread over the queues; None: by no table that can be read."""
    size = _ask(interface, struct.pack("=II", _GRXFHINDIR, 0), 8)
    entries = struct.unpack_from("=I", size, 4)[0] if size else 0
    table = _ask(interface, struct.pack("=II", _GRXFHINDIR, entries), 8 + 4 * entries)
    if not entries or table is None:
        return None
    served = set(struct.unpack_from(f"={entries}I", table, 8))
    return Rss(len(served), _by_ports(interface, _UDP4), _by_ports(interface, _UDP6))


def _by_ports(interface: str, flow: int) -> bool | None:
    """Whether the ports have a say in the hash of such packets."""
    answer = _ask(interface, struct.pack("=IIQ", _GRXFH, flow, 0), 192)
    if answer is None:
        return None
    (fields,) = struct.unpack_from("=Q", answer, 8)
    return bool(fields & _PORTS == _PORTS)


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
