# SPDX-License-Identifier: Apache-2.0
"""Packets with a known outcome: what a VIP's clients, routers and strangers send.  Pure.

Plain bytes, built by this page alone (RFC 791, 768, 792, 8200, 4443, 9293; 802.1Q): a node needs
no packet library.  The tests compare them with scapy's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from agent.nouns import Address, VipKey
from shared.model import Protocol

GATEWAY_MAC, OWN_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
_TCP, _UDP = 6, 17
_PORT = 40000
_PADDED = 4242
"""Destination port for a VIP of all ports."""
_FRAGMENT_MORE, _DF = 0x2000, 0x4000
_STRANGERS = ("198.51.100.253", "2001:db8:ffff:ffff::253")
_CLIENTS = ("192.0.2.7", "2001:db8:c::7")
_ROUTERS = ("203.0.113.1", "2001:db8:feed::1")


_NAMELESS = b"\xc0\0\0\0\1" + b"x" * 94
"""What names no server, whatever ids reals have: to QUIC an Initial, long header and version 1."""
_LEAST_MTU6 = 1280
"""To a packet up to that no IPv6 node says that it is too big (RFC 8201, section 4)."""


class Expect(StrEnum):
    """What must become of a frame."""

    SEND = "send"
    """Encapsulated to a real of the VIP."""
    SAME = "same"
    """As SEND, and to the real that the first SEND of the VIP went to."""
    PASS = "pass"
    DROP = "drop"
    TOO_BIG = "too big"
    """Answered by the MTU that would do; or dropped, if the node says nothing itself."""
    PONG = "pong"
    """Answered; passed, if the node leaves pings to the host."""


class Vector(NamedTuple):
    name: str
    frame: bytes
    expect: Expect
    reason: str = ""
    """Of a drop, by name."""
    holds: str = ""
    """Invariants, blank-separated (docs/conformance.md)."""
    source: str = ""
    """Who says so: RFC or IEEE number."""


def vectors(key: VipKey, served: frozenset[int], mtu: int) -> Iterator[Vector]:
    """Of one VIP; the first is a new flow's, later ones are of that flow.

    `served`: the ports of its protocol that VIPs of its address have, 0 if all; `mtu`: of the
    underlay.
    """
    six = key.address.version == 6
    plain = _flow(key, b"")
    yield Vector("a new flow", plain, Expect.SEND, "", "P1 P2", _outer_source(six))
    yield Vector("its next packet", _flow(key, _NAMELESS, flags=0x18), Expect.SAME, "", "F1 P2")
    if key.protocol is Protocol.TCP:
        yield Vector("a copy of its SYN", plain, Expect.SAME, "", "F2", "RFC 9293")
    marked = _flow(key, b"", flags=0x10, tos=0xBB)
    yield Vector("DSCP and ECN are copied", marked, Expect.SAME, "", "P1", "RFC 2983, RFC 6040")
    padded = _flow(key, b"", flags=0x10).ljust(74, b"\xee")
    yield Vector("padding of the link", padded, Expect.SAME, "", "P2", "RFC 894")
    tagged = plain[:12] + b"\x81\x00\x20\x07" + _flow(key, b"", flags=0x10)[12:]
    yield Vector("in a VLAN", tagged, Expect.SAME, "", "P1 P2", "IEEE 802.1Q")
    yield from _errors(key)
    yield from (_extended(key) if six else _odd4(key))
    yield from _broken(key, plain)
    yield from _large(key, mtu)
    yield _ping(key)
    yield from _others(key, served)


def _outer_source(six: bool) -> str:
    return "RFC 2473, RFC 4213" if six else "RFC 2003, RFC 2473"


# ---- the VIP's vectors


def _errors(key: VipKey) -> Iterator[Vector]:
    """About what a real sent: the quote has eight bytes behind its IP header."""
    six = key.address.version == 6
    client, router, vip = _client(key), _of(_ROUTERS, key), _vip(key)
    port = key.port or _PADDED
    quoted = _ip(vip, client, key.protocol, struct.pack("!HHI", port, _PORT, 7), length=1400)
    kinds = {1: "unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem"}
    if not six:
        kinds = {3: "unreachable", 11: "time exceeded", 12: "parameter problem"}
    for kind, name in kinds.items():
        code = 4 if kind == 3 and not six else 0
        frame = framed(icmp(router, vip, (kind, code), 1400, quoted))
        source = "RFC 4443, RFC 7690" if six else "RFC 792, RFC 7690"
        yield Vector(f"ICMP error: {name}", frame, Expect.SAME, "", "P3", source)
    unreachable = (1 if six else 3, 0)
    cut = framed(icmp(router, vip, unreachable, 0, quoted[:24]))
    yield Vector("ICMP error without ports", cut, Expect.DROP, "icmp_quote", "P6", "RFC 792")
    foreign = _ip(_of(_STRANGERS, key), client, key.protocol, bytes(8), length=1400)
    frame = framed(icmp(router, vip, unreachable, 0, foreign))
    yield Vector("ICMP error about another's packet", frame, Expect.PASS, "", "P5", "RFC 792")


def _odd4(key: VipKey) -> Iterator[Vector]:
    l4 = _l4(key, b"", 0x10)
    for name, bits in (("a first fragment", _FRAGMENT_MORE), ("a later fragment", 185)):
        frame = framed(ipv4(_client(key), _vip(key), _number(key), l4, fragment=bits))
        yield Vector(name, frame, Expect.DROP, "fragment", "P7", "RFC 791")
    optional = framed(ipv4(_client(key), _vip(key), _number(key), l4, options=b"\x01" * 4))
    yield Vector("IP options", optional, Expect.DROP, "ip_options", "P6", "RFC 791")


def _extended(key: VipKey) -> Iterator[Vector]:
    def behind(*headers: tuple[int, bytes]) -> bytes:
        following, chain = _number(key), _l4(key, b"", 0x10)
        for number, content in reversed(headers):
            following, chain = number, bytes([following]) + content + chain
        return framed(ipv6(_client(key), _vip(key), following, chain))

    options, routing = (60, b"\0\1\4\0\0\0\0"), (43, b"\0\4\0\0\0\0\0")
    rfc = "RFC 8200"
    yield Vector("an extension header", behind(options), Expect.SAME, "", "P2", rfc)
    four = behind((0, options[1]), options, routing, options)
    yield Vector("four extension headers", four, Expect.SAME, "", "P2", rfc)
    five = behind(*[options] * 5)
    yield Vector("five extension headers", five, Expect.DROP, "extension_header", "P6", rfc)
    on_the_way = behind((43, b"\0\4\1\0\0\0\0"))
    yield Vector("segments left", on_the_way, Expect.DROP, "extension_header", "P6", rfc)
    atomic = behind((44, b"\0\0\0\0\0\0\7"))
    yield Vector("an atomic fragment", atomic, Expect.SAME, "", "P7", "RFC 6946")
    for name, bits in (("a first fragment", b"\0\1"), ("a later fragment", b"\5\xc8")):
        frame = behind((44, b"\0" + bits + b"\0\0\0\7"))
        yield Vector(name, frame, Expect.DROP, "fragment", "P7", rfc)


def _broken(key: VipKey, plain: bytes) -> Iterator[Vector]:
    yield Vector("cut short", plain[:-1], Expect.DROP, "malformed", "P6", "RFC 8200, RFC 791")
    if key.protocol is Protocol.TCP:
        at = len(plain) - 20 + 12
        frame = plain[:at] + b"\x40" + plain[at + 1 :]
        yield Vector("a header too short", frame, Expect.DROP, "malformed", "P6", "RFC 9293")
    else:
        at = len(plain) - 8 + 4
        frame = plain[:at] + b"\0\7" + plain[at + 2 :]
        yield Vector("a length too short", frame, Expect.DROP, "malformed", "P6", "RFC 768")


def _large(key: VipKey, mtu: int) -> Iterator[Vector]:
    """Not even the smallest encapsulation leaves room for it; a new flow, so nothing is stored."""
    six = key.address.version == 6
    source = "RFC 8201, RFC 4443" if six else "RFC 1191, RFC 1812"
    frame = _flow(key, bytes(max(mtu, _LEAST_MTU6) if six else mtu), flags=0x10, port=_PORT + 1)
    yield Vector("too big", frame, Expect.TOO_BIG, "too_big", "P4", source)


def _ping(key: VipKey) -> Vector:
    six = key.address.version == 6
    frame = framed(icmp(_client(key), _vip(key), (128 if six else 8, 0), 0x4D0001, bytes(56)))
    return Vector("a ping", frame, Expect.PONG, "", "P10", "RFC 4443" if six else "RFC 1122")


def _others(key: VipKey, served: frozenset[int]) -> Iterator[Vector]:
    stranger = _of(_STRANGERS, key)
    frame = framed(_ip(_client(key), stranger, key.protocol, _l4(key, b"", 0x10)))
    yield Vector("to another address", frame, Expect.PASS, "", "P5")
    if 0 not in served:
        free = next(port for port in range(7, 65536) if port not in served)
        other = _flow(key._replace(port=free), b"")
        yield Vector("to another port", other, Expect.PASS, "", "P5")
    inner = _flow(key, b"")[14:]
    protocol = 41 if key.address.version == 6 else 4
    frame = framed(_raw(_client(key), _vip(key), protocol, inner))
    yield Vector("encapsulated for the VIP", frame, Expect.PASS, "", "P5 P9")
    arp = b"\xff" * 6 + GATEWAY_MAC + b"\x08\x06" + bytes(46)
    yield Vector("ARP", arp, Expect.PASS, "", "P5", "RFC 826")
    two = frame[:12] + b"\x81\x00\0\x08\x81\x00\0\x07" + _flow(key, b"")[12:]
    yield Vector("two VLAN tags", two, Expect.PASS, "", "P5", "IEEE 802.1Q")


# ---- packets


def _of(pair: tuple[str, str], key: VipKey) -> Address:
    return ip_address(pair[key.address.version == 6])


def _client(key: VipKey) -> Address:
    return _of(_CLIENTS, key)


def _vip(key: VipKey) -> Address:
    """The address; of a network its first."""
    return key.address


def _number(key: VipKey) -> int:
    return _TCP if key.protocol is Protocol.TCP else _UDP


def _l4(key: VipKey, payload: bytes, flags: int, port: int = _PORT) -> bytes:
    to_port = key.port or _PADDED
    if key.protocol is Protocol.TCP:
        return tcp(_client(key), _vip(key), (port, to_port), flags, payload)
    return udp(_client(key), _vip(key), (port, to_port), payload)


def _flow(
    key: VipKey, payload: bytes, *, flags: int = 0x02, tos: int = 0, port: int = _PORT
) -> bytes:
    """A packet of the VIP's flow, SYN unless `flags` say otherwise."""
    l4 = _l4(key, payload, flags, port)
    return framed(_raw(_client(key), _vip(key), _number(key), l4, tos=tos))


