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
from functools import cache, lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from agent.nouns import Address
from shared.model import RING_SLOTS

MAX_MEMBERS = 4096
MAX_WEIGHT = 4096
"""Up to here the order of turns is exact: a turn's time has at most 27 bits (_write_order)."""
_VERSIONS = {4: b"\4", 6: b"\6"}
PIECES = 8
"""In so many a ring is worked on: arrays of 100 KiB are memory at hand, larger ones come from the
kernel page by page, and that takes longer than the work."""
NOBODY = 0xFFFF
"""A slot of the ring that has no members."""


class Turns(Struct, frozen=True, eq=False):
    """Each member's part in the fill; its permutation is offset + n * skip mod slots."""

    addresses: tuple[Address, ...]
    """In canonical order."""
    names: bytes
    """Of all of them: version and packed address."""
    weights: NDArray[np.int64]
    """At least 1: who has no weight takes no turn."""
    offsets: NDArray[np.int64]
    skips: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.addresses)


Fill = Callable[[Turns, int], NDArray[np.uint16]]
"""(turns, slots) -> slot -> index into turns.  `fill` here, or `DataPlane.fill`."""


class Ring(Struct, frozen=True, eq=False):
    """Who serves which slot.  With no members every slot is NOBODY's (INVARIANTS R5)."""

    addresses: tuple[Address, ...]
    """Ascending; those with weight only."""
    slots: NDArray[np.uint16]
    """slot -> index into addresses; read-only."""
    digest: str
    """12 hex digits over addresses and slots: equal on all nodes that place flows alike."""
    turns: NDArray[np.int64]
    """Of each address: a turn is a slot."""

    def counts(self) -> dict[Address, int]:
        """How many slots each address has."""
        return dict(zip(self.addresses, self.turns.tolist(), strict=True))

    def real_nums(self, numbers: Mapping[Address, int]) -> NDArray[np.uint32]:
        """slot -> real_num, by each address's number; 0 (no real) everywhere if nobody is there."""
        return placed(self.slots, np.array([numbers[a] for a in self.addresses], np.uint32))


