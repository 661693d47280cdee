# SPDX-License-Identifier: Apache-2.0
"""A ring row's words: which real serves a slot, which did before, and whether the flow table knows
better (bpf/lb_abi.h, struct lb_ring).  Pure: arrays in, arrays out.

Flows of a slot whose two reals are equal need no entry in the flow table as long as that stays so.
When the ring changes, flows that are silent may still be without one: so the *first* real since
the ring was last settled is kept as the previous one, however often the ring changes meanwhile.
All others' flows of that slot are in the table: while the two differ every new flow is stored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.core.whereabouts import Slot
from agent.dataplane.abi import SLOT_BITS, SLOT_EXCEPTIONS, SLOT_REAL

Words = NDArray[np.uint32]
Change = Callable[[Words], Words]


def current(words: Words) -> Words:
    """slot -> real_num in force."""
    real_nums: Words = words & np.uint32(SLOT_REAL)
    return real_nums


def previous(words: Words) -> Words:
    """slot -> real_num of flows that may not be in the flow table."""
    return current(words >> np.uint32(SLOT_BITS))


def slot(word: int) -> Slot:
    """What one of the words says."""
    return Slot(word & SLOT_REAL, word >> SLOT_BITS & SLOT_REAL)


def named(words: Words) -> list[int]:
    """The real_nums that are anywhere in a ring, 0 left out."""
    there = np.bincount(current(words)) if len(words) else np.zeros(0, np.intp)
    before = np.bincount(previous(words)) if len(words) else np.zeros(0, np.intp)
    numbers = {*np.flatnonzero(there).tolist(), *np.flatnonzero(before).tolist()}
    return sorted(numbers - {0})


def settled(words: Words) -> bool:
    """Whether no slot remembers a previous real."""
    return bool((current(words) == previous(words)).all())


def following(words: Words, real_nums: Words) -> Words:
    """The words of a new ring behind the old one's."""
    found = words & np.uint32(~SLOT_REAL & 0xFFFFFFFF)
    found |= real_nums
    before = previous(words)
    # Back where it came from: what was placed meanwhile is in the table.
    returned = current(words) != before
    if returned.any():
        returned &= real_nums == before
        found |= returned * np.uint32(SLOT_EXCEPTIONS)
    nobodys = before == 0  # until now
    if nobodys.any():
        found |= nobodys * (real_nums << np.uint32(SLOT_BITS))
    return found


def forgotten(words: Words) -> Words:
    """Previous reals forgotten: their flows are in the table by now, or silent for too long."""
    now = current(words)
    found: Words = (now != previous(words)) * np.uint32(SLOT_EXCEPTIONS)
    found |= words & np.uint32(SLOT_EXCEPTIONS)
    found |= _both(now)
    return found


def without(words: Words, real_num: int) -> Words:
    """A previous real that is no more: its number may get another owner."""
    now = current(words)
    gone = previous(words) == real_num
    return np.where(gone, _both(now) | np.uint32(SLOT_EXCEPTIONS), words)


def _both(real_nums: Words) -> Words:
    """The same real in force and before."""
    words: Words = real_nums | real_nums << np.uint32(SLOT_BITS)
    return words
