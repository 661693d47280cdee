# SPDX-License-Identifier: Apache-2.0
"""Frames of a capture -> the flows in them.  Pure.

As the data plane reads a packet (bpf/packet.h): IPv4 without options and IPv6 without extension
headers, TCP and UDP, no fragments.  What a tunnel carries (IP in IP) counts as what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from console.model.capture_file import Frame
from shared.flows import NUMBERS, Flow

ETHERNET, RAW, SLL, SLL2 = 1, (12, 14, 101, 228, 229), 113, 276
"""LINKTYPE_ of tcpdump.org: Ethernet, IP without anything before, what `tcpdump -i any` writes."""
_VLAN = (0x8100, 0x88A8)
_IPV4, _IPV6 = 0x0800, 0x86DD
_PROTOCOLS = {number: protocol for protocol, number in NUMBERS.items()}
_INNER = (4, 41)
"""IPv4 and IPv6 in IP."""


class Captured(NamedTuple):
    flows: tuple[Flow, ...]
    """Each once, in the order of their first packets."""
    packets: int
    others: int
    """Packets of no flow: fragments, options, ICMP, ARP, another link layer, cut too short."""
    more: bool
    """There were more flows than were wanted."""


def captured(frames: Iterable[Frame], most: int) -> Captured:
    """The first `most` flows."""
    flows: dict[Flow, None] = {}
    packets = others = 0
    more = False
    for frame in frames:
        packets += 1
        flow = flow_of(frame)
        if flow is None:
            others += 1
        elif len(flows) < most:
            flows[flow] = None
        else:
            more |= flow not in flows
    return Captured(tuple(flows), packets, others, more)


def flow_of(frame: Frame) -> Flow | None:
    ip = _ip(frame)
    for _ in range(2):  # a tunnel, and what is in it
        inner = _inner(ip)
        if inner is None:
            break
        ip = inner
    return _flow(ip)


def _ip(frame: Frame) -> bytes:
    """The packet behind the link layer's header; empty: none."""
    content = frame.content
    if frame.link in RAW:
        return content
    at = {ETHERNET: 12, SLL: 14, SLL2: 0}.get(frame.link)
    if at is None:
        return b""
    kind = int.from_bytes(content[at : at + 2], "big")
    at += 20 if frame.link == SLL2 else 2
    while kind in _VLAN:
        kind = int.from_bytes(content[at + 2 : at + 4], "big")
        at += 4
    return content[at:] if kind in (_IPV4, _IPV6) else b""


def _inner(ip: bytes) -> bytes | None:
    protocol, at = _header(ip)
    return ip[at:] if protocol in _INNER else None


def _header(ip: bytes) -> tuple[int, int]:
    """(protocol, where its header begins); 0: nothing that is balanced."""
    version = ip[0] >> 4 if ip else 0
    if version == 4 and len(ip) >= 20 and ip[0] & 15 == 5:
        fragment = int.from_bytes(ip[6:8], "big") & 0x3FFF
        return (0 if fragment else ip[9]), 20
    if version == 6 and len(ip) >= 40:
        return ip[6], 40
    return 0, 0


def _flow(ip: bytes) -> Flow | None:
    number, at = _header(ip)
    protocol = _PROTOCOLS.get(number)
    if protocol is None or len(ip) < at + 4:
        return None
    source_port, port = int.from_bytes(ip[at : at + 2], "big"), ip[at + 2 : at + 4]
    to_port = int.from_bytes(port, "big")
    if not (source_port and to_port):
        return None
    if at == 20:
        source, to = IPv4Address(ip[12:16]), IPv4Address(ip[16:20])
        return Flow(source, source_port, to, to_port, protocol)
    source6, to6 = IPv6Address(ip[8:24]), IPv6Address(ip[24:40])
    return Flow(source6, source_port, to6, to_port, protocol)
