# SPDX-License-Identifier: Apache-2.0
"""The ring a second time, straight from the paper: slow, exact, and without core/maglev.py's code.

Maglev (NSDI 2016), section 3.4: offset and skip by two hashes, permutation[i][j] =
(offset + j * skip) mod M, and members taking turns.  Turns by weight: exact rational arithmetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def shares(weights: Mapping[bytes, int], slots: int) -> dict[bytes, int]:
    """Whole slots by largest remainder; equal remainders: the lower address first."""
    total = sum(weights.values())
    exact = {name: Fraction(slots * weight, total) for name, weight in weights.items()}
    whole = {name: int(share) for name, share in exact.items()}
    left = slots - sum(whole.values())
    for name in sorted(weights, key=lambda name: (whole[name] - exact[name], name))[:left]:
        whole[name] += 1
    return whole


def lookup_table(weights: Mapping[Address, int], seed: bytes, slots: int) -> list[Address]:
    """slot -> address."""
    packed = {address.packed: weight for address, weight in weights.items() if weight > 0}
    calls = [
        (Fraction(2 * n + 1, packed[name]), name)
        for name, count in shares(packed, slots).items()
        for n in range(count)
    ]
    preferences = {name: _permutation(name, seed, slots) for name in packed}
    entry: dict[int, bytes] = {}
    for _, name in sorted(calls):
        entry[next(slot for slot in preferences[name] if slot not in entry)] = name
    return [ip_address(entry[slot]) for slot in range(slots)]


def _permutation(name: bytes, seed: bytes, slots: int) -> Iterator[int]:
    key = hashlib.blake2b(seed, digest_size=32).digest()
    both = hashlib.blake2b(name, key=key, digest_size=16).digest()
    offset = int.from_bytes(both[:8], "little") % slots
    skip = int.from_bytes(both[8:], "little") % (slots - 1) + 1
    return ((offset + j * skip) % slots for j in range(slots))
