# SPDX-License-Identifier: Apache-2.0
"""Weights -> ring: Maglev hashing with exact weights.  Pure; no clock, no I/O, no chance.

Maglev (Eisenbud et al., NSDI 2016, section 3.4) gives every member its own permutation of the
slots and lets the members take turns: each takes the next slot of its permutation that is free.
Here a member's number of turns is its exact share (largest remainders), and its turns are spread
over the fill in proportion to its weight.  `fill` is the reference; on a node bpf/ring.c takes
the same turns (docs/adr/0003) and must give the same bytes.

All that enters a ring is the set of {address, weight}, the seed and the number of slots: nodes
compute the same ring, whatever the order of their configs and the numbers in their maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.model import RING_SLOTS

Address = IPv4Address | IPv6Address

MAX_MEMBERS = 4096
MAX_WEIGHT = 4096
"""Up to here the order of turns is exact: two turns' times differ by more than 2**-24."""
NOBODY = 0xFFFF
"""A slot of the ring that has no members."""


class Turn(NamedTuple):
    """One member's part in the fill; its permutation is offset + n * skip mod slots."""

    address: Address
    weight: int
    """At least 1: who has no weight takes no turn."""
    offset: int
    skip: int


Fill = Callable[[Sequence[Turn], int], NDArray[np.uint16]]
"""(turns, slots) -> slot -> index into turns.  `fill` here, or `DataPlane.fill`."""


@dataclass(frozen=True, eq=False)
class Ring:
    """Who serves which slot.  With no members every slot is NOBODY's (INVARIANTS R5)."""

    addresses: tuple[Address, ...]
    """Ascending; those with weight only."""
    slots: NDArray[np.uint16]
    """slot -> index into addresses; read-only."""
    digest: str
    """12 hex digits over addresses and slots: equal on all nodes that place flows alike."""

    def counts(self) -> dict[Address, int]:
        """How many slots each address has."""
        counts = np.bincount(self.slots, minlength=len(self.addresses))
        return {address: int(counts[i]) for i, address in enumerate(self.addresses)}

    def real_nums(self, numbers: Mapping[Address, int]) -> NDArray[np.uint32]:
        """slot -> real_num, by each address's number; 0 (no real) everywhere if nobody is there."""
        if not self.addresses:
            return np.zeros(len(self.slots), np.uint32)
        return np.array([numbers[a] for a in self.addresses], np.uint32)[self.slots]


def ring(
    members: Mapping[Address, int],
    seed: bytes,
    *,
    slots: int = RING_SLOTS,
    fill: Fill | None = None,
) -> Ring:
    """The ring of a VIP: {address: weight}, the VIP's seed -> who serves which slot.

    Raises ValueError as `turns` does.
    """
    taken = turns(members, seed, slots)
    addresses = tuple(turn.address for turn in taken)
    filled = (fill or _fill)(taken, slots) if taken else np.full(slots, NOBODY, np.uint16)
    filled.setflags(write=False)
    return Ring(addresses, filled, _digest(addresses, filled))


def digest_of(real_nums: NDArray[np.uint32], numbers: Mapping[Address, int]) -> str:
    """The digest of a ring as a map holds it: slot -> real_num, 0 for nobody.

    `numbers`: those who should have slots.  A number that is none of theirs makes another digest.
    """
    addresses = sorted(numbers, key=lambda a: (a.version, a.packed))
    largest = max(int(real_nums.max(initial=0)), *numbers.values(), 0)
    places = np.full(largest + 1, NOBODY, np.uint16)
    places[[numbers[a] for a in addresses]] = np.arange(len(addresses), dtype=np.uint16)
    return _digest(addresses, places[real_nums])


