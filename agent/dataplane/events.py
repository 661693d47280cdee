# SPDX-License-Identifier: Apache-2.0
"""The data plane's event ring: BPF ring buffer -> numpy records, without a system call.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, one with
the producer's, then the records, mapped twice in a row so that none is ever broken.  All records
have one size (struct lb_event), so a batch is one strided copy.  The program never wakes us: call
`drain` by a timer.
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
        page = mmap.PAGESIZE
        ours = mmap.mmap(fd, page)
        theirs = mmap.mmap(fd, page + 2 * self._size, prot=mmap.PROT_READ, offset=page)
        os.close(fd)
        self._consumed = np.frombuffer(ours, np.uint64, 1)
        self._produced = np.frombuffer(theirs, np.uint64, 1)
        self._bytes = np.frombuffer(theirs, np.uint8, 2 * self._size, page)

    def close(self) -> None:
        """Let the mappings go."""
        del self._consumed, self._produced, self._bytes

    def drain(self, most: int = 4096) -> NDArray[Any] | None:
        """The events written since the last call, oldest first, at most so many; None: none."""
        consumed = int(self._consumed[0])
        waiting = (int(self._produced[0]) - consumed) // _RECORD.itemsize
        if waiting == 0:
            return None
        start, count = consumed & (self._size - 1), min(waiting, most)
        records = self._bytes[start : start + count * _RECORD.itemsize].view(_RECORD)
        busy = np.flatnonzero(records["length"] & _BUSY)
        if busy.size:  # a CPU is still writing this one
            records = records[: int(busy[0])]
        kept = records["event"][(records["length"] & _DISCARDED) == 0].copy()
        self._consumed[0] = consumed + len(records) * _RECORD.itemsize
        return kept if kept.size else None
