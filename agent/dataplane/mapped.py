# SPDX-License-Identifier: Apache-2.0
"""Pinned memory-mapped arrays as numpy arrays.

The kernel puts every page of a mapping into the page table at once, and all of it counts as
resident: so small maps are mapped as a whole (`view`), the large ones (rings, flows, events) a
piece at a time (`window`), which costs some microseconds.
"""

from __future__ import annotations

import ctypes as c
import mmap
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def view(fd: int, struct: type[c.Structure], entries: int) -> NDArray[Any]:
    """All entries of an array map whose entry size is a multiple of 8; lives as long as it is held.

    Stores of aligned words are what the program sees, at once.
    """
    dtype = _dtype(struct)
    assert dtype.itemsize % 8 == 0, f"{struct.__name__}: the kernel would pad the entries"
    mapping = mmap.mmap(fd, _pages(dtype.itemsize * entries))
    return np.frombuffer(mapping, dtype, entries)


def window(
    fd: int, offset: int, size: int, prot: int = mmap.PROT_READ | mmap.PROT_WRITE
) -> NDArray[np.uint8]:
    """`size` bytes of a map from byte `offset`; unmapped when let go."""
    start = offset - offset % mmap.PAGESIZE
    mapping = mmap.mmap(fd, _pages(offset + size - start), prot=prot, offset=start)
    return np.frombuffer(mapping, np.uint8, size, offset - start)


@cache
def _dtype(struct: type[c.Structure]) -> np.dtype[Any]:
    """Worked out field by field: 0.3 ms for the larger ones."""
    return np.dtype(struct)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
