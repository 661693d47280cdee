# SPDX-License-Identifier: Apache-2.0
"""The pool of ring rows: which row is in force for a VIP, and when a row may be written again.

A ring comes into force by one store of its row's number.  What a row's words mean: slots.py.
"""

from __future__ import annotations

import ctypes as c
import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.boundary import EffectError
from agent.core import maglev
from agent.dataplane import abi, slots
from agent.dataplane.mapped import window
from agent.dataplane.refusal import refusals

QUARANTINE = 0.05
"""Seconds until a row that was in force is written again: a packet may still be reading it."""
_PARTS = [
    slice(abi.RING_SLOTS * n // maglev.PIECES, abi.RING_SLOTS * (n + 1) // maglev.PIECES)
    for n in range(maglev.PIECES)
]
"""Of a row, worked on one by one: see PIECES."""


class RingRows:
    """Of one node.  Every method raises EffectError when the kernel refuses."""

    def __init__(self, fd: int, rows: int, services: NDArray[Any]) -> None:
        """`fd`: the map of rings, so many `rows`; `services`: struct lb_service by vip_num."""
        self._fd = fd
        self.in_force: NDArray[np.uint32] = services["ring_row"]
        """vip_num -> row, as the program reads it; 0: none."""
        used = set(self.in_force.tolist())
        ready = time.monotonic() + QUARANTINE  # the agent before us may have retired a row just now
        self._free = deque((ready, row) for row in range(1, rows) if row not in used)

    def put(self, vip_num: int, placed: NDArray[np.uint16], numbers: NDArray[np.uint32]) -> None:
        """Bring a ring into force with one store: a packet sees the old one or this one.

        placed: slot -> index into numbers; numbers: real_num, empty: nobody serves.

        What the slots were before is kept in their words: see slots.py.  Waits (at most
        QUARANTINE) when every free row was in force a moment ago.
        """
        assert placed.shape == (abi.RING_SLOTS,)
        row = self._free_row()
        try:
            with refusals(f"ring row {row}: cannot be mapped"):
                self.write(self.row(row), self._words(vip_num), placed, numbers)
        except EffectError:
            self._free.appendleft((0.0, row))  # tried again every second: none may be lost
            raise
        self._flip(vip_num, row)

    def remove(self, vip_num: int) -> None:
        """Nobody serves any more."""
        self._flip(vip_num, 0)

    def current(self, vip_num: int) -> NDArray[np.uint32]:
        """slot -> real_num of the ring in force; all 0 if there is none."""
        with refusals(f"ring of VIP number {vip_num}: cannot be mapped"):
            return slots.current(self._words(vip_num))

    def words(self, vip_num: int) -> slots.Words:
        """A copy of the words of the ring in force."""
        with refusals(f"ring of VIP number {vip_num}: cannot be mapped"):
            return self._words(vip_num).copy()

    def forget_previous(self, vip_num: int) -> None:
        """Slots remember no earlier real any more; those with flows elsewhere are marked.

        To be called when the ring has not changed for the time in which a silent flow is over.
        """
        self._rewrite(vip_num, slots.forgotten)

    def forget_real(self, vip_num: int, real_num: int) -> None:
        """No slot remembers it as its earlier real: its number may get another owner."""
        self._rewrite(vip_num, lambda words: slots.without(words, real_num))

    def row(self, row: int) -> slots.Words:
        """Its words, as the program reads them.  Raises OSError."""
        size = c.sizeof(abi.Ring)
        return window(self._fd, row * size, size).view(np.uint32)

    @staticmethod
    def write(
        row: slots.Words,
        before: slots.Words,
        placed: NDArray[np.uint16],
        numbers: NDArray[np.uint32],
    ) -> None:
        """The words of a new ring, see `put`, into `row`; before: those of the one in force."""
        for part in _PARTS:
            row[part] = slots.following(before[part], maglev.placed(placed[part], numbers))

    def _rewrite(self, vip_num: int, change: slots.Change) -> None:
        """In the row in force: each word is complete by itself; new flows go where they went."""
        if not self.in_force[vip_num]:
            return
        with refusals(f"ring of VIP number {vip_num}: cannot be mapped"):
            words = self._words(vip_num)
        for part in _PARTS:
            words[part] = change(words[part])

    def _words(self, vip_num: int) -> slots.Words:
        return self.row(int(self.in_force[vip_num]))[: abi.RING_SLOTS]

    def _free_row(self) -> int:
        if not self._free:
            raise EffectError("no ring row is free: more VIPs than the maps were made for")
        ready, row = self._free.popleft()
        if (wait := ready - time.monotonic()) > 0:
            time.sleep(wait)
        return row

    def _flip(self, vip_num: int, row: int) -> None:
        retired = int(self.in_force[vip_num])
        self.in_force[vip_num] = row
        if retired:
            self._free.append((time.monotonic() + QUARANTINE, retired))
