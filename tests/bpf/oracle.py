# SPDX-License-Identifier: Apache-2.0
"""Predicts where the program sends a packet, from what docs/dataplane.md promises.

Own code, in whole numbers: it shares nothing with the C it checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

WORD = 2**64
SLOTS = 65537
RETRIES = 15
PROTOCOL = {"tcp": 6, "udp": 17}


class Flow(NamedTuple):
    """A client's flow to a VIP."""

    source: str
    port: int
    to: str
    to_port: int
    protocol: str


class Outer(NamedTuple):
    """What of the outer headers the flow decides."""

    source: str
    label: int
    """IPv6 flow label; 0 for IPv4."""
    port: int
    """UDP source port, should there be UDP."""


ODD_1, ODD_2, ODD_3 = 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0x9E3779B97F4A7C15


def hashed(flow: Flow, key: bytes) -> int:
    """The keyed 64-bit hash of the 5-tuple (bpf/hash.h)."""
    first, second = _words(key)
    ports = int.from_bytes(flow.port.to_bytes(2, "big") + flow.to_port.to_bytes(2, "big"), "little")
    protocol = PROTOCOL[flow.protocol]
    if ip_address(flow.to).version == 6:
        return _hashed6(flow, first, second, ports)
    vip = (_word(flow.to) * 256 + protocol) * ODD_3
    x = _stirred((_word(flow.source) << 32 | ports) ^ ((first + vip) % WORD))
    return _finished(x + second)


def part(flow: Flow, option: str) -> Flow:
    """What of a flow the ring is asked with: equal for all that the option keeps together."""
    kept = {
        "flow": flow,
        "source": flow._replace(port=0, to_port=0),
        "source+port": flow._replace(port=0),
        "port": flow._replace(port=0, source="::" if ":" in flow.to else "0.0.0.0"),
    }
    return kept[option]


def _hashed6(flow: Flow, first: int, second: int, ports: int) -> int:
    source, to = _words(IPv6Address(flow.source).packed), _words(IPv6Address(flow.to).packed)
    vip = ((to[0] + to[1] * ODD_2) * 256 % WORD | PROTOCOL[flow.protocol]) * ODD_3
    x = _stirred(source[0] ^ (first + vip) % WORD)
    x = _stirred(source[1] ^ (x + second) % WORD)
    x = _stirred(ports ^ (x + first) % WORD)
    return _finished(x + second)


def _stirred(x: int) -> int:
    x = (x ^ x >> 32) * ODD_1 % WORD
    return x ^ x >> 29


def _finished(x: int) -> int:
    x = x % WORD * ODD_2 % WORD
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


def outer_source6(hash_: int, network: IPv6Network) -> str:
    """The hash as it lies in memory behind the /64; the last bit is 1, for 0 is every router's."""
    host = bytearray(hash_.to_bytes(8, "little"))
    host[7] |= 1
    return str(IPv6Address(network.network_address.packed[:8] + bytes(host)))


def outer(hash_: int, real: str, network: IPv4Network, network6: IPv6Network) -> Outer:
    """What the outer headers to this real have of the flow."""
    port = 49152 + hash_ % 2**14
    if ip_address(real).version == 6:
        return Outer(outer_source6(hash_, network6), hash_ % 2**20 | 1, port)
    return Outer(outer_source(hash_, network), 0, port)


def overhead(real: str, encap: str) -> int:
    """Bytes that the encapsulation adds."""
    return (40 if ip_address(real).version == 6 else 20) + (8 if encap == "gue" else 0)


def _words(packed: bytes) -> tuple[int, int]:
    return int.from_bytes(packed[:8], "little"), int.from_bytes(packed[8:], "little")


def _word(address: str) -> int:
    return int.from_bytes(IPv4Address(address).packed, "little")