def moved(old: Ring, new: Ring) -> int:
    """How many slots serve another address; a slot that gains or loses its real counts."""
    if len(old.slots) != len(new.slots):
        return max(len(old.slots), len(new.slots))
    names = {address: i for i, address in enumerate({*old.addresses, *new.addresses})}
    before, after = (
        ring.real_nums({a: names[a] + 1 for a in ring.addresses}) for ring in (old, new)
    )
    return int(np.count_nonzero(before != after))


def turns(members: Mapping[Address, int], seed: bytes, slots: int) -> tuple[Turn, ...]:
    """Members with weight in canonical order (by packed address), each with its permutation.

    Raises ValueError if slots is not a prime (a skip would then miss slots), a weight is outside
    0..MAX_WEIGHT, or there are more than MAX_MEMBERS members.
    """
    if not _is_prime(slots):
        raise ValueError(f"slots: must be a prime number, for example {RING_SLOTS}, got {slots}")
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"members: at most {MAX_MEMBERS}, got {len(members)}")
    for address, weight in members.items():
        if not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"weight of {address}: must be 0 to {MAX_WEIGHT}, got {weight}")
    key = hashlib.blake2b(seed, digest_size=32).digest()
    usable = sorted((a for a in members if members[a]), key=lambda a: (a.version, a.packed))
    return tuple(_turn(address, members[address], key, slots) for address in usable)


def quotas(weights: Sequence[int], slots: int) -> NDArray[np.int64]:
    """Whole slots per member, less than one away from slots * weight / sum (Hamilton's method).

    A larger weight never gives fewer slots while the others' weights stay.
    """
    shares = np.array(weights, np.int64) * slots
    total = int(shares.sum()) // slots
    whole = shares // total
    # Stable: between equal remainders the earlier member is first, on every machine.
    by_remainder = np.argsort(-(shares % total), kind="stable")
    whole[by_remainder[: slots - int(whole.sum())]] += 1
    return whole


def order(weights: Sequence[int], slots: int) -> NDArray[np.uint16]:
    """Whose turn it is, for each of the `slots` turns: index of the member.

    A member's turns fall at (n + 1/2) / weight, so that the order among any members does not depend
    on the others: what one of them does to the rest is small.
    """
    counts = quotas(weights, slots)
    who = np.repeat(np.arange(len(weights), dtype=np.int64), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    nth = np.arange(slots, dtype=np.int64) - first
    # Below 2**60: 2n+1 < 2**20, time scaled by 2**24, the member in the low 16 bits breaks ties.
    keys = (((2 * nth + 1) << 24) // np.array(weights, np.int64)[who] << 16) | who
    keys.sort(kind="stable")  # one ascending run per member: a merge, three times faster here
    return (keys & 0xFFFF).astype(np.uint16)


def fill(turns: Sequence[Turn], slots: int) -> NDArray[np.uint16]:
    """slot -> index into turns (not empty).  The pure reference of bpf/ring.c: about 40 ms."""
    ring = [NOBODY] * slots
    following = [turn.offset for turn in turns]
    skips = [turn.skip for turn in turns]
    for member in order([turn.weight for turn in turns], slots).tolist():
        slot, skip = following[member], skips[member]
        while ring[slot] != NOBODY:
            slot = (slot + skip) % slots
        ring[slot] = member
        following[member] = (slot + skip) % slots
    return np.array(ring, np.uint16)


_fill = fill  # ring() has an argument of that name


def _turn(address: Address, weight: int, key: bytes, slots: int) -> Turn:
    hashed = hashlib.blake2b(address.packed, key=key, digest_size=16).digest()
    offset = int.from_bytes(hashed[:8], "little") % slots
    skip = int.from_bytes(hashed[8:], "little") % (slots - 1) + 1
    return Turn(address, weight, offset, skip)


def _digest(addresses: Sequence[Address], slots: NDArray[np.uint16]) -> str:
    hashed = hashlib.blake2b(digest_size=6)
    hashed.update(b"".join(bytes([a.version]) + a.packed for a in addresses))
    hashed.update(slots.astype("<u2").tobytes())
    return hashed.hexdigest()


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))
