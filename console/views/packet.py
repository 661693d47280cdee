# SPDX-License-Identifier: Apache-2.0
"""The first bytes of a frame, header by header, the inner ones too.  Pure.

By hand: the bytes are cut off anywhere, come from hostile senders, and four header kinds are all
there is to say; nothing in them raises.  Formats: IEEE 802.3 and 802.1Q, RFC 791, 8200, 9293, 768,
792, 4443, 2003 (IPIP), 2473 and 4213 (IPv6 inside and outside); GUE as the data plane sends it
(draft-ietf-intarea-gue-09, variant 1: the IP header right behind UDP).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

DEEPEST = 6
"""Headers inside one another that are followed."""
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
ICMP_ERRORS = (3, 4, 5, 11, 12)
ICMP6_ERRORS = (1, 2, 3, 4)
PROTOCOLS = {1: "icmp", 4: "ipip", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre", 58: "icmp6"}


class Header(NamedTuple):
    depth: int
    """0: the frame's own; more: inside an IP packet or an ICMP error."""
    name: str
    text: str


def headers(head: bytes) -> list[Header]:
    """All that can be read of a frame that may be cut off."""
    return list(_ethernet(head))


def _ethernet(data: bytes) -> Iterator[Header]:
    if len(data) < 14:
        yield Header(0, "eth", f"cut off after {len(data)} bytes")
        return
    kind, rest = int.from_bytes(data[12:14], "big"), data[14:]
    yield Header(0, "eth", f"{data[6:12].hex(':')} -> {data[:6].hex(':')}  type 0x{kind:04x}")
    while kind in (0x8100, 0x88A8) and len(rest) >= 4:
        tag = int.from_bytes(rest[:2], "big")
        kind, rest = int.from_bytes(rest[2:4], "big"), rest[4:]
        yield Header(0, "vlan", f"id {tag & 0xFFF}  priority {tag >> 13}")
    if kind in (0x0800, 0x86DD):
        yield from _ip(rest, 0)


def _ip(data: bytes, depth: int) -> Iterator[Header]:
    if depth >= DEEPEST or not data:
        return
    version = data[0] >> 4
    if version == 4:
        yield from _ipv4(data, depth)
    elif version == 6:
        yield from _ipv6(data, depth)
    else:
        yield Header(depth, "ip", f"version {version}: neither 4 nor 6")


def _ipv4(data: bytes, depth: int) -> Iterator[Header]:
    if len(data) < 20:
        yield Header(depth, "ipv4", f"cut off after {len(data)} bytes")
        return
    length = (data[0] & 0xF) * 4
    fragment = int.from_bytes(data[6:8], "big")
    offset, more = (fragment & 0x1FFF) * 8, bool(fragment & 0x2000)
    words = [
        f"{IPv4Address(data[12:16])} -> {IPv4Address(data[16:20])}",
        f"{PROTOCOLS.get(data[9], data[9])}",
        f"ttl {data[8]}",
        f"length {int.from_bytes(data[2:4], 'big')}",
        f"id 0x{int.from_bytes(data[4:6], 'big'):04x}",
        f"dscp {data[1] >> 2}",
    ]
    if fragment & 0x4000:
        words.append("DF")
    if offset or more:
        words.append(f"fragment at {offset}{', more follow' if more else ''}")
    if length > 20:
        words.append(f"{length - 20} bytes of options")
    elif length < 20:
        words.append(f"header length {length}: too short")
    yield Header(depth, "ipv4", "  ".join(words))
    if not offset and length >= 20:
        yield from _inside(data[9], data[length:], depth)


def _ipv6(data: bytes, depth: int) -> Iterator[Header]:
    if len(data) < 40:
        yield Header(depth, "ipv6", f"cut off after {len(data)} bytes")
        return
    traffic = int.from_bytes(data[:4], "big")
    yield Header(
        depth,
        "ipv6",
        f"{IPv6Address(data[8:24])} -> {IPv6Address(data[24:40])}"
        f"  {PROTOCOLS.get(data[6], data[6])}  hop limit {data[7]}"
        f"  payload {int.from_bytes(data[4:6], 'big')}  dscp {traffic >> 22 & 0x3F}"
        f"  flow label 0x{traffic & 0xFFFFF:05x}",
    )
    yield from _inside(data[6], data[40:], depth)


def _inside(protocol: int, data: bytes, depth: int) -> Iterator[Header]:
    match protocol:
        case 6:
            yield _tcp(data, depth)
        case 17:
            yield from _udp(data, depth)
        case 4 | 41:
            yield from _ip(data, depth + 1)
        case 1 | 58:
            yield from _icmp(protocol, data, depth)


def _ports(data: bytes) -> str:
    return f"{int.from_bytes(data[:2], 'big')} -> {int.from_bytes(data[2:4], 'big')}"


def _tcp(data: bytes, depth: int) -> Header:
    if len(data) < 4:
        return Header(depth, "tcp", f"cut off after {len(data)} bytes")
    if len(data) < 14:
        return Header(depth, "tcp", f"{_ports(data)}  cut off")
    flags = [name for bit, name in enumerate(TCP_FLAGS) if data[13] >> bit & 1]
    numbers = [int.from_bytes(data[at : at + 4], "big") for at in (4, 8)]
    text = f"{_ports(data)}  {' '.join(flags) or 'no flags'}  seq {numbers[0]}  ack {numbers[1]}"
    return Header(depth, "tcp", text)


def _udp(data: bytes, depth: int) -> Iterator[Header]:
    if len(data) < 8:
        yield Header(depth, "udp", f"cut off after {len(data)} bytes")
        return
    yield Header(depth, "udp", f"{_ports(data)}  length {int.from_bytes(data[4:6], 'big')}")
    # GUE variant 1: the first nibble is that of an IP header.
    if int.from_bytes(data[2:4], "big") == GUE_PORT and data[8:]:
        yield from _ip(data[8:], depth + 1)


GUE_PORT = 9886
"""As in the sample config; of a node with another `gue_port` the UDP header only is shown."""


def _icmp(protocol: int, data: bytes, depth: int) -> Iterator[Header]:
    name = PROTOCOLS[protocol]
    if len(data) < 4:
        yield Header(depth, name, f"cut off after {len(data)} bytes")
        return
    yield Header(depth, name, f"type {data[0]}  code {data[1]}")
    if data[0] in (ICMP_ERRORS if protocol == 1 else ICMP6_ERRORS):
        yield from _ip(data[8:], depth + 1)


def hex_lines(head: bytes, *, width: int = 16) -> list[str]:
    """`0000  45 00 02 1c  E...`"""
    return [
        f"{at:04x}  {head[at : at + width].hex(' '):<{3 * width}} "
        + "".join(chr(b) if 32 <= b < 127 else "." for b in head[at : at + width])
        for at in range(0, len(head), width)
    ]
