# SPDX-License-Identifier: Apache-2.0
"""Counting flows: the flow table as the program keeps it -> live flows per real.

Reads the memory-mapped table in pieces that fit the CPU's cache; the program goes on meanwhile, so
a count is exact only for flows that do not change during it.  Reading changes nothing (INVARIANTS
F9).
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.dataplane import abi
from agent.dataplane.jiffies import HZ
from agent.dataplane.mapped import window

_PIECE = 32768
"""Entries looked at together: half a MiB."""
_MARGIN = HZ
"""Jiffies that a flow may be younger than the clock we read: packets arrive while we count."""
_NOBODY = 0xFFFFFFFF
HALF_CLOSED = abi.FLOW_CLOSING + 6
"""State of a flow whose client ended its half and goes on acknowledging (flows.h)..."""
RECEIVES = 5
"""...which is live for so many seconds after its last packet: nobody sees it end."""


class Silence(NamedTuple):
    """Jiffies since a real's live flows were heard of."""

    least: int
    most: int


class Census(NamedTuple):
    live: NDArray[np.int64]
    """By real_num: seen within the idle time, not closing, of the real's current generation."""
    occupied: tuple[int, ...]
    """Entries that hold a flow, live or not, of each part."""
    silence: Mapping[int, Silence]
    """Of the reals that were asked for and have live flows, by real_num."""


def census(
    fd: int,
    parts: Sequence[range],
    reals: NDArray[Any],
    idle: NDArray[np.uint32],
    jiffies: int,
    *,
    watched: Collection[int] = (),
) -> Census:
    """Count the flow entries in these parts of map `fd`; `reals`: struct lb_real by real_num.

    `idle`: jiffies of silence after which a real's flow is over, by real_num; `jiffies`: now;
    `watched`: real_nums whose flows' silence is wanted.
    """
    size = c.sizeof(abi.Flow)
    expected = _expected(reals)
    now, limit = np.uint32(jiffies + _MARGIN & 0xFFFFFFFF), idle + np.uint32(_MARGIN)
    live, occupied = np.zeros(abi.MAX_REALS, np.int64), [0] * len(parts)
    silence = _Silences(watched)
    for part, first, count in _pieces(parts):
        words = window(fd, first * size, count * size).view(np.uint32).reshape(count, 4)
        seen = words[:, 2].copy()
        held = int(np.count_nonzero(seen))
        if held == 0:
            continue
        occupied[part] += held
        whose = words[:, 3].copy()  # real_num | generation << 16 | state << 24
        real_num = whose & (abi.MAX_REALS - 1)
        # closing is the last of the states
        counts = (seen != 0) & (now - seen <= limit[real_num]) & (whose < abi.FLOW_CLOSING << 24)
        receiving = (whose >= HALF_CLOSED << 24) & (seen != 0)
        counts |= receiving & (now - seen <= np.uint32(RECEIVES * HZ + _MARGIN))
        counts &= expected[real_num] == whose & 0xFFFFFF
        live += np.bincount(np.where(counts, real_num, 0), minlength=abi.MAX_REALS)
        if watched:
            silence.note(real_num[counts], (now - seen)[counts])
    live[0] = 0  # the entries that do not count
    return Census(live, tuple(occupied), silence.found())


def _pieces(parts: Sequence[range]) -> Iterator[tuple[int, int, int]]:
    """(which part, first entry, how many)"""
    for part, entries in enumerate(parts):
        for first in entries[::_PIECE]:
            yield part, first, min(_PIECE, entries.stop - first)


class Stored(NamedTuple):
    """A flow's entry."""

    cpu: int
    real_num: int
    generation: int
    state: int
    silent: int
    """Jiffies."""


def stored(
    fd: int, cpus: int, per_cpu: int, tags: NDArray[np.uint64], jiffies: int
) -> dict[int, list[Stored]]:
    """The entries of these flows, by tag: in the sets where a packet would look, on all CPUs.

    Flows that have none are left out.
    """
    found: dict[int, list[Stored]] = {}
    size, sets = c.sizeof(abi.Flow), per_cpu // abi.FLOW_WAYS
    ways = np.arange(abi.FLOW_WAYS)
    places = (tags & np.uint64(sets - 1)).astype(np.int64)[:, None] * abi.FLOW_WAYS + ways
    for cpu in range(cpus):
        table = window(fd, cpu * per_cpu * size, per_cpu * size).view(np.uint64).reshape(-1, 2)
        there = table[places]  # [flow, way, word]
        for flow, way in np.argwhere(there[:, :, 0] == tags[:, None]).tolist():
            tag, word = there[flow, way].tolist()
            seen, whose = word & _NOBODY, word >> 32
            if seen:
                silent = _aged(np.uint32(jiffies + _MARGIN - seen & _NOBODY))
                entry = Stored(cpu, whose & 0xFFFF, whose >> 16 & 0xFF, whose >> 24, silent)
                found.setdefault(tag, []).append(entry)
    return found


