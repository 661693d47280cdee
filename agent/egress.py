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

from agent import bpf_syscall as bpf
from agent.attach import adopt
from agent.pinned import LoadError

FILTER = "filter_egress_"
"""Prefix of the pin that remembers a filter; the interface's name follows."""
_PRIORITY = 0x52E
_HANDLE = 1

# linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h
_NEWQDISC, _NEWFILTER, _DELFILTER = 36, 44, 45
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
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
    options = _attribute(_FD, struct.pack("=I", program)) + _attribute(_NAME, b"remora\0")
    options += _attribute(_FLAGS, struct.pack("=I", _DIRECT_ACTION))
    content = _attribute(_KIND, b"bpf\0") + _attribute(_OPTIONS, options)
    try:
        try:
            qdisc = struct.pack("=BxxxiIII", 0, ifindex, _CLSACT_HANDLE, _CLSACT, 0)
            _ask(_NEWQDISC, _EXCL | _CREATE, qdisc + _attribute(_KIND, b"clsact\0"))
        except FileExistsError:
            pass  # somebody has filters there already
        _ask(_NEWFILTER, _CREATE, _filter(ifindex) + content)
        _remember(pins / f"{FILTER}{interface}", program)
    except OSError as error:
        return f"neither TCX (Linux 6.6) nor a cls_bpf filter: {error.strerror}"
    return ""


def remove_filter(pin: Path) -> None:
    """Take the filter off that a pin remembers, and the pin away.  Raises LoadError."""
    interface = pin.name.removeprefix(FILTER)
    try:
        content = _filter(socket.if_nametoindex(interface)) + _attribute(_KIND, b"bpf\0")
        _ask(_DELFILTER, 0, content)
    except OSError as error:
        if interface in (name for _, name in socket.if_nameindex()) and not _missing(error):
            raise LoadError(f"filter of {interface}: {error.strerror}") from error
    pin.unlink()


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


def _attribute(kind: int, content: bytes) -> bytes:
    length = 4 + len(content)
    return struct.pack("=HH", length, kind) + content + bytes(-length % 4)


def _ask(kind: int, flags: int, content: bytes) -> None:
    """One rtnetlink request.  Raises OSError with the kernel's errno."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
        length = 16 + len(content)
        s.send(struct.pack("=IHHII", length, kind, _REQUEST | _ACK | flags, 1, 0) + content)
        code = -struct.unpack_from("=i", s.recv(1 << 16), 16)[0]
    if code:
        raise OSError(code, os.strerror(code))
