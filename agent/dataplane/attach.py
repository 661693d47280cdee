# SPDX-License-Identifier: Apache-2.0
"""Programs on an interface: pinned bpf_links, never at the cost of somebody else's program.

A link rather than a netlink attachment: nobody replaces or removes it by mistake, the pin keeps it
while no agent runs, and a new program takes over in one atomic step.  Standard library only: the
loader child imports this without the project's packages.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.pinned import LoadError
from agent.host.rtnetlink import attributes, link_attributes, link_named

MODES = {"generic": 2, "native": 4}
"""Name -> XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE."""

_ATTACHED = {1: "native", 2: "generic", 3: "offloaded", 4: "several"}
_IFLA_XDP, _XDP_ATTACHED, _XDP_PROG_ID = 43, 2, 4


class Attached(NamedTuple):
    """What XDP an interface has."""

    mode: str
    """native | generic | offloaded | several"""
    prog_id: int


def attached(ifindex: int) -> Attached | None:
    """Ask the kernel (rtnetlink) what XDP program the interface runs; None: none."""
    _, found = link_attributes(ifindex)
    return _attached_of(found)


def _attached_of(link: dict[int, bytes]) -> Attached | None:
    xdp = attributes(link.get(_IFLA_XDP, b""))
    mode = xdp.get(_XDP_ATTACHED, b"\0")[0]
    if mode == 0:
        return None
    prog_id = struct.unpack("=I", xdp.get(_XDP_PROG_ID, bytes(4)))[0]
    return Attached(_ATTACHED.get(mode, str(mode)), prog_id)


def how_attached(interface: str, program: int) -> str:
    """How this program (its id) runs on the interface, as the kernel says: a mode, none, or foreign
    for somebody else's program there.  Raises OSError where it does not say."""
    link = link_named(interface)
    now = _attached_of(link[2]) if link else None
    if now is None:
        return "none"
    return now.mode if now.prog_id == program else "foreign"


def attach(pins: Path, interface: str, mode: str, program: int) -> str:
    """Make `program` the interface's; returns the mode as the kernel reports it.

    Raises LoadError when the interface is missing, has a foreign program or cannot do the mode.
    """
    try:
        ifindex = socket.if_nametoindex(interface)
    except OSError as error:
        raise LoadError(f"interface {interface}: not in this network namespace") from error
    path = pins / f"link_{interface}"
    if not adopt(path, ifindex, mode, program):
        _create(path, interface, ifindex, mode, program)
    now = attached(ifindex)
    if now is None:
        raise LoadError(f"interface {interface}: the kernel shows no XDP program after attaching")
    return now.mode


def adopt(path: Path, ifindex: int, mode: str, program: int) -> bool:
    """Put the program behind the pinned link; False: there is none that can be used.

    `mode`: that of XDP; empty: whatever the link is, it stays so.
    """
    try:
        link = bpf.obj_get(str(path))
    except FileNotFoundError:
        return False
    try:
        info = bpf.link_info(link)
        if info.ifindex not in (0, ifindex):
            raise LoadError(
                f"{path} is the link of interface number {info.ifindex}, not {ifindex}: "
                "another network namespace's or an older interface's; use other pins, or remove it"
            )
        if info.ifindex == 0 or (mode and not _runs_in(ifindex, mode)):
            bpf.link_detach(link)  # the interface was made anew, or the mode is another now
            path.unlink()
            return False
        bpf.link_update(link, program)
    except OSError as error:
        raise LoadError(f"{path}: the program cannot be replaced: {error.strerror}") from error
    finally:
        os.close(link)
    return True


def _runs_in(ifindex: int, mode: str) -> bool:
    now = attached(ifindex)
    return now is not None and now.mode == mode


def _create(path: Path, interface: str, ifindex: int, mode: str, program: int) -> None:
    try:
        link = bpf.link_xdp(program, ifindex, MODES[mode])
    except OSError as error:
        raise LoadError(f"interface {interface}: {_explain(error, ifindex, mode)}") from error
    try:
        bpf.obj_pin(link, str(path))
    finally:
        os.close(link)


def _explain(error: OSError, ifindex: int, mode: str) -> str:
    if error.errno in (errno.EBUSY, errno.EEXIST):
        return f"already has {_foreign(ifindex)}; it was left alone: detach it first"
    hints = {
        errno.EOPNOTSUPP: 'its driver has no native XDP: set xdp_mode = "generic"',
        errno.ERANGE: "its MTU is too large for XDP: lower it",
        errno.EINVAL: "see the kernel log; offloads (LRO, hardware GRO) and huge MTUs exclude XDP",
        errno.EPERM: "needs root (CAP_NET_ADMIN and CAP_BPF)",
    }
    remedy = hints.get(error.errno or 0, "see the kernel log")
    return f"{mode} XDP cannot be attached ({error.strerror}): {remedy}"


def _foreign(ifindex: int) -> str:
    now = attached(ifindex)
    if now is None:
        return "an XDP program"
    try:
        fd = bpf.program_by_id(now.prog_id)
    except OSError:  # needs CAP_SYS_ADMIN, which the agent may well not have
        return f"another {now.mode} XDP program (id {now.prog_id})"
    info = bpf.program_info(fd)
    os.close(fd)
    return f"another {now.mode} XDP program, {info.name!r} (id {info.id}, tag {info.tag})"


def detach(pin: Path) -> None:
    """Take a pinned link's program off its interface, and the pin away."""
    link = bpf.obj_get(str(pin))
    try:
        bpf.link_detach(link)
    finally:
        os.close(link)
    pin.unlink()