class Ages(NamedTuple):
    """By real_num, of entries of the real's current generation."""

    closing: NDArray[np.int64]
    opening: NDArray[np.int64]
    """Live ones with nothing but SYNs."""
    silent: NDArray[np.int64]
    """[real_num, bound]: live ones by how long they have been silent."""
    longest: NDArray[np.uint32]
    """Jiffies for which the most silent live one has been so."""


def ages(
    fd: int,
    parts: Sequence[range],
    reals: NDArray[Any],
    idle: NDArray[np.uint32],
    jiffies: int,
    *,
    bounds: Sequence[int],
) -> Ages:
    """As `census`, in more detail; `bounds`: jiffies, ascending."""
    size, kinds = c.sizeof(abi.Flow), len(bounds) + 1
    expected = _expected(reals)
    now, limit = np.uint32(jiffies + _MARGIN & 0xFFFFFFFF), idle + np.uint32(_MARGIN)
    closing, opening = np.zeros(abi.MAX_REALS, np.int64), np.zeros(abi.MAX_REALS, np.int64)
    silent = np.zeros(abi.MAX_REALS * kinds, np.int64)
    longest = np.zeros(abi.MAX_REALS, np.uint32)
    for _, first, count in _pieces(parts):
        words = window(fd, first * size, count * size).view(np.uint32).reshape(count, 4)
        held = words[words[:, 2] != 0]
        seen, whose = held[:, 2], held[:, 3]
        real_num, state = (whose & (abi.MAX_REALS - 1)).astype(np.int64), whose >> 24
        mine = expected[real_num] == whose & 0xFFFFFF
        closing += _counted(real_num[mine & (state >= abi.FLOW_CLOSING)])
        live = mine & (state < abi.FLOW_CLOSING) & (now - seen <= limit[real_num])
        opening += _counted(real_num[live & (state == 0)])
        real_num, aged = real_num[live], np.maximum(now - seen[live], _MARGIN) - np.uint32(_MARGIN)
        kind = np.searchsorted(bounds, aged, side="right")
        silent += np.bincount(real_num * kinds + kind, minlength=len(silent))
        np.maximum.at(longest, real_num, aged)
    return Ages(closing, opening, silent.reshape(-1, kinds), longest)


def _counted(real_nums: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(real_nums, minlength=abi.MAX_REALS)


class _Silences:
    """The least and the most by real_num, piece by piece."""

    def __init__(self, watched: Collection[int]) -> None:
        self._watched = np.zeros(abi.MAX_REALS, np.bool_)
        self._watched[list(watched)] = True
        self._least = np.full(abi.MAX_REALS, _NOBODY, np.uint32)
        self._most = np.zeros(abi.MAX_REALS, np.uint32)

    def note(self, real_num: NDArray[np.uint32], silent: NDArray[np.uint32]) -> None:
        mine = self._watched[real_num]
        whose, jiffies = real_num[mine], silent[mine]
        np.minimum.at(self._least, whose, jiffies)
        np.maximum.at(self._most, whose, jiffies)

    def found(self) -> dict[int, Silence]:
        there = np.flatnonzero(self._watched & (self._least != _NOBODY)).tolist()
        return {n: Silence(_aged(self._least[n]), _aged(self._most[n])) for n in there}


def _aged(jiffies: np.uint32) -> int:
    return max(0, int(jiffies) - _MARGIN)


def _expected(reals: NDArray[Any]) -> NDArray[np.uint32]:
    """By real_num: real_num | generation << 16 as a flow of its present owner has it."""
    numbers = np.arange(abi.MAX_REALS, dtype=np.uint32)
    current = numbers | reals["generation"].astype(np.uint32) << 16
    return np.where(reals["vip_num"] != 0, current, np.uint32(_NOBODY))
