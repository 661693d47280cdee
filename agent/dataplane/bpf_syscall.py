# SPDX-License-Identifier: Apache-2.0
"""bpf(2), thinly: one function per command that this project uses, each behind its attribute's
layout: as flat as the manual page, and as long.

Standard library only; no libbpf and no libbcc.  Every call raises OSError with the kernel's errno;
what a failure means is the caller's to say.  File descriptors are plain ints, owned by the caller.
"""

from __future__ import annotations

import ctypes as c
import os
import platform
from collections.abc import Iterator
from typing import NamedTuple

from agent.dataplane.map_specs import MapSpec

_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT = 0, 1, 2, 3, 4
_PROG_LOAD = 5
_OBJ_PIN, _OBJ_GET, _TEST_RUN, _PROG_BY_ID, _INFO = 6, 7, 10, 13, 15
_LINK_CREATE, _LINK_UPDATE, _LINK_DETACH = 28, 29, 34
_ATTACH_XDP, _ATTACH_TCX_EGRESS = 37, 47

_libc = c.CDLL(None, use_errno=True)
_libc.syscall.restype = c.c_long


def _bpf(command: int, attr: c.Structure) -> int:
    number = _NUMBER[platform.machine()]
    result = int(_libc.syscall(number, command, c.byref(attr), c.sizeof(attr)))
    if result < 0:
        error = c.get_errno()
        raise OSError(error, os.strerror(error))
    return result


# ---- pins


class _PinAttr(c.Structure):
    _fields_ = [("path", c.c_char_p), ("fd", c.c_uint32), ("flags", c.c_uint32)]


def obj_pin(fd: int, path: str) -> None:
    _bpf(_OBJ_PIN, _PinAttr(os.fsencode(path), fd, 0))


def obj_get(path: str) -> int:
    return _bpf(_OBJ_GET, _PinAttr(os.fsencode(path), 0, 0))


# ---- what an object is


class _AskAttr(c.Structure):
    _fields_ = [("fd", c.c_uint32), ("size", c.c_uint32), ("address", c.c_uint64)]


class _MapShape(c.Structure):
    _fields_ = [
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("key_size", c.c_uint32),
        ("value_size", c.c_uint32),
        ("max_entries", c.c_uint32),
        ("flags", c.c_uint32),
        ("name", c.c_char * 16),
    ]


class _ProgramId(c.Structure):
    _fields_ = [
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("tag", c.c_uint8 * 8),
        ("jited_size", c.c_uint32),
        ("xlated_size", c.c_uint32),
        ("jited", c.c_uint64),
        ("xlated", c.c_uint64),
        ("load_time", c.c_uint64),
        ("uid", c.c_uint32),
        ("map_count", c.c_uint32),
        ("map_ids", c.c_uint64),
        ("name", c.c_char * 16),
    ]


class _LinkTarget(c.Structure):
    _fields_ = [
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("prog_id", c.c_uint32),
        ("pad", c.c_uint32),
        ("ifindex", c.c_uint32),
        ("pad2", c.c_uint32),
    ]


class MapShape(NamedTuple):
    id: int
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class ProgramId(NamedTuple):
    id: int
    tag: str
    """Hash of the instructions, 16 hex digits."""
    name: str
    jited: bool
    """Compiled to machine code."""


class LinkTarget(NamedTuple):
    prog_id: int
    ifindex: int
    """0: the interface is gone."""


def _info(fd: int, info: c.Structure) -> None:
    _bpf(_INFO, _AskAttr(fd, c.sizeof(info), c.addressof(info)))


def map_info(fd: int) -> MapShape:
    i = _MapShape()
    _info(fd, i)
    return MapShape(i.id, i.type, i.key_size, i.value_size, i.max_entries, i.flags)


def program_info(fd: int) -> ProgramId:
    i = _ProgramId()
    _info(fd, i)
    return ProgramId(i.id, bytes(i.tag).hex(), i.name.decode(), i.jited_size > 0)


def link_info(fd: int) -> LinkTarget:
    """Of an XDP or TCX link."""
    i = _LinkTarget()
    _info(fd, i)
    return LinkTarget(i.prog_id, i.ifindex)


class _IdAttr(c.Structure):
    _fields_ = [("id", c.c_uint32), ("next", c.c_uint32), ("flags", c.c_uint32)]


def program_by_id(number: int) -> int:
    return _bpf(_PROG_BY_ID, _IdAttr(number, 0, 0))


class _LoadAttr(c.Structure):
    _fields_ = [
        ("type", c.c_uint32),
        ("count", c.c_uint32),
        ("instructions", c.c_uint64),
        ("license", c.c_uint64),
        ("log_level", c.c_uint32),
        ("log_size", c.c_uint32),
        ("log", c.c_uint64),
        ("kernel_version", c.c_uint32),
        ("flags", c.c_uint32),
        ("name", c.c_char * 16),
    ]


def program_load(kind: int, name: str, instructions: bytes) -> int:
    """Load a program without maps, 8 bytes per instruction; kind: BPF_PROG_TYPE_XDP 6."""
    code = c.create_string_buffer(instructions, len(instructions))
    licence = c.create_string_buffer(b"GPL")
    attr = _LoadAttr(
        type=kind,
        count=len(instructions) // 8,
        instructions=c.addressof(code),
        license=c.addressof(licence),
        name=name.encode()[:15],
    )
    return _bpf(_PROG_LOAD, attr)


# ---- maps


