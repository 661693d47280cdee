# SPDX-License-Identifier: Apache-2.0
"""Rings: exact shares, little movement, the same on every node."""

from __future__ import annotations

import math
import random
from ipaddress import IPv4Address, ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.core import maglev
from agent.nouns import Address
from shared.model import RING_SLOTS
from tests.maglev_oracle import lookup_table

Members = dict[Address, int]

SEED = b"10.200.0.1:80/tcp"
SMALL = 1009  # a prime: hypothesis tries many rings

addresses = st.integers(0x0A000000, 0x0AFFFFFF).map(IPv4Address)
weights = st.one_of(st.integers(1, 1000), st.sampled_from([1, 100, 1000]))
members_of = st.dictionaries(addresses, weights, min_size=1, max_size=40)


def crowd(count: int, *, mixed: int = 0) -> Members:
    """`count` members; equal weights, or random ones of 1..mixed."""
    chance = random.Random(f"{count}/{mixed}")
    chosen = sorted(chance.sample(range(0x0A000000, 0x0BFFFFFF), count))
    return {IPv4Address(a): chance.randint(1, mixed) if mixed else 100 for a in chosen}


def changed(old: maglev.Ring, new: maglev.Ring, but: Address) -> int:
    """Slots that moved although neither before nor after they were `but`'s."""
    numbers = {a: i + 1 for i, a in enumerate({*old.addresses, *new.addresses})}
    before, after = old.real_nums(numbers), new.real_nums(numbers)
    mine = numbers[but]
    return int(np.count_nonzero((before != after) & (before != mine) & (after != mine)))


def lost(old: maglev.Ring, new: maglev.Ring, by: Address) -> int:
    """Slots that were `by`'s and are no more."""
    numbers = {a: i + 1 for i, a in enumerate({*old.addresses, *new.addresses})}
    was, now = old.real_nums(numbers) == numbers[by], new.real_nums(numbers) == numbers[by]
    return int(np.count_nonzero(was & ~now))


def worst_share(members: Members, ring: maglev.Ring) -> float:
    """Slots by which the counts differ from exact shares, at most."""
    total, counts = sum(members.values()), ring.counts()
    found = np.bincount(ring.slots, minlength=len(ring.addresses))
    assert list(counts.values()) == found.tolist()
    return max(abs(counts.get(a, 0) - len(ring.slots) * w / total) for a, w in members.items())


# ---- R1: a function of {address, weight}, the seed and the size


@pytest.mark.parametrize(
    ("members", "digest"),
    [
        ({"10.3.1.2": 100, "10.3.2.2": 100, "10.3.3.2": 100}, "52abeb0d217d"),
        ({"10.3.1.2": 1, "10.3.2.2": 1000}, "af5cf8294030"),
        ({"192.0.2.1": 7}, "16643de67e48"),
        ({f"10.3.{n}.2": 1 + n * n % 97 for n in range(100)}, "1ae68be7574f"),
        ({"2001:db8::1": 5, "10.3.1.2": 5}, "4e08a8a3dddd"),
        ({}, "64d5f32afe52"),
    ],
)
def test_r1_golden_digests(members: dict[str, int], digest: str) -> None:
    """What nodes of all versions must agree on: a change here moves everybody's flows."""
    listed = {ip_address(address): weight for address, weight in members.items()}
    assert maglev.ring(listed, SEED).digest == digest


