# SPDX-License-Identifier: Apache-2.0
"""ns per packet of a loaded XDP program, each run on a fresh frame.

BPF_PROG_TEST_RUN with repeats gives every run the frame that the run before left: an encapsulating
program would encapsulate its own output.  So a small program runs first: it moves the head back,
writes the frame again (with another source port and address if flows are to differ) and tail-calls
the program under test.  The same in front of an empty program is the floor; both are measured in
turn, and the difference of neighbours is what the program costs.

The small program is written in BPF instructions, so that nothing is needed but the kernel.
"""

from __future__ import annotations

import ctypes as c
import os
import statistics
import struct
from collections.abc import Sequence
from typing import NamedTuple

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.map_specs import ARRAY, PROG_ARRAY, MapSpec

_PROG_LOAD, _XDP, _ATTACH_XDP = 5, 6, 37
_TAIL_CALL, _ADJUST_HEAD, _STORE_BYTES = 12, 44, 190
_FRAME = 128
"""Bytes written again before each run: all that the program may change."""
_DATA, _COUNT, _NOW, _HEAD = 0, 8, 16, 24
"""The state: where the frame began, runs so far, where it begins now, the frame's first bytes."""
_SOURCE, _PORT = 26, 34
"""Offsets of the source address and port in an IPv4 frame."""
_FAILED = 99
_CHUNK = 100_000


class Cost(NamedTuple):
    """ns per packet, without the floor."""

    median: float
    quiet: float
    """The median of those pairs whose floor was the machine's best: this one repeats."""
    action: int
    """What the program returned."""


def measure(program: int, frame: bytes, *, flows: int = 1, chunks: int = 21) -> Cost:
    """Cost of the XDP program (its fd) on this frame; `flows` is a power of two up to 2**32.

    Runs on the CPU of the calling thread: pin it first.  Raises OSError.
    """
    tested, floor = _Restored(program, frame, flows), _Restored(_empty(), frame, flows)
    for one in (tested, floor):
        one.run(min(max(flows, 1000), 1 << 20))  # warm: the flows exist, the caches are filled
    pairs = []
    for _ in range(chunks):
        pairs.append((floor.run(_CHUNK), tested.run(_CHUNK)))
    best = min(lowest for lowest, _ in pairs)
    costs = [whole - lowest for lowest, whole in pairs]
    quiet = [whole - lowest for lowest, whole in pairs if lowest <= best * 1.05 + 1]
    action = tested.action
    for one in (tested, floor):
        one.close()
    return Cost(statistics.median(costs), statistics.median(quiet), action)


def side_by_side(
    programs: Sequence[int], frame: bytes, *, flows: int, chunks: int, burden: int = 0
) -> list[list[float]]:
    """ns per packet of an empty program and of each of these, measured in turn: a row per chunk.

    `burden`: instructions that the first one has to do more, each of which waits for the one before
    it.  AssertionError if they do not all do the same with the packet.  Raises OSError.
    """
    raced = [
        _Restored(program, frame, flows, burden if at == 1 else 0)
        for at, program in enumerate([_empty(), *programs])
    ]
    for one in raced:
        one.run(min(max(flows, 1000), 1 << 20))
    rows = [[one.run(_CHUNK) for one in raced] for _ in range(chunks)]
    assert len({one.action for one in raced[1:]}) == 1, "they must do the same with the packet"
    for one in raced:
        one.close()
    return rows


class _Restored:
    """A program behind the restorer."""

    def __init__(self, program: int, frame: bytes, flows: int, burden: int = 0) -> None:
        self.action = -1
        self._frame = frame
        self._state = bpf.map_create(MapSpec("restorer", ARRAY, 4, _HEAD + _FRAME, 1, 0))
        # A program array takes programs of its first user's kind only, and loaders differ in it.
        self._fds = [self._state, program]
        for attach_type in (_ATTACH_XDP, 0):
            jumps = bpf.map_create(MapSpec("jumps", PROG_ARRAY, 4, 4, 1, 0))
            code = _restorer(self._state, jumps, min(len(frame), _FRAME), flows, burden)
            self._entry = _load(code, attach_type)
            self._fds += [jumps, self._entry]
            try:
                bpf.map_update(jumps, bytes(4), struct.pack("=I", program))
                break
            except OSError:
                continue
        else:
            raise OSError("the program cannot be tail-called")
        self._count = 0

    def run(self, repeat: int) -> float:
        """ns per run, average; checks that every run came through."""
        head = self._frame[:_FRAME].ljust(_FRAME, b"\0")
        state = struct.pack("=QQQ", 0, self._count, 0) + head
        bpf.map_update(self._state, bytes(4), state)
        ran = bpf.run_program(self._entry, self._frame, repeat)
        after = bpf.map_lookup(self._state, bytes(4), _HEAD + _FRAME)
        count = struct.unpack_from("=Q", after, _COUNT)[0]
        if count != self._count + repeat or ran.result == _FAILED:
            raise OSError(f"{count - self._count} of {repeat} runs came through")
        if self.action not in (-1, ran.result):
            raise OSError(f"the verdict changed from {self.action} to {ran.result}")
        self._count, self.action = count, ran.result
        return float(ran.duration)

    def close(self) -> None:
        for fd in self._fds:
            if fd != self._fds[1]:
                os.close(fd)


