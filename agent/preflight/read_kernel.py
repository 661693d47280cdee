# SPDX-License-Identifier: Apache-2.0
"""What this kernel can do, found out by doing it: a map, a program, a ring buffer, a mapping.

Nothing stays behind: every descriptor is closed, nothing is pinned or attached; only
`attach_for_a_moment` touches an interface, and only when asked.
"""

from __future__ import annotations

import mmap
import os
import platform
from collections.abc import Callable
from pathlib import Path

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.attach import MODES
from agent.dataplane.map_specs import ARRAY, MMAPABLE, RINGBUF, MapSpec
from agent.preflight.surveyed import Kernel

_XDP = 6
PASS = bytes.fromhex("b7000000020000009500000000000000")
"""r0 = XDP_PASS; exit."""


def kernel() -> Kernel:
    """Try everything that the data plane stands on."""
    probes: dict[str, Callable[[], None]] = {
        "maps": lambda: os.close(bpf.map_create(_spec(ARRAY, 4, 8, 1, 0))),
        "programs": lambda: os.close(_program()),
        "ring buffer": lambda: os.close(bpf.map_create(_spec(RINGBUF, 0, 0, mmap.PAGESIZE, 0))),
        "mapped arrays": _map_an_array,
    }
    return Kernel(
        release=platform.release(),
        btf=Path("/sys/kernel/btf/vmlinux").exists(),
        jited=_jited(),
        errors={name: _error(probe) for name, probe in probes.items()},
    )


def attach_for_a_moment(ifindex: int, mode: str) -> str:
    """Attach a program that passes everything, and take it off; why it failed, or empty.

    A NIC may reset its queues for it: packets can be lost.
    """

    def attach() -> None:
        program = _program()
        try:
            os.close(bpf.link_xdp(program, ifindex, MODES[mode]))  # the link's end detaches
        finally:
            os.close(program)

    return _error(attach)


def program_name(prog_id: int) -> str:
    """Name of a loaded program; empty where it has none, or one may not ask."""
    try:
        fd = bpf.program_by_id(prog_id)
    except OSError:
        return ""
    try:
        return bpf.program_info(fd).name
    finally:
        os.close(fd)


def linked_program(pin: Path) -> int | None:
    """Number of the program behind a pinned link; 0: there is none; None: we may not look."""
    try:
        fd = bpf.obj_get(str(pin))
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    try:
        return bpf.link_info(fd).prog_id
    finally:
        os.close(fd)


def _spec(kind: int, key: int, value: int, entries: int, flags: int) -> MapSpec:
    return MapSpec("preflight", kind, key, value, entries, flags)


def _program() -> int:
    return bpf.program_load(_XDP, "preflight", PASS)


def _map_an_array() -> None:
    fd = bpf.map_create(_spec(ARRAY, 4, 8, 1, MMAPABLE))
    try:
        mmap.mmap(fd, mmap.PAGESIZE).close()
    finally:
        os.close(fd)


def _jited() -> bool | None:
    try:
        fd = _program()
    except OSError:
        return None
    try:
        return bpf.program_info(fd).jited
    finally:
        os.close(fd)


def _error(probe: Callable[[], None]) -> str:
    try:
        probe()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""
