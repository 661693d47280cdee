# SPDX-License-Identifier: Apache-2.0
"""A flow, and many of them as bytes.  Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from shared.model import Address, Protocol, host_port

NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17}
"""IP's."""
_PROTOCOLS = {number: protocol for protocol, number in NUMBERS.items()}
_HEAD = struct.Struct("!BBHH")
_KINDS: dict[int, tuple[type[IPv4Address] | type[IPv6Address], int]] = {
    4: (IPv4Address, 4),
    6: (IPv6Address, 16),
}


class Flow(NamedTuple):
    """Of a client; both addresses are of one family."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int
    protocol: Protocol

    def __str__(self) -> str:
        source = host_port(str(self.source), self.source_port)
        return f"{source} -> {host_port(str(self.destination), self.destination_port)}/" + str(
            self.protocol
        )


def packed(flow: Flow) -> bytes:
    """As `flows` of FlowsOf has it: 14 bytes, of IPv6 38."""
    head = _HEAD.pack(
        flow.destination.version, NUMBERS[flow.protocol], flow.source_port, flow.destination_port
    )
    return head + flow.source.packed + flow.destination.packed


def unpacked(flows: bytes) -> Iterator[Flow]:
    """Raises ValueError for what is no flow, and says at which byte."""
    at = 0
    while at < len(flows):
        try:
            version, number, source_port, port = _HEAD.unpack_from(flows, at)
            kind, size = _KINDS[version]
            protocol = _PROTOCOLS[number]
        except (struct.error, KeyError):
            raise ValueError(f"no flow at byte {at} of {len(flows)}") from None
        middle, end = at + _HEAD.size + size, at + _HEAD.size + 2 * size
        if end > len(flows):
            raise ValueError(f"the flow at byte {at} of {len(flows)} is cut short")
        source, destination = kind(flows[middle - size : middle]), kind(flows[middle:end])
        yield Flow(source, source_port, destination, port, protocol)
        at = end


def chunks(flows: Iterable[Flow], most: int) -> Iterator[bytes]:
    """Packed, at most so many bytes together."""
    parts: list[bytes] = []
    size = 0
    for flow in flows:
        part = packed(flow)
        if size + len(part) > most:
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield b"".join(parts)