def placed(slots: NDArray[np.uint16], numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """slot -> real_num, of slot -> index into numbers; 0 (no real) if nobody is there."""
    if not len(numbers):
        return np.zeros(len(slots), np.uint32)
    # Twice as fast as [slots]; an index that is none would be the last, and a ring has none.
    return numbers.take(slots, mode="clip")


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
    if not len(taken):
        filled, counts = np.full(slots, NOBODY, np.uint16), np.empty(0, np.int64)
    else:
        filled, counts = (fill or _fill)(taken, slots), quotas(taken.weights, slots)
    filled.setflags(write=False)
    return Ring(taken.addresses, filled, _digest(taken.names, filled), counts)


def digest_of(real_nums: NDArray[np.uint32], numbers: Mapping[Address, int]) -> str:
    """The digest of a ring as a map holds it: slot -> real_num, 0 for nobody.

    `numbers`: those who should have slots.  A number that is none of theirs makes another digest.
    """
    addresses = sorted(numbers, key=lambda a: (a.version, a.packed))
    largest = max(int(real_nums.max(initial=0)), *numbers.values(), 0)
    places = np.full(largest + 1, NOBODY, np.uint16)
    places[[numbers[a] for a in addresses]] = np.arange(len(addresses), dtype=np.uint16)
    return _digest(b"".join(map(_name, addresses)), places[real_nums])


def moved(old: Ring, new: Ring) -> int:
    """How many slots serve another address; a slot that gains or loses its real counts."""
    if len(old.slots) != len(new.slots):
        return max(len(old.slots), len(new.slots))
    names = {address: i for i, address in enumerate({*old.addresses, *new.addresses})}
    before, after = (
        ring.real_nums({a: names[a] + 1 for a in ring.addresses}) for ring in (old, new)
    )
    return int(np.count_nonzero(before != after))


def turns(members: Mapping[Address, int], seed: bytes, slots: int) -> Turns:
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
    usable = sorted([(_name(a), weight, a) for a, weight in members.items() if weight])
    names = tuple([name for name, _, _ in usable])
    words = np.frombuffer(_hashed(seed, names), "<u8").reshape(-1, 2)
    return Turns(
        addresses=tuple([address for _, _, address in usable]),
        names=b"".join(names),
        weights=np.array([weight for _, weight, _ in usable], np.int64),
        offsets=(words[:, 0] % slots).astype(np.int64),
        skips=(words[:, 1] % (slots - 1) + 1).astype(np.int64),
    )


def quotas(weights: Sequence[int] | NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    """Whole slots per member, less than one away from slots * weight / sum (Hamilton's method).

    A larger weight never gives fewer slots while the others' weights stay.
    """
    shares = np.asarray(weights, np.int64) * slots
    total = int(shares.sum()) // slots
    whole = shares // total
    # Stable: between equal remainders the earlier member is first, on every machine.
    by_remainder = np.argsort(-(shares % total), kind="stable")
    whole[by_remainder[: slots - int(whole.sum())]] += 1
    return whole


def order(weights: NDArray[np.int64], slots: int) -> NDArray[np.uint16]:
    """Whose turn it is, for each of the `slots` turns: index of the member.

    A member's turns fall at (n + 1/2) / weight, so that the order among any members does not depend
    on the others: what one of them does to the rest is small.

    So the order repeats itself: in a period each member takes as many turns as its weight says,
    without what divides all weights.  One period is sorted, and what is left at the end.

    Read-only: when a real fails that many VIPs share, their rings mostly have the same order.
    """
    return _order(weights.tobytes(), slots)


@lru_cache(maxsize=4)
def _order(packed: bytes, slots: int) -> NDArray[np.uint16]:
    weights = np.frombuffer(packed, np.int64)
    weights = weights // np.gcd.reduce(weights)
    period = int(weights.sum())
    periods = slots // period
    found = np.empty(slots, np.uint16)
    if periods:
        _write_order(found[:period], weights, weights)
        _repeat(found[: periods * period], period)
    _write_order(found[periods * period :], weights, quotas(weights, slots) - periods * weights)
    found.setflags(write=False)
    return found


def _repeat(found: NDArray[np.uint16], done: int) -> None:
    """The first `done`, again and again."""
    while done < len(found):
        more = found[done : 2 * done]
        more[:] = found[: len(more)]
        done *= 2


def _write_order(
    found: NDArray[np.uint16], weights: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Whose turn it is, into all of `found`: each member's first turns, so many as `counts` says.

    In pieces of time, see PIECES.  Half a period has the square of the largest weight in ticks: so
    turns at different times are at least a tick apart.
    """
    ticks, first, start = int(weights.max()) ** 2, np.zeros_like(weights), 0
    pieces = -(-len(found) * PIECES // RING_SLOTS)
    full = 2 * ticks * len(found) // int(weights.sum())  # when about all turns are taken
    for piece in range(1, pieces + 1):
        before = -(-(piece * full // pieces) * weights // ticks) // 2  # turns until then
        until = np.minimum(before, counts) if piece < pieces else counts
        end = start + int((until - first).sum())
        found[start:end] = _sorted_turns(weights, first, until - first, ticks)
        first, start = until, end


def _sorted_turns(
    weights: NDArray[np.int64], first: NDArray[np.int64], counts: NDArray[np.int64], ticks: int
) -> NDArray[np.uint16]:
    """Whose turn it is, of the turns first.. of each member, so many as `counts` says."""
    # (2n+1) * ticks // weight; below 2**53 a quotient of floats, cut off, is exact.
    times = np.arange(1, 2 * int(counts.sum()), 2, dtype=np.float64)
    times -= np.repeat(2.0 * (np.cumsum(counts) - counts - first), counts)
    times *= ticks
    times /= np.repeat(weights.astype(np.float64), counts)
    at = times.astype(np.uint32)
    at -= at.min(initial=1 << 31)
    members = np.repeat(np.arange(len(weights), dtype=np.uint16), counts)
    # By 16 bits: a radix sort, and whose times are equal stay as they are, member by member.
    by_time = np.argsort(at.astype(np.uint16), kind="stable")
    at >>= 16
    if at.any():
        by_time = by_time.take(np.argsort(at.astype(np.uint16).take(by_time), kind="stable"))
    return members.take(by_time)


def forget_orders() -> None:
    """128 KiB each: who needs one makes it anew, in 0.05 to 0.9 ms."""
    _order.cache_clear()


def fill(turns: Turns, slots: int) -> NDArray[np.uint16]:
    """slot -> index into turns (not empty).  The pure reference of bpf/ring.c: about 40 ms."""
    ring = [NOBODY] * slots
    following, skips = turns.offsets.tolist(), turns.skips.tolist()
    for member in order(turns.weights, slots).tolist():
        slot, skip = following[member], skips[member]
        while ring[slot] != NOBODY:
            slot = (slot + skip) % slots
        ring[slot] = member
        following[member] = (slot + skip) % slots
    return np.array(ring, np.uint16)


_fill = fill  # ring() has an argument of that name


def _name(address: Address) -> bytes:
    return _VERSIONS[address.version] + address.packed


@lru_cache(maxsize=4)  # for weights that change again and again; all members' would be 0.6 MiB
def _hashed(seed: bytes, names: tuple[bytes, ...]) -> bytes:
    """Where the members' permutations come from: they are the same in every ring of a VIP."""
    keyed = hashlib.blake2b(key=hashlib.blake2b(seed, digest_size=32).digest(), digest_size=16)

    def hashed(name: bytes) -> bytes:
        one = keyed.copy()
        one.update(name[1:])
        return one.digest()

    return b"".join(map(hashed, names))


def _digest(names: bytes, slots: NDArray[np.uint16]) -> str:
    hashed = hashlib.blake2b(names, digest_size=6)
    hashed.update(slots.astype("<u2", copy=False).data)
    return hashed.hexdigest()


@cache
def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))
