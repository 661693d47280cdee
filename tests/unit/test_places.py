# SPDX-License-Identifier: Apache-2.0
"""Cuckoo tables: full as allowed everything is found, whoever reads meanwhile misses nothing."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.dataplane import abi
from agent.dataplane.places import Places, make_room, vip_places

Table = NDArray[np.uint64]


def places_of(key: np.uint64) -> Places | None:
    return vip_places(int(key)) if key else None


def found(table: Table, key: int) -> bool:
    """As the program looks: two places."""
    return any(int(table[place]) == key for place in vip_places(key))


def put(table: Table, key: int, present: set[int]) -> None:
    """As agent/dataplane/vip_tables.py puts; after every single store everybody is still there."""

    def move(place: int, to: int) -> None:
        table[to] = table[place]
        assert all(found(table, other) for other in present), "a reader would miss one"

    room = make_room(table, vip_places(key), places_of, move)
    table[room] = key
    present.add(key)
    assert all(found(table, other) for other in present)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 511))
def test_any_order_of_puts_and_removals_finds_all(seed: int, most: int) -> None:
    """511 VIPs are what there can be; keys as lb_vip has them."""
    chance = random.Random(seed)
    table: Table = np.zeros(abi.PLACES, np.uint64)
    present: set[int] = set()
    for _ in range(700):
        if present and (len(present) >= most or chance.random() < 0.25):
            gone = chance.choice(sorted(present))
            present.discard(gone)
            for place in vip_places(gone):
                if int(table[place]) == gone:
                    table[place] = 0
        else:
            key = (
                chance.randrange(1, 512) << 17 | chance.randrange(2) << 16 | chance.randrange(65536)
            )
            if key not in present:
                put(table, key, present)
    assert sorted(int(key) for key in table[table != 0]) == sorted(present)


def test_a_full_table_has_room_for_everybody() -> None:
    """All 511, a thousand times over with other keys: nobody is refused."""
    chance = random.Random(11)
    longest = 0
    for _ in range(200):
        table: Table = np.zeros(abi.PLACES, np.uint64)
        moves = []
        for key in chance.sample(range(1 << 17, 1 << 26), 511):

            def move(place: int, to: int) -> None:
                table[to] = table[place]  # noqa: B023
                moves.append(place)  # noqa: B023

            table[make_room(table, vip_places(key), places_of, move)] = key
        assert np.count_nonzero(table) == 511
        longest = max(longest, len(moves))
    assert longest, "somebody had to make room, or the test tests nothing"
