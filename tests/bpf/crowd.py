# SPDX-License-Identifier: Apache-2.0
"""Frames by the hundred thousand through the program: one outcome each, checked singly and in sum.

A run by bpf_syscall.py costs more in Python than in the kernel.  Here buffers and request
stay, and counters are read once per batch.
"""

from __future__ import annotations

import ctypes as c
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.dataplane import bpf_syscall
from tests.bpf.rig import DROP, PASS, TX, Rig

_ROOM = 8192
_TAGGED = 18
"""Behind Ethernet and a VLAN tag: what nothing on the way may change,"""
_MARKED = _TAGGED + 12
"""but unwrapping may: up to here a congestion mark is carried over (traffic class, checksum)."""


class Wrong(AssertionError):
    """A frame whose outcome is not one that a frame may have."""

    def __init__(self, frame: bytes, why: str) -> None:
        super().__init__(f"{why}\n  frame: {frame.hex()}")
        self.frame = frame


class Crowd:
    """Runs frames through the rig's program."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._given, self._left = c.create_string_buffer(_ROOM), c.create_string_buffer(_ROOM)
        self._attr = bpf_syscall._TestRunAttr(
            program=rig.program,
            data_in=c.addressof(self._given),
            data_out=c.addressof(self._left),
            repeat=1,
        )
        self._call = bpf_syscall._libc.syscall
        self._request = (bpf_syscall._NUMBER[platform.machine()], bpf_syscall._TEST_RUN)

    def run(self, frame: bytes) -> tuple[int, bytes]:
        """(XDP action, frame as it was left); at least 14 bytes."""
        attr, length = self._attr, len(frame)
        c.memmove(self._given, frame, length)
        attr.size_in, attr.size_out = length, _ROOM
        if self._call(*self._request, c.byref(attr), c.sizeof(attr)) < 0:
            raise Wrong(frame, f"the kernel refused to run it: errno {c.get_errno()}")
        return attr.result, c.string_at(self._left, attr.size_out)

    def check(self, batch: Sequence[bytes]) -> NDArray[np.int64]:
        """Run all: drops by reason.  Raises Wrong for one whose outcome is none (P6, C1, C3)."""
        before = self._rig.totals.copy()
        seen = {DROP: [0, 0], PASS: [0, 0], TX: [0, 0]}
        changed = other = 0
        for frame in batch:
            action, left = self.run(frame)
            if action not in seen:
                raise Wrong(frame, f"XDP action {action}")
            of_action = seen[action]
            of_action[0] += 1
            of_action[1] += len(frame)
            if action == TX:  # the inner packet at the end, or an answer of our own
                other += not left.endswith(frame[_TAGGED:])
            elif left != frame:
                if action == DROP or not frame.endswith(left[_MARKED:]):
                    raise Wrong(frame, f"action {action}, and it is {left.hex()} now")
                changed += 1
        moved = _moved(before, self._rig.totals)
        try:
            _sums(moved, seen, changed, other)
        except AssertionError as error:
            raise self._culprit(batch, error) from None
        self._rig.drain()
        drops: NDArray[np.int64] = moved["drops"]
        return drops

    def _culprit(self, batch: Sequence[bytes], error: AssertionError) -> Wrong:
        """Run again one by one, with all the checks of a single run."""
        for frame in batch:
            try:
                self._rig.drain()
                self._rig.run(frame)
            except AssertionError as found:
                return Wrong(frame, str(found))
        return Wrong(b"".join(batch), f"only together: {error}")


def _moved(before: NDArray[Any], after: NDArray[Any]) -> dict[str, Any]:
    return {
        name: (after[name].sum(axis=0) - before[name].sum(axis=0)).astype(np.int64)
        for name in before.dtype.names or ()
        if name != "pad"
    }


def _sums(moved: dict[str, Any], seen: dict[int, list[int]], changed: int, other: int) -> None:
    """INVARIANTS C1 and C3, over a batch."""
    for name, action in (("tx", TX), ("pass", PASS), ("drop", DROP)):
        got = [int(moved[f"{name}_packets"]), int(moved[f"{name}_bytes"])]
        assert got == seen[action], f"{name}: counted {got}, seen {seen[action]}"
    packets = sum(count for count, _ in seen.values())
    assert moved["rx_packets"] == packets
    assert moved["rx_bytes"] == sum(length for _, length in seen.values())
    assert int(moved["drops"].sum()) == seen[DROP][0], "one reason per drop"
    assert moved["drops"][0] == 0
    misses = sum(int(moved[f"flow_miss_{cause}"]) for cause in ("syn", "udp", "other"))
    placed = int(moved["flow_hits"]) + misses + int(moved["flow_untracked"])
    sent = seen[TX][0] - int(moved["icmp_sent"])
    no_room = int(moved["drops"].sum())
    assert sent <= placed + int(moved["icmp_forwarded"]) <= sent + no_room + int(moved["icmp_sent"])
    assert changed == moved["decapsulated"], "passed and changed: unwrapped"
    assert other <= moved["icmp_sent"], "sent without the packet inside: an answer"
    assert moved["flow_previous"] <= misses
    assert moved["flow_stale"] <= misses
