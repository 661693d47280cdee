# SPDX-License-Identifier: Apache-2.0
"""What a machine says of itself in /proc and /sys: mounts, sockets, limits, clock, queues.

Reads only (a directory is tried with a file that is gone at once).  What is not there is None.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from agent.nouns import Address
from agent.preflight.surveyed import Irq, Limits, Listener, Place

_ESTABLISHED, _UNCONNECTED, _LISTEN = 0x01, 0x07, 0x0A  # include/net/tcp_states.h
_TIMEX = 208
_STATUS_AT, _UNSYNCHRONISED = 40, 0x0040  # linux/timex.h: int status, STA_UNSYNC
_TIME_ERROR = 5
MOUNTS = Path("/proc/self/mounts")


def filesystem(path: Path) -> str:
    """The type of the filesystem that holds `path`, or why it is not known; empty: there is no such
    directory."""
    if not path.is_dir():
        return ""
    found, longest = "", -1
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError as error:
        return f"not known: {MOUNTS}: {error.strerror}"
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        mount = Path(point.replace("\\040", " "))
        if mount in (path, *path.parents) and len(mount.parts) >= longest:
            found, longest = kind, len(mount.parts)
    return found


def place(key: str, path: Path) -> Place:
    """Whether a file can be made in a directory, or the directory itself where its parent is."""
    ground = next(p for p in (path, *path.parents) if p.exists())
    if ground == path:
        try:
            with tempfile.TemporaryFile(dir=path, prefix="preflight-"):
                return Place(key, str(path), "")
        except OSError as error:
            return Place(key, str(path), f"cannot be written: {error.strerror}")
    if ground.is_dir() and os.access(ground, os.W_OK | os.X_OK):
        return Place(key, str(path), "")
    return Place(key, str(path), f"cannot be made: {ground} is not writable or no directory")


def limits() -> Limits:
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return Limits(
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        memlock=None if locked == resource.RLIM_INFINITY else locked,
    )


def clock_synchronised() -> bool | None:
    """adjtimex(2), which nobody needs a privilege to read."""
    state = ctypes.create_string_buffer(_TIMEX)  # struct timex; modes 0: read only
    result = ctypes.CDLL(None).adjtimex(state)
    if result < 0:
        return None
    (status,) = struct.unpack_from("=i", state, _STATUS_AT)
    return result != _TIME_ERROR and not status & _UNSYNCHRONISED


def rp_filter(interface: str) -> int | None:
    """In force: the larger of `all` and the interface's."""
    return _larger("rp_filter", interface)


def _larger(name: str, interface: str) -> int | None:
    """Documentation/networking/ip-sysctl.rst says it of both."""
    each = [_number(Path(f"/proc/sys/net/ipv4/conf/{i}/{name}")) for i in ("all", interface)]
    known = [value for value in each if value is not None]
    return max(known) if known else None


def arp_ignore(interface: str) -> int | None:
    """In force: the larger of `all` and the interface's."""
    return _larger("arp_ignore", interface)


def rps(interface: str) -> bool | None:
    """Whether receive packet steering is on for any queue."""
    masks = sorted(Path(f"/sys/class/net/{interface}/queues").glob("rx-*/rps_cpus"))
    if not masks:
        return None
    return any(mask.read_text().strip().strip("0,") for mask in masks)


def irqs(interface: str) -> tuple[Irq, ...]:
    """The device's message-signalled interrupts, with the CPUs that take them.

    A virtio device's are those of the PCI device above it.
    """
    found = []
    device = Path(f"/sys/class/net/{interface}/device")
    numbers = {int(irq.name) for at in (".", "..") for irq in device.glob(f"{at}/msi_irqs/*")}
    for number in sorted(numbers):
        place = Path(f"/proc/irq/{number}")
        try:
            cpus = (place / "effective_affinity_list").read_text().strip()
            names = [entry.name for entry in place.iterdir() if entry.is_dir()]
        except OSError:
            continue
        if cpus:
            found.append(Irq(number, names[0] if names else "", cpus))
    return tuple(found)


def near_cpus(interface: str) -> tuple[int, ...]:
    """CPUs that this process may use: those on the device's NUMA node, else all."""
    usable = os.sched_getaffinity(0)
    try:
        near = _cpus(Path(f"/sys/class/net/{interface}/device/local_cpulist").read_text())
    except OSError:
        near = set()
    return tuple(sorted(usable & near or usable))


def _cpus(text: str) -> set[int]:
    """`0-3,8` -> {0, 1, 2, 3, 8}."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def runs(program: str) -> bool:
    """Whether a process of that name (15 characters of it) is there."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().strip() == program[:15]:
                return True
    return False


# ---- sockets


def listeners(address: Address) -> tuple[Listener, ...]:
    """The sockets that take packets for an address: bound to it, or to any.

    One bound to any IPv6 address counts for IPv4 too, as it does unless the program forbade it.
    """
    found = set()
    for protocol, state in (("tcp", _LISTEN), ("udp", _UNCONNECTED)):
        for local, port, _, _, seen in _sockets(protocol):
            if seen == state and local in (address, IPv4Address(0), IPv6Address(0)):
                found.add(Listener(protocol, port))
    return tuple(sorted(found))


def connected(address: str, port: int) -> bool:
    """Whether this machine has a TCP connection to there, by whichever side it was opened."""
    peer = ip_address(address)
    return any(
        remote == peer and port in (local_port, remote_port) and state == _ESTABLISHED
        for _, local_port, remote, remote_port, state in _sockets("tcp")
    )


def _sockets(protocol: str) -> Iterator[tuple[Address, int, Address, int, int]]:
    """Local address and port, remote address and port, state: of each socket of the namespace."""
    for name in (protocol, f"{protocol}6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, remote, state, *_ = line.split()
            yield *_end(local), *_end(remote), int(state, 16)


def _end(text: str) -> tuple[Address, int]:
    """`0100007F:0050`: words in the host's byte order."""
    raw, port = text.split(":")
    words = [int(raw[i : i + 8], 16) for i in range(0, len(raw), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    address = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped, int(port, 16)
    return address, int(port, 16)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
