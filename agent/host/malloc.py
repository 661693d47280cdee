# SPDX-License-Identifier: Apache-2.0
"""glibc's malloc, told what this process is like: what is freed goes back to the kernel."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
_libc = ctypes.CDLL(None)


def configure() -> None:
    """Before any thread runs.

    Rings come and go by the quarter MiB.  malloc, left to itself, takes to keeping what is freed
    and the agent would hold twice what it needs; with a fixed threshold it goes back at once.
    Nor does a thread need an arena of its own: one runs at a time.
    """
    _libc.mallopt(_M_MMAP_THRESHOLD, 128 * 1024)
    _libc.mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Whole pages between what is used: a MiB after the first round of checks, some 0.1 ms."""
    _libc.malloc_trim(0)
