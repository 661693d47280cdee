# SPDX-License-Identifier: Apache-2.0
"""Reads and sets one setting of the machine.  Raises OSError; FileNotFoundError if it is gone."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from agent.dataplane.attach import attached
from agent.preflight import ethtool
from agent.preflight.read_network import network, set_address
from agent.preflight.settings import ABSENT, PRESENT, RESETS, Change, Kind, Setting


def read(setting: Setting) -> str:
    kind, where, name = setting
    if kind is Kind.FILE:
        return Path(where).read_text().strip()
    _index(where)
    match kind:
        case Kind.CHANNELS:
            return str(ethtool.queue_count(where, name))
        case Kind.RING:
            found = ethtool.rings(where)
            if name not in found:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return str(found[name].now)
        case Kind.FEATURE:
            on = ethtool.features(where).get(name)
            if on is None:
                raise OSError(errno.EOPNOTSUPP, f"the driver says nothing of {name}")
            return "on" if on else "off"
        case Kind.ADDRESS:
            return PRESENT if (where, name) in network().addresses else ABSENT


def write(change: Change) -> None:
    (kind, where, name), value = change
    if kind is Kind.FILE:
        Path(where).write_text(value)
        return
    if attached(_index(where)) and kind in RESETS:
        raise OSError(errno.EBUSY, "it has an XDP program: remora-agent stop --detach first")
    match kind:
        case Kind.CHANNELS:
            ethtool.set_queues(where, name, int(value))
        case Kind.RING:
            ethtool.set_ring(where, name, int(value))
        case Kind.FEATURE:
            ethtool.set_feature(where, name, on=value == "on")
        case Kind.ADDRESS:
            set_address(where, name, present=value == PRESENT)


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise FileNotFoundError(errno.ENODEV, os.strerror(errno.ENODEV)) from error
