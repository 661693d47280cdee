# SPDX-License-Identifier: Apache-2.0
"""The data plane's event ring: BPF ring buffer -> numpy records.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, one with
the producer's, then the records, there twice in a row so that none is ever broken.  All records
have one size (struct lb_event), so a batch is one strided copy.  The program never wakes us: call
`drain` by a timer.  That nothing came is seen without a system call; what came is mapped while it
is read, or the ring would count as resident, and twice.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.boundary import EffectError
from agent.dataplane import abi
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.mapped import window

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_RECORD = np.dtype([("length", "<u4"), ("page", "<u4"), ("event", np.dtype(abi.Event))])
EVENT = _RECORD["event"]
"""numpy's view of struct lb_event."""


class EventRing:
    """The ring's one consumer."""

    def __init__(self, pins: Path) -> None:
        """Raises EffectError if no event ring is pinned there."""
        try:
            fd = bpf.obj_get(str(pins / "events"))
        except OSError as error:
            raise EffectError(f"{pins / 'events'}: {error.strerror}; load the program") from error
        self._size = bpf.map_info(fd).max_entries
        self._fd = fd
        self._consumed = window(fd, 0, 8).view(np.uint64)
        self._produced = window(fd, mmap.PAGESIZE, 8, mmap.PROT_READ).view(np.uint64)

    def close(self) -> None:
        """Let the mappings go."""
        del self._consumed, self._produced
        os.close(self._fd)

    def drain(self, most: int = 4096) -> NDArray[Any] | None:
        """The events written since the last call, oldest first, at most so many; None: none."""
        consumed = int(self._consumed[0])
        waiting = (int(self._produced[0]) - consumed) // _RECORD.itemsize
        if waiting == 0:
            return None
        start, count = consumed & (self._size - 1), min(waiting, most)
        at, size = 2 * mmap.PAGESIZE + start, count * _RECORD.itemsize
        records = window(self._fd, at, size, mmap.PROT_READ).view(_RECORD)
        busy = np.flatnonzero(records["length"] & _BUSY)
        if busy.size:  # a CPU is still writing this one
            records = records[: int(busy[0])]
        kept = records["event"][(records["length"] & _DISCARDED) == 0].copy()
        self._consumed[0] = consumed + len(records) * _RECORD.itemsize
        return kept if kept.size else None