class _CreateAttr(c.Structure):
    _fields_ = [
        ("type", c.c_uint32),
        ("key_size", c.c_uint32),
        ("value_size", c.c_uint32),
        ("max_entries", c.c_uint32),
        ("flags", c.c_uint32),
        ("inner", c.c_uint32),
        ("numa_node", c.c_uint32),
        ("name", c.c_char * 16),
    ]


class _ElementAttr(c.Structure):
    _fields_ = [
        ("fd", c.c_uint32),
        ("pad", c.c_uint32),
        ("key", c.c_uint64),
        ("value", c.c_uint64),
        ("flags", c.c_uint64),
    ]


def map_create(spec: MapSpec) -> int:
    attr = _CreateAttr(
        type=spec.type,
        key_size=spec.key_size,
        value_size=spec.value_size,
        max_entries=spec.max_entries,
        flags=spec.flags,
        name=spec.name.encode()[:15],
    )
    return _bpf(_MAP_CREATE, attr)


def _element(command: int, fd: int, key: bytes | None, value: c.Array[c.c_char] | None) -> None:
    held = None if key is None else c.create_string_buffer(key, len(key))
    attr = _ElementAttr(
        fd=fd,
        key=0 if held is None else c.addressof(held),
        value=0 if value is None else c.addressof(value),
    )
    _bpf(command, attr)


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes:
    """Raises FileNotFoundError where there is no such key."""
    value = c.create_string_buffer(value_size)
    _element(_MAP_LOOKUP, fd, key, value)
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    _element(_MAP_UPDATE, fd, key, c.create_string_buffer(value, len(value)))


def map_delete(fd: int, key: bytes) -> None:
    """Raises FileNotFoundError where there is no such key."""
    _element(_MAP_DELETE, fd, key, None)


def map_keys(fd: int, key_size: int) -> Iterator[bytes]:
    """The keys of a hash map that nobody else changes meanwhile."""
    key: bytes | None = None
    while True:
        following = c.create_string_buffer(key_size)
        try:
            _element(_MAP_NEXT, fd, key, following)
        except FileNotFoundError:
            return
        key = following.raw
        yield key


# ---- links


class _LinkCreateAttr(c.Structure):
    _fields_ = [
        ("program", c.c_uint32),
        ("ifindex", c.c_uint32),
        ("attach_type", c.c_uint32),
        ("flags", c.c_uint32),
    ]


class _LinkUpdateAttr(c.Structure):
    _fields_ = [
        ("link", c.c_uint32),
        ("program", c.c_uint32),
        ("flags", c.c_uint32),
        ("expected", c.c_uint32),
    ]


class _LinkAttr(c.Structure):
    _fields_ = [("link", c.c_uint32)]


def link_xdp(program: int, ifindex: int, flags: int) -> int:
    """Attach; flags: XDP_FLAGS_SKB_MODE 2 or XDP_FLAGS_DRV_MODE 4."""
    return _bpf(_LINK_CREATE, _LinkCreateAttr(program, ifindex, _ATTACH_XDP, flags))


def link_egress(program: int, ifindex: int) -> int:
    """Attach a tc program to what leaves by an interface (TCX, Linux 6.6), behind those there."""
    return _bpf(_LINK_CREATE, _LinkCreateAttr(program, ifindex, _ATTACH_TCX_EGRESS, 0))


def link_update(link: int, program: int) -> None:
    """Replace the link's program, atomically, whichever it is: naming the expected one would take
    CAP_SYS_ADMIN (a descriptor by its number), and who holds the link is its only owner."""
    _bpf(_LINK_UPDATE, _LinkUpdateAttr(link, program, 0, 0))


def link_detach(link: int) -> None:
    _bpf(_LINK_DETACH, _LinkAttr(link))


# ---- test runs


class _TestRunAttr(c.Structure):
    _fields_ = [
        ("program", c.c_uint32),
        ("result", c.c_uint32),
        ("size_in", c.c_uint32),
        ("size_out", c.c_uint32),
        ("data_in", c.c_uint64),
        ("data_out", c.c_uint64),
        ("repeat", c.c_uint32),
        ("duration", c.c_uint32),
        ("ctx_size_in", c.c_uint32),
        ("ctx_size_out", c.c_uint32),
        ("ctx_in", c.c_uint64),
        ("ctx_out", c.c_uint64),
        ("flags", c.c_uint32),
        ("cpu", c.c_uint32),
        ("batch_size", c.c_uint32),
        ("pad", c.c_uint32),
    ]


class Run(NamedTuple):
    result: int
    """What the program returned (an XDP action)."""
    output: bytes
    """The frame as the program left it."""
    duration: int
    """ns per run, average."""


def run_program(program: int, frame: bytes, repeat: int = 1, context: bytes = b"") -> Run:
    """Run an XDP or tc program on a frame of at least 14 bytes, in a test, on this CPU.

    `context`: the beginning of struct xdp_md or struct __sk_buff, the rest is 0.  The packet is not
    restored between repeats.
    """
    held = c.create_string_buffer(context, len(context)) if context else None
    given = c.create_string_buffer(frame, len(frame))
    out = c.create_string_buffer(len(frame) + 512)
    attr = _TestRunAttr(
        program=program,
        size_in=len(frame),
        size_out=len(out),
        data_in=c.addressof(given),
        data_out=c.addressof(out),
        repeat=repeat,
        ctx_size_in=len(context),
        ctx_in=0 if held is None else c.addressof(held),
    )
    _bpf(_TEST_RUN, attr)
    return Run(attr.result, out.raw[: attr.size_out], attr.duration)
