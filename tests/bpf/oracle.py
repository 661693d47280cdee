# SPDX-License-Identifier: Apache-2.0
"""Predicts where the program sends a packet, from what docs/dataplane.md promises.

Own code, in whole numbers: it shares nothing with the C it checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

WORD = 2**64
SLOTS = 65537
RETRIES = 4
PROTOCOL = {"tcp": 6, "udp": 17}


class Flow(NamedTuple):
    """A client's flow to a VIP."""

    source: str
    port: int
    to: str
    to_port: int
    protocol: str


def hashed(flow: Flow, key: bytes) -> int:
    """The keyed 64-bit hash of the 5-tuple (bpf/hash.h)."""
    first, second = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    vip = (_word(flow.to) * 256 + PROTOCOL[flow.protocol]) * 0x9E3779B97F4A7C15
    ports = int.from_bytes(flow.port.to_bytes(2, "big") + flow.to_port.to_bytes(2, "big"), "little")
    x = (_word(flow.source) << 32 | ports) ^ ((first + vip) % WORD)
    x ^= x >> 32
    x = x * 0xD6E8FEB86659FD93 % WORD
    x ^= x >> 29
    x = (x + second) % WORD
    x = x * 0xA0761D6478BD642F % WORD
    return x ^ x >> 32


def slot(hash_: int) -> int:
    return (hash_ >> 32) * SLOTS // 2**32


def slots(hash_: int) -> list[int]:
    """Where a new flow looks, in this order, while the slot's real is down."""
    tried = []
    for _ in range(1 + RETRIES):
        tried.append(slot(hash_))
        hash_ = (hash_ * 0xD1342543DE82EF95 + 1) % WORD
    return tried


def real_num(hash_: int, ring: Sequence[int], down: frozenset[int] = frozenset()) -> int | None:
    """The number of the real that gets a new flow; None: it is dropped (no_real)."""
    for position in slots(hash_):
        if ring[position] == 0:
            return None
        if ring[position] not in down:
            return ring[position]
    return None


def outer_source(hash_: int, network: IPv4Network) -> str:
    """The address from which the flow is sent on: host bits from the hash as it lies in memory."""
    mask = network.hostmask.packed
    host = bytes(a & b for a, b in zip((hash_ % 2**32).to_bytes(4, "little"), mask, strict=True))
    if host in (bytes(4), mask):
        host = bytes([0, 0, 0, 1])
    prefix = network.network_address.packed
    return str(IPv4Address(bytes(a | b for a, b in zip(prefix, host, strict=True))))


def _word(address: str) -> int:
    return int.from_bytes(IPv4Address(address).packed, "little")