def _restorer(state: int, jumps: int, length: int, flows: int, burden: int) -> bytes:
    code = [
        instruction(0xBF, 6, 1),  # r6 = ctx
        *_load_fd(7, 2, state),  # r7 = the state's value
        instruction(0x61, 2, 6),  # r2 = ctx->data
        instruction(0x7B, 7, 2, _NOW),  # by way of memory it becomes a number
        instruction(0x79, 3, 7, _DATA),
        instruction(0x55, 3, 0, 1),  # if (!r3): the first run of a call
        instruction(0x7B, 7, 2, _DATA),
        instruction(0x79, 2, 7, _DATA),
        instruction(0x79, 3, 7, _NOW),
        instruction(0x1F, 2, 3),  # r2 = how far the head has moved
        instruction(0xBF, 1, 6),
        instruction(0x85, 0, 0, 0, _ADJUST_HEAD),
        instruction(0x79, 9, 7, _COUNT),
        *(_another_flow(flows) if flows > 1 else []),
        instruction(0x07, 9, 0, 0, 1),
        instruction(0x7B, 7, 9, _COUNT),
        instruction(0xBF, 1, 6),
        instruction(0xB7, 2, 0, 0, 0),
        instruction(0xBF, 3, 7),
        instruction(0x07, 3, 0, 0, _HEAD),
        instruction(0xB7, 4, 0, 0, length),
        instruction(0x85, 0, 0, 0, _STORE_BYTES),
        *[instruction(0x27, 0, 0, 0, 3)] * burden,  # r0 *= 3
        instruction(0xBF, 1, 6),
        *_load_fd(2, 1, jumps),
        instruction(0xB7, 3, 0, 0, 0),
        instruction(0x85, 0, 0, 0, _TAIL_CALL),
        instruction(0xB7, 0, 0, 0, _FAILED),
        instruction(0x95),
    ]
    return b"".join(code)


def _another_flow(flows: int) -> list[bytes]:
    """Source port and half of the address from the count, in no order that a cache likes."""
    return [
        instruction(0xBF, 1, 9),
        instruction(0x27, 1, 0, 0, 0x2545F491),  # odd: all of 0..flows-1 come, each once
        *([instruction(0x57, 1, 0, 0, flows - 1)] if flows <= 1 << 31 else []),
        instruction(0x6B, 7, 1, _HEAD + _PORT),
        instruction(0x77, 1, 0, 0, 16),
        instruction(0x6B, 7, 1, _HEAD + _SOURCE + 2),
    ]


def _empty() -> int:
    return _load(instruction(0xB7, 0, 0, 0, 3) + instruction(0x95), _ATTACH_XDP)


def instruction(code: int, to: int = 0, of: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, to | of << 4, offset, value)


def _load_fd(register: int, kind: int, fd: int) -> list[bytes]:
    """A map (kind 1) or the address of its only value (kind 2)."""
    return [instruction(0x18, register, kind, 0, fd), instruction(0)]


class _LoadAttr(c.Structure):
    _fields_ = [
        ("kind", c.c_uint32),
        ("count", c.c_uint32),
        ("code", c.c_uint64),
        ("license", c.c_char_p),
        ("log", c.c_uint32 * 6),
        ("name", c.c_char * 16),
        ("ifindex", c.c_uint32),
        ("attach_type", c.c_uint32),
    ]


def _load(code: bytes, attach_type: int) -> int:
    held = c.create_string_buffer(code, len(code))
    attr = _LoadAttr(_XDP, len(code) // 8, c.addressof(held), b"GPL")
    attr.name, attr.attach_type = b"restorer", attach_type
    return bpf._bpf(_PROG_LOAD, attr)
