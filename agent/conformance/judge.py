# SPDX-License-Identifier: Apache-2.0
"""Is a frame that the program left what it must be?  Pure, and knows nothing of how it is made.

Every function says what is wrong in words, empty if nothing is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from agent.conformance.vectors import checksum
from agent.nouns import Address, Encap

_ETHERNET, _TAG = 14, 4
_VLAN = (b"\x81\x00", b"\x88\xa8")
_OVERHEAD = {4: 20, 6: 40}
_UDP = 8


class Underlay(NamedTuple):
    """What the node's config says about outer headers."""

    outer_source: IPv4Network
    outer_source6: IPv6Network
    gue_port: int
    mtu: int


class Sent(NamedTuple):
    real: Address | None
    """Whom the outer header names; None: there is no telling."""
    problem: str


def sent(frame: bytes, output: bytes, reals: Mapping[Address, Encap], under: Underlay) -> Sent:
    """RFC 2003, 2473, 4213, GUE variant 1: the outer header of `output`, and `frame` inside."""
    frame, output, problem = _untagged(frame, output)
    if problem:
        return Sent(None, problem)
    kind = output[12:14]
    if kind not in (b"\x08\x00", b"\x86\xdd"):
        return Sent(None, f"ethertype {kind.hex()}")
    inner, outer = frame[_ETHERNET:], output[_ETHERNET:]
    real: Address = IPv4Address(outer[16:20])
    if kind == b"\x86\xdd":
        real = IPv6Address(outer[24:40])
    if real not in reals:
        return Sent(None, f"sent to {real}, which is no real of the VIP")
    gue = reals[real] is Encap.GUE
    size = _OVERHEAD[real.version] + (_UDP if gue else 0)
    if outer[size:] != inner:
        return Sent(real, "the inner packet is not as it came")
    length, tos, number = _of_ip(inner)
    check = _outer4 if real.version == 4 else _outer6
    problem = check(outer, size + length, tos, 17 if gue else number, under)
    if not problem and gue:
        problem = _gue(outer[size - _UDP : size], _UDP + length, under.gue_port)
    return Sent(real, problem)


def _untagged(frame: bytes, output: bytes) -> tuple[bytes, bytes, str]:
    if frame[12:14] not in _VLAN:
        return frame, output, ""
    if output[12:16] != frame[12:16]:
        return frame, output, "it left in another VLAN"
    return frame[:12] + frame[16:], output[:12] + output[16:], ""


def _of_ip(packet: bytes) -> tuple[int, int, int]:
    """(length, traffic class, protocol number of the encapsulation)."""
    if packet[0] >> 4 == 6:
        first, length = struct.unpack_from("!IH", packet)
        return 40 + length, first >> 20 & 255, 41
    return struct.unpack_from("!H", packet, 2)[0], packet[1], 4


def _outer4(outer: bytes, total: int, tos: int, number: int, under: Underlay) -> str:
    head = struct.unpack_from("!BBHHHBB", outer)
    wanted = (0x45, tos, total, 0, 0x4000, 64, number)
    if head != wanted:
        return f"outer IPv4 header {head}, must be {wanted}"
    if checksum(outer[:20]):
        return "the outer header's checksum is wrong"
    network, source = under.outer_source, IPv4Address(outer[12:16])
    ends = (network.network_address, network.broadcast_address)
    if source not in network or (source in ends and network.prefixlen < 31):
        return f"outer source {source} is no host of {network}"
    return ""


def _outer6(outer: bytes, total: int, tos: int, number: int, under: Underlay) -> str:
    first, *rest = struct.unpack_from("!IHBB", outer)
    wanted = [total - 40, number, 64]
    if first >> 20 != 0x600 | tos or rest != wanted:
        return f"outer IPv6 header {first:#x} {rest}, must be class {tos:#x} {wanted}"
    if not first & 0xFFFFF:
        return "the flow label is 0"
    source = IPv6Address(outer[8:24])
    if source not in under.outer_source6 or source == under.outer_source6.network_address:
        return f"outer source {source} is no host of {under.outer_source6}"
    return ""


def _gue(header: bytes, length: int, port: int) -> str:
    source, to, given, check = struct.unpack("!HHHH", header)
    if (to, given, check) != (port, length, 0) or source < 49152:
        return f"UDP header {(source, to, given, check)}, must be (49152.., {port}, {length}, 0)"
    return ""


def too_big(frame: bytes, output: bytes, reals: Mapping[Address, Encap], under: Underlay) -> str:
    """RFC 1191, RFC 4443: the VIP's answer, with the MTU that one of the encapsulations leaves."""
    packet, said = frame[_ETHERNET:], output[_ETHERNET:]
    overheads = {
        _OVERHEAD[address.version] + (_UDP if encap is Encap.GUE else 0)
        for address, encap in reals.items()
    }
    fitting = {under.mtu - overhead for overhead in overheads}
    if packet[0] >> 4 == 6:
        fitting = {max(1280, mtu) for mtu in fitting}
        head, at, kind = (said[8:24], said[24:40]), 40, (2, 0)
        addresses = (packet[24:40], packet[8:24])
    else:
        head, at, kind = (said[12:16], said[16:20]), 20, (3, 4)
        addresses = (packet[16:20], packet[12:16])
    if head != addresses:
        return "the answer is not from the VIP to the sender"
    if len(said) < at + 36 or tuple(said[at : at + 2]) != kind:
        return f"ICMP type and code {tuple(said[at : at + 2])}, must be {kind}"
    mtu = int.from_bytes(said[at + 4 : at + 8], "big")
    if mtu not in fitting:
        return f"MTU {mtu}, must be one of {sorted(fitting)}"
    quoted = said[at + 8 :]
    return _icmp_sum(said, at) or ("" if packet.startswith(quoted) else "the quote is another's")


def pong(frame: bytes, output: bytes) -> str:
    """RFC 792, RFC 4443: the same message as a reply, addresses turned around."""
    asked, said = frame[_ETHERNET:], output[_ETHERNET:]
    six = asked[0] >> 4 == 6
    at, width, first, kind = (40, 16, 8, 129) if six else (20, 4, 12, 0)
    source, to = asked[first : first + width], asked[first + width : first + 2 * width]
    if said[first : first + 2 * width] != to + source:
        return "the answer is not from the VIP to the sender"
    if said[at] != kind or said[at + 4 :] != asked[at + 4 :]:
        return "the answer is not the echo of what was asked"
    return _icmp_sum(said, at)


def _icmp_sum(packet: bytes, at: int) -> str:
    message = packet[at:]
    if packet[0] >> 4 == 6:
        message = packet[8:40] + struct.pack("!II", len(message), 58) + message
    return "the ICMP checksum is wrong" if checksum(message) else ""
