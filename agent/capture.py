# SPDX-License-Identifier: Apache-2.0
"""A captured packet head in words: what a drop event says of its packet.  Pure."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

ETHERTYPE_IPV4 = 0x0800
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}


class Ends(NamedTuple):
    """Who sends to whom; ports only where the packet shows them."""

    source: str
    destination: str
    protocol: str


def ends(head: bytes) -> Ends:
    """The ends of an Ethernet frame's IPv4 packet (RFC 791), however little of it is there."""
    if len(head) < 34 or int.from_bytes(head[12:14], "big") != ETHERTYPE_IPV4:
        return Ends("?", "?", "?")
    ip = head[14:]
    source, destination = str(IPv4Address(ip[12:16])), str(IPv4Address(ip[16:20]))
    protocol = PROTOCOLS.get(ip[9], f"ip-{ip[9]}")
    first_fragment = int.from_bytes(ip[6:8], "big") & 0x1FFF == 0
    start = (ip[0] & 15) * 4
    ports = ip[start : start + 4]
    if ip[9] in (6, 17) and first_fragment and start >= 20 and len(ports) == 4:
        source = f"{source}:{int.from_bytes(ports[:2], 'big')}"
        destination = f"{destination}:{int.from_bytes(ports[2:], 'big')}"
    return Ends(source, destination, protocol)
