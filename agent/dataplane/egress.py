# SPDX-License-Identifier: Apache-2.0
"""A tc program at an interface's egress: a pinned TCX link, or on kernels before 6.6 a filter.

Behind whatever others have there, and none of theirs is touched.  A filter belongs to nobody: a
pin beside the maps remembers it, and its priority, which no tool uses by itself, finds it again.
Standard library only: the loader child imports this without the project's packages.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.attach import adopt
from agent.dataplane.pinned import LoadError
from agent.host.rtnetlink import ask, attribute

FILTER = "filter_egress_"
"""Prefix of the pin that remembers a filter; the interface's name follows."""
_PRIORITY = 0x52E
_HANDLE = 1

# linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h
_NEWQDISC, _NEWFILTER, _DELFILTER, _GETFILTER = 36, 44, 45, 46
_ACK, _EXCL, _CREATE = 0x4, 0x200, 0x400
_CLSACT, _CLSACT_HANDLE, _EGRESS = 0xFFFFFFF1, 0xFFFF0000, 0xFFFFFFF3
_KIND, _OPTIONS = 1, 2
_FD, _NAME, _FLAGS, _DIRECT_ACTION = 6, 7, 8, 1
_ETH_P_ALL = 3


def attach(pins: Path, interface: str, program: int) -> str:
    """Let `program` see what leaves the interface; returns why it cannot, empty if it does.

    Raises LoadError when a pin is in the way.
    """
    ifindex = socket.if_nametoindex(interface)
    path = pins / f"link_egress_{interface}"
    if adopt(path, ifindex, "", program):
        return ""
    try:
        link = bpf.link_egress(program, ifindex)
    except OSError as error:
        if error.errno != errno.EINVAL:
            return str(error.strerror)
        return add_filter(pins, interface, program)  # the kernel has no TCX
    try:
        bpf.obj_pin(link, str(path))
    finally:
        os.close(link)
    return ""


def add_filter(pins: Path, interface: str, program: int) -> str:
    """The same by a cls_bpf filter; one that is there is replaced in place.  As attach()."""
    ifindex = socket.if_nametoindex(interface)
    options = attribute(_FD, struct.pack("=I", program)) + attribute(_NAME, b"remora\0")
    options += attribute(_FLAGS, struct.pack("=I", _DIRECT_ACTION))
    content = attribute(_KIND, b"bpf\0") + attribute(_OPTIONS, options)
    try:
        try:
            qdisc = struct.pack("=BxxxiIII", 0, ifindex, _CLSACT_HANDLE, _CLSACT, 0)
            _change(_NEWQDISC, _EXCL | _CREATE, qdisc + attribute(_KIND, b"clsact\0"))
        except FileExistsError:
            pass  # somebody has filters there already
        _change(_NEWFILTER, _CREATE, _filter(ifindex) + content)
        _remember(pins / f"{FILTER}{interface}", program)
    except OSError as error:
        return f"neither TCX (Linux 6.6) nor a cls_bpf filter: {error.strerror}"
    return ""


def remove_filter(pin: Path) -> None:
    """Take the filter off that a pin remembers, and the pin away.  Raises LoadError."""
    interface = pin.name.removeprefix(FILTER)
    try:
        content = _filter(socket.if_nametoindex(interface)) + attribute(_KIND, b"bpf\0")
        _change(_DELFILTER, 0, content)
    except OSError as error:
        if interface in (name for _, name in socket.if_nameindex()) and not _missing(error):
            raise LoadError(f"filter of {interface}: {error.strerror}") from error
    pin.unlink()


def lost_filter(pins: Path, interface: str) -> bool:
    """Whether a filter that we added is there no more: who deletes the qdisc deletes it, and nobody
    is told.  Raises OSError where the kernel does not say."""
    if not (pins / f"{FILTER}{interface}").exists():
        return False
    try:
        content = _filter(socket.if_nametoindex(interface)) + attribute(_KIND, b"bpf\0")
        list(ask(_GETFILTER, content))
    except OSError as error:
        if not _missing(error):
            raise
        return True
    return False


def _missing(error: OSError) -> bool:
    """No such filter, or no qdisc that could have one."""
    return error.errno in (errno.ENOENT, errno.EINVAL)


def _remember(pin: Path, program: int) -> None:
    pin.unlink(missing_ok=True)
    bpf.obj_pin(program, str(pin))


def _filter(ifindex: int) -> bytes:
    """struct tcmsg of our filter."""
    info = _PRIORITY << 16 | socket.htons(_ETH_P_ALL)
    return struct.pack("=BxxxiIII", 0, ifindex, _HANDLE, _EGRESS, info)


def _change(kind: int, flags: int, content: bytes) -> None:
    """Raises OSError with the kernel's errno."""
    list(ask(kind, content, _ACK | flags))
