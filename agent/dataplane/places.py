# SPDX-License-Identifier: Apache-2.0
"""The data plane's tables of addresses and VIPs: where an entry stands, and how one is put there.

Cuckoo hashing (Pagh and Rodler 2004): every key has two places; who stands in the way moves to its
other one.  The program reads meanwhile: so a mover is copied before it is overwritten, and an entry
becomes visible by its last store.  Works on the arrays that it is given; knows no map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from agent.dataplane import abi

_BITS = abi.PLACES.bit_length() - 1
_WORD = 1 << 64
_ODD_1, _ODD_2 = 0xD6E8FEB86659FD93, 0xA0761D6478BD642F

Places = tuple[int, int]


def address_places(packed: bytes) -> Places:
    """Of an address (4 or 16 bytes, network order): bpf/address.h, address_hash()."""
    version = 4 if len(packed) == 4 else 6
    low, high = (int.from_bytes(packed[i : i + 8], "little") for i in (0, 8))
    return _places((low + version) * _ODD_1 % _WORD ^ high)


def vip_places(key: int) -> Places:
    """Of an lb_vip.key: vip_hash()."""
    return _places(key * _ODD_1 % _WORD)


def _places(x: int) -> Places:
    hashed = (x ^ x >> 32) * _ODD_2 % _WORD
    return hashed >> (64 - _BITS), hashed >> (64 - 2 * _BITS) & (abi.PLACES - 1)


def make_room(
    table: NDArray[Any],
    wanted: Places,
    places_of: Callable[[Any], Places | None],
    move: Callable[[int, int], None],
) -> int:
    """The place of `table` to write an entry to that may stand at `wanted`.

    places_of(entry): its two places, None if it is free.  move(a, b) copies entry a to place b; the
    place that is returned is free, or may be overwritten because its entry was moved.  Raises
    LookupError if no chain of moves ends at a free place (with a table a quarter full: never seen).
    """
    came_from: dict[int, int | None] = dict.fromkeys(wanted)
    waiting = deque(wanted)
    while waiting:
        place = waiting.popleft()
        theirs = places_of(table[place])
        if theirs is None:
            return _shift(place, came_from, move)
        other = theirs[0] + theirs[1] - place
        if other not in came_from:
            came_from[other] = place
            waiting.append(other)
    raise LookupError("no place for another entry: every chain of moves ends where it began")


def _shift(free: int, came_from: dict[int, int | None], move: Callable[[int, int], None]) -> int:
    """Move the chain's entries one on, the last first."""
    while (before := came_from[free]) is not None:
        move(before, free)
        free = before
    return free