def _ip(source: Address, to: Address, protocol: Protocol, l4: bytes, length: int = 0) -> bytes:
    """`length`: of all, in the header, if what follows is cut short (a quote)."""
    return _raw(source, to, _TCP if protocol is Protocol.TCP else _UDP, l4, length=length)


def _raw(
    source: Address, to: Address, number: int, content: bytes, *, tos: int = 0, length: int = 0
) -> bytes:
    if source.version == 4:
        return ipv4(source, to, number, content, tos=tos, length=length)
    return ipv6(source, to, number, content, tos=tos, length=length)


def framed(packet: bytes) -> bytes:
    """In the Ethernet frame in which the gateway sends it."""
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return OWN_MAC + GATEWAY_MAC + kind + packet


def checksum(content: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(
    source: Address,
    to: Address,
    protocol: int,
    content: bytes,
    *,
    tos: int = 0,
    fragment: int = _DF,
    options: bytes = b"",
    length: int = 0,
) -> bytes:
    words = 5 + len(options) // 4
    total = length or 4 * words + len(content)
    head = struct.pack("!BBHHHBBH", 0x40 | words, tos, total, 4711, fragment, 57, protocol, 0)
    head += source.packed + to.packed + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + content


def ipv6(
    source: Address, to: Address, following: int, content: bytes, *, tos: int = 0, length: int = 0
) -> bytes:
    first = 6 << 28 | tos << 20 | 0x12345
    head = struct.pack("!IHBB", first, length or len(content), following, 57)
    return head + source.packed + to.packed + content


def _checked(source: Address, to: Address, number: int, segment: bytes, at: int) -> bytes:
    """With the checksum over the pseudo-header at this offset."""
    pseudo = source.packed + to.packed + struct.pack("!II", len(segment), number)
    check = checksum(pseudo + segment) or 0xFFFF * (number == _UDP)
    return segment[:at] + struct.pack("!H", check) + segment[at + 2 :]


def tcp(
    source: Address, to: Address, ports: tuple[int, int], flags: int, payload: bytes = b""
) -> bytes:
    head = struct.pack("!HHIIBBHHH", *ports, 1000, 0, 0x50, flags, 8192, 0, 0)
    return _checked(source, to, _TCP, head + payload, 16)


def udp(source: Address, to: Address, ports: tuple[int, int], payload: bytes = b"") -> bytes:
    head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    return _checked(source, to, _UDP, head + payload, 6)


def icmp(source: Address, to: Address, kind: tuple[int, int], rest: int, content: bytes) -> bytes:
    """The IP packet of an ICMP or ICMPv6 message; `kind`: type and code."""
    message = struct.pack("!BBHI", *kind, 0, rest) + content
    if isinstance(source, IPv4Address):
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        return ipv4(source, to, 1, message)
    return ipv6(source, to, 58, _checked(source, to, 58, message, 2))
