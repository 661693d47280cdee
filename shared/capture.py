# SPDX-License-Identifier: Apache-2.0
"""A captured packet head in words: who sends to whom.  Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from shared.model import host_port

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
PROTOCOLS = {
    1: "icmp",
    4: "ipip",
    6: "tcp",
    17: "udp",
    41: "ipv6",
    44: "fragment",
    58: "icmpv6",
}
TCP_FLAGS = "FSRPAUEW"
"""From the lowest bit on (RFC 9293, RFC 3168), as tcpdump abbreviates them but for ACK."""
UNKNOWN = "?"


class Ends(NamedTuple):
    """Who sends to whom; ports only where the packet shows them."""

    source: str
    destination: str
    protocol: str


def ends(head: bytes) -> Ends:
    """The ends of an Ethernet frame's IP packet (RFC 791, RFC 8200), however little is there.

    IPv6 addresses with a port stand in brackets (RFC 5952).  Extension headers are not walked: the
    first one's name is the protocol.
    """
    kind, ip = int.from_bytes(head[12:14], "big"), head[14:]
    if kind == ETHERTYPE_IPV4 and len(ip) >= 20:
        return _ipv4(ip)
    if kind == ETHERTYPE_IPV6 and len(ip) >= 40:
        return _ipv6(ip)
    return Ends(UNKNOWN, UNKNOWN, UNKNOWN)


def tcp_flags(head: bytes) -> str:
    """`SA`: of a TCP packet that shows them; else empty."""
    ip = head[14:]
    if ends(head).protocol != "tcp" or (
        ip[0] >> 4 == 4 and int.from_bytes(ip[6:8], "big") & 0x1FFF
    ):
        return ""
    at = 40 if ip[0] >> 4 == 6 else (ip[0] & 15) * 4
    flags = ip[at + 13] if len(ip) > at + 13 else 0
    return "".join(letter for bit, letter in enumerate(TCP_FLAGS) if flags >> bit & 1)


def _ipv4(ip: bytes) -> Ends:
    hosts = str(IPv4Address(ip[12:16])), str(IPv4Address(ip[16:20]))
    first_fragment = int.from_bytes(ip[6:8], "big") & 0x1FFF == 0
    start = (ip[0] & 15) * 4
    behind = ip[start:] if first_fragment and start >= 20 else b""
    return _with_ports(*hosts, ip[9], behind)


def _ipv6(ip: bytes) -> Ends:
    return _with_ports(str(IPv6Address(ip[8:24])), str(IPv6Address(ip[24:40])), ip[6], ip[40:])


def _with_ports(source: str, destination: str, protocol: int, behind: bytes) -> Ends:
    if protocol in (6, 17) and len(behind) >= 4:
        source = host_port(source, int.from_bytes(behind[:2], "big"))
        destination = host_port(destination, int.from_bytes(behind[2:4], "big"))
    return Ends(source, destination, PROTOCOLS.get(protocol, f"ip-{protocol}"))