@given(members_of, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_r1_order_and_numbers_do_not_matter(members: Members, chance: random.Random) -> None:
    shuffled = list(members.items())
    chance.shuffle(shuffled)
    one = maglev.ring(members, SEED, slots=SMALL)
    other = maglev.ring(dict(shuffled), SEED, slots=SMALL)
    assert one.addresses == other.addresses
    assert np.array_equal(one.slots, other.slots)
    assert one.digest == other.digest


def test_r1_another_seed_is_another_ring() -> None:
    members = crowd(10)
    assert maglev.moved(maglev.ring(members, b"a"), maglev.ring(members, b"b")) > RING_SLOTS // 2


@given(members_of, st.binary(max_size=80))
@settings(max_examples=40, deadline=None)
def test_r1_equals_the_paper(members: Members, seed: bytes) -> None:
    ring = maglev.ring(members, seed, slots=251)
    assert [ring.addresses[i] for i in ring.slots] == lookup_table(members, seed, 251)


@pytest.mark.parametrize("mixed", [0, 1000])
def test_r1_equals_the_paper_at_full_size(mixed: int) -> None:
    members = crowd(100, mixed=mixed)
    ring = maglev.ring(members, SEED)
    assert [ring.addresses[i] for i in ring.slots] == lookup_table(members, SEED, RING_SLOTS)


@pytest.mark.parametrize(
    "weights",
    [
        [7],
        [100] * 7,
        [300, 200, 100, 100],
        [4096, 4095, 1],
        [1] * 999 + [1000],
        [1 + n * n % 100 for n in range(1000)],
        [1 + n * 577 % 4096 for n in range(4096)],
    ],
    ids=["one", "equal", "hundreds", "heavy", "999-to-1", "mixed", "widest"],
)
def test_r1_turns_are_taken_in_order_of_their_times(weights: list[int]) -> None:
    every = math.lcm(*weights)
    counts = maglev.quotas(weights, RING_SLOTS).tolist()
    calls = [
        ((2 * n + 1) * (every // weight), member)
        for member, weight in enumerate(weights)
        for n in range(counts[member])
    ]
    found = maglev.order(np.array(weights, np.int64), RING_SLOTS)
    assert found.tolist() == [member for _, member in sorted(calls)]


# ---- R2: exact shares; no weight, no slot


@given(members_of)
@settings(max_examples=50, deadline=None)
def test_r2_shares_are_exact(members: Members) -> None:
    ring = maglev.ring(members, SEED, slots=SMALL)
    assert worst_share(members, ring) < 1
    assert sum(ring.counts().values()) == SMALL


@pytest.mark.parametrize(
    "members",
    [
        crowd(2),
        crowd(3, mixed=1000),
        crowd(100, mixed=100),
        crowd(1000, mixed=1000),
        # The case that breaks fills by credit: a crowd of ones beside one heavy member.
        dict.fromkeys(crowd(999), 1) | {IPv4Address("192.0.2.1"): 1000},
    ],
    ids=["2", "3-mixed", "100-mixed", "1000-mixed", "999-to-1"],
)
def test_r2_shares_are_exact_at_full_size(members: Members) -> None:
    assert worst_share(members, maglev.ring(members, SEED)) < 1


@given(members_of, st.data())
@settings(max_examples=30, deadline=None)
def test_r2_weight_0_has_no_slot(members: Members, data: st.DataObject) -> None:
    resting = data.draw(st.sampled_from(sorted(members)))
    ring = maglev.ring(members | {resting: 0}, SEED, slots=SMALL)
    assert resting not in ring.addresses
    others = {a: w for a, w in members.items() if a != resting}
    assert ring.digest == maglev.ring(others, SEED, slots=SMALL).digest


# ---- R3: who leaves or comes does little to the rest


@pytest.mark.parametrize("count", [2, 3, 10, 100, 300, 1000])
@pytest.mark.parametrize(("mixed", "allowed"), [(0, 0.010), (100, 0.020), (1000, 0.020)])
def test_r3_removal_moves_little_else(count: int, mixed: int, allowed: float) -> None:
    members = crowd(count, mixed=mixed)
    full = maglev.ring(members, SEED)
    ranked = sorted(members)
    for gone in {ranked[0], ranked[count // 2], ranked[-1]}:
        rest = maglev.ring({a: w for a, w in members.items() if a != gone}, SEED)
        assert changed(full, rest, but=gone) <= allowed * RING_SLOTS


def test_r3_add_and_remove_is_the_identity() -> None:
    members = crowd(34, mixed=100)
    before = maglev.ring(members, SEED)
    maglev.ring(members | {IPv4Address("192.0.2.1"): 50}, SEED)
    assert np.array_equal(before.slots, maglev.ring(members, SEED).slots)


# ---- R4: a weight that rises


@pytest.mark.parametrize("count", [8, 34, 300])
def test_r4_a_rising_weight_keeps_its_slots(count: int) -> None:
    """At most 4 of its own slots go away (nearly always: docs/adr/0003 has the exceptions)."""
    members = crowd(count, mixed=100)
    for chosen in sorted(members)[:: max(1, count // 3)]:
        before = maglev.ring(members, SEED)
        for step in (1, 10, 100):
            after = maglev.ring(members | {chosen: members[chosen] + step}, SEED)
            assert lost(before, after, by=chosen) <= 4


@given(members_of, st.data())
@settings(max_examples=50, deadline=None)
def test_r4_a_ramp_never_takes_a_step_back(members: Members, data: st.DataObject) -> None:
    chosen = data.draw(st.sampled_from(sorted(members)))
    ranked = sorted(members)
    ramp = [
        maglev.quotas([members[a] if a != chosen else weight for a in ranked], SMALL)
        for weight in range(1, 60)
    ]
    mine = [int(counts[ranked.index(chosen)]) for counts in ramp]
    assert mine == sorted(mine)


# ---- R5, R6, R7


def test_r5_nobody_is_explicit() -> None:
    nobody: list[Members] = [{}, {IPv4Address("10.3.1.2"): 0}]
    for members in nobody:
        ring = maglev.ring(members, SEED)
        assert ring.addresses == ()
        assert set(ring.slots.tolist()) == {maglev.NOBODY}
        assert not ring.real_nums({}).any()
        assert len(ring.real_nums({})) == RING_SLOTS
        assert ring.counts() == {}
        assert maglev.moved(ring, maglev.ring(crowd(3), SEED)) == RING_SLOTS
        assert maglev.moved(ring, ring) == 0


@pytest.mark.parametrize("slots", [2, 251, 65537, 655373])
def test_r6_a_permutation_visits_every_slot(slots: int) -> None:
    """655373 is where 32-bit arithmetic would wrap."""
    turns = maglev.turns(crowd(20), SEED, slots)
    for offset, skip in zip(turns.offsets, turns.skips, strict=True):
        visited = (offset + np.arange(slots, dtype=np.int64) * skip) % slots
        assert np.count_nonzero(np.bincount(visited, minlength=slots) == 1) == slots
    assert worst_share(crowd(20), maglev.ring(crowd(20), SEED, slots=slots)) < 1


@pytest.mark.parametrize("slots", [-7, 0, 1, 4, 65536, 65535, 1009 * 1013])
def test_r7_slots_that_are_not_prime_are_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="slots: must be a prime"):
        maglev.ring(crowd(3), SEED, slots=slots)


@pytest.mark.parametrize("weight", [-1, maglev.MAX_WEIGHT + 1])
def test_a_weight_out_of_range_is_refused(weight: int) -> None:
    with pytest.raises(ValueError, match=r"weight of 10\.3\.1\.2: must be 0 to"):
        maglev.ring({IPv4Address("10.3.1.2"): weight}, SEED)


def test_too_many_members_are_refused() -> None:
    with pytest.raises(ValueError, match="members: at most"):
        maglev.ring(crowd(maglev.MAX_MEMBERS + 1), SEED)


# ---- what others build on


def test_moved_counts_slots_that_change_address() -> None:
    full, rest = crowd(4), dict(list(crowd(4).items())[1:])
    old, new = maglev.ring(full, SEED), maglev.ring(rest, SEED)
    by_hand = sum(
        old.addresses[a] != new.addresses[b] for a, b in zip(old.slots, new.slots, strict=True)
    )
    assert maglev.moved(old, new) == maglev.moved(new, old) == by_hand > RING_SLOTS // 4


def test_real_nums_are_the_addresses_numbers() -> None:
    members = crowd(3)
    ring = maglev.ring(members, SEED)
    numbers = {address: 10 * (i + 1) for i, address in enumerate(members)}
    row = ring.real_nums(numbers)
    assert row.dtype == np.uint32
    counts = {numbers[a]: n for a, n in ring.counts().items()}
    assert {int(n): int(c) for n, c in zip(*np.unique(row, return_counts=True), strict=True)} == (
        counts
    )


def test_a_given_fill_is_used() -> None:
    asked = []

    def spy(turns: maglev.Turns, slots: int) -> NDArray[np.uint16]:
        asked.append(len(turns))
        return maglev.fill(turns, slots)

    assert maglev.ring(crowd(3), SEED, fill=spy).digest == maglev.ring(crowd(3), SEED).digest
    assert asked == [3]
