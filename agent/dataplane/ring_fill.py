# SPDX-License-Identifier: Apache-2.0
"""Rings filled by bpf/ring.c: the same bytes as `maglev.fill`, forty times faster.

Knows one pinned program and the map it works in, and nothing of packets, VIPs or real numbers.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.boundary import EffectError
from agent.core import maglev
from agent.dataplane import abi, bpf_syscall
from agent.dataplane.mapped import view

log = logging.getLogger("remora")

RUNS_PER_CALL = 512
"""About 0.4 ms in the kernel: 3 calls for a ring."""
MAX_CALLS = 2000
"""300 times what the longest fill was seen to need."""
FRAME = bytes(14)
"""The shortest that a test run takes; the program does not look at it."""


def fractions(slots: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Numbers of slots as ring.c has them: parts of the ring (lb_abi.h), without the bias."""
    return slots.astype(np.uint64) * np.uint64(abi.FILL_UNIT)


def places(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each is in `taken`: every other place, about."""
    biased = fractions(slots) + np.uint64(abi.FILL_BIAS)
    return (biased >> np.uint64(64 - abi.FILL_PLACE_BITS)).astype(np.int64)


def slots_at(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slots at places that are some slot's."""
    return ((places + 1) * abi.RING_SLOTS) >> abi.FILL_PLACE_BITS


def _empty() -> NDArray[np.uint8]:
    """`taken` at the beginning: places that are no slot's are never free."""
    taken = np.ones(1 << abi.FILL_PLACE_BITS, np.uint8)
    taken[places(np.arange(abi.RING_SLOTS))] = 0
    return taken


_EMPTY = _empty()
_EIGHT_TAKEN = np.uint64(0x0101010101010101)


def _free(taken: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The places that are 0: few, so eight at a time are looked at."""
    eights = np.flatnonzero(taken.view(np.uint64) != _EIGHT_TAKEN)
    of, at = np.nonzero(taken.reshape(-1, 8)[eights] == 0)
    return eights[of] * 8 + at


class Workshop:
    """The program and the memory of its map, as long as it is held: 0.6 MiB that count as ours."""

    def __init__(self, pins: Path) -> None:
        """Raises OSError."""
        work = bpf_syscall.obj_get(str(pins / "fill"))
        try:
            self._work = view(work, abi.Fill, 1)[0]
        finally:
            os.close(work)
        self._program = bpf_syscall.obj_get(str(pins / "prog_ring"))

    def close(self) -> None:
        os.close(self._program)
        del self._work

    def fill(self, turns: maglev.Turns, slots: int) -> NDArray[np.uint16]:
        """slot -> index into turns.

        Raises EffectError if the program is not what this version expects, or the kernel refuses.
        """
        return fill_ring(self._program, self._work, turns, slots)


def fill_ring(
    program: int, work: NDArray[np.void], turns: maglev.Turns, slots: int
) -> NDArray[np.uint16]:
    """By the program (its fd) in the memory of map `fill` (one abi.Fill)."""
    if slots != abi.RING_SLOTS:
        raise EffectError(f"ring.c fills rings of {abi.RING_SLOTS} slots, not {slots}")
    members = work["members"][: len(turns)]
    members["next"] = fractions(turns.offsets) + np.uint64(abi.FILL_BIAS)
    members["skip"] = fractions(turns.skips)
    order = maglev.order(turns.weights, slots)
    work["order"][:slots] = order
    work["taken"] = _EMPTY
    work["turn"] = work["free_slots"] = 0
    _run(program, work)
    # Not np.unique: it imports numpy.ma, 2 MB.
    last = np.flatnonzero(np.bincount(order[-abi.FILL_REST :]))
    work["inverse"][last] = [pow(skip, -1, slots) for skip in turns.skips[last].tolist()]
    work["free"] = slots_at(_free(work["taken"]))
    work["free_slots"] = abi.FILL_REST
    _run(program, work)
    filled: NDArray[np.uint16] = work["slots"][:slots].copy()
    return filled


def or_here(fill: maglev.Fill) -> maglev.Fill:
    """The same, but it does not fail: rings are made while decisions are.  A ring that the kernel
    does not fill (this process has no descriptor left, say) is filled by `maglev.fill`."""

    def filled(turns: maglev.Turns, slots: int) -> NDArray[np.uint16]:
        try:
            return fill(turns, slots)
        except EffectError as error:
            log.warning("ring filled here: %s", error)
            return maglev.fill(turns, slots)

    return filled


def _run(program: int, work: NDArray[np.void]) -> None:
    for _ in range(MAX_CALLS):
        result = _some_runs(program)
        if result == abi.FILL_DONE:
            return
        if result != abi.FILL_MORE:
            break
    raise EffectError(
        f"ring.c stopped after {work['turn']} of {abi.RING_SLOTS} turns: "
        "program and agent disagree; restart the agent"
    )


def _some_runs(program: int) -> int:
    try:
        return bpf_syscall.run_program(program, FRAME, RUNS_PER_CALL).result
    except InterruptedError:
        return abi.FILL_MORE  # a signal; the program goes on where it was
    except OSError as error:
        raise EffectError(f"test run of ring.c: {error.strerror}") from error
