# SPDX-License-Identifier: Apache-2.0
"""The conformance vectors are what scapy builds; the judge sees what is wrong with an output."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, _ICMPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from agent.conformance import judge
from agent.conformance.vectors import Expect, Vector, vectors
from agent.nouns import Address, Encap, VipKey
from shared import reasons
from shared.model import Protocol

WEB = VipKey(IPv4Address("10.200.0.1"), 80, Protocol.TCP)
DNS = VipKey(IPv4Address("10.200.0.1"), 53, Protocol.UDP)
WEB6 = VipKey(IPv6Address("2001:db8:200::1"), 80, Protocol.TCP)
DNS6 = VipKey(IPv6Address("2001:db8:200::1"), 53, Protocol.UDP)
NET = VipKey(IPv4Address("203.0.113.0"), 0, Protocol.TCP, 24)
KEYS = (WEB, DNS, WEB6, DNS6, NET)
UNDER = judge.Underlay(IPv4Network("10.9.0.0/16"), IPv6Network("100::/64"), 9886, 1500)
BROKEN = {"cut short", "a header too short", "a length too short", "ARP"}


def of(key: VipKey) -> list[Vector]:
    return list(vectors(key, frozenset({key.port}), 1500))


def rebuilt(frame: bytes) -> bytes:
    """By scapy, every checksum anew."""
    packet = Ether(frame)
    layer: Packet = packet
    while layer.payload and not str(layer.name).endswith("in ICMP"):
        for name in ("chksum", "cksum"):
            if name in layer.fields and isinstance(layer, (IP, TCP, UDP, ICMP, _ICMPv6)):
                del layer.fields[name]
        layer = layer.payload
    return bytes(packet)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_vectors_are_what_scapy_builds(key: VipKey) -> None:
    """P1's other side: headers, lengths and checksums of what goes in."""
    compared = 0
    for vector in of(key):
        if vector.name not in BROKEN:
            assert rebuilt(vector.frame).hex() == vector.frame.hex(), vector.name
            compared += 1
    assert compared > 15


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_vectors_name_reasons_that_there_are(key: VipKey) -> None:
    names = {reason.name for reason in reasons.REASONS}
    for vector in of(key):
        assert bool(vector.reason) == (vector.expect in (Expect.DROP, Expect.TOO_BIG))
        assert not vector.reason or vector.reason in names
        assert len(vector.frame) >= 14
    listed = [vector.name for vector in of(key)]
    assert len(set(listed)) == len(listed)


def outer(real: str, inner: bytes, *, gue: bool, **changes: Any) -> bytes:  # noqa: ANN401  # scapy's
    """What the node must send, by scapy."""
    number = 17 if gue else 41 if inner[0] >> 4 == 6 else 4
    carried = UDP(sport=50001, dport=9886, chksum=0) / Raw(inner) if gue else Raw(inner)
    fields: dict[str, Any] = {"src": "10.9.1.1", "dst": real, "ttl": 64, "id": 0, "flags": "DF"}
    fields["proto"] = number
    if ":" in real:
        fields = {"src": "100::5", "dst": real, "hlim": 64, "nh": number, "fl": 3}
    fields.update(changes)
    head = IPv6(**fields) if ":" in real else IP(**fields)
    # Without its own addresses scapy asks the network for them, and waits.
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    ether.type = 0x86DD if ":" in real else 0x0800
    return bytes(ether / head / carried)


@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
@pytest.mark.parametrize("real", ["10.3.1.2", "fd00:3:1::2"])
@pytest.mark.parametrize("key", [WEB, DNS6], ids=str)
def test_p1_the_judge_knows_right_from_wrong(key: VipKey, real: str, *, gue: bool) -> None:
    """Every field of an outer header, wrong in turn."""
    frame = of(key)[0].frame
    inner = frame[14:]
    address: Address = IPv6Address(real) if ":" in real else IPv4Address(real)
    reals = {address: Encap.GUE if gue else Encap.IPIP}
    right = outer(real, inner, gue=gue)
    assert judge.sent(frame, right, reals, UNDER) == (address, "")
    wrong: list[dict[str, Any]] = [{"dst": real + "2"}]
    if ":" in real:
        wrong += [
            {"hlim": 63},
            {"tc": 1},
            {"fl": 0},
            {"nh": 6},
            {"plen": 7},
            {"src": "100::"},
            {"src": "::1"},
        ]
    else:
        wrong += [{"ttl": 63}, {"tos": 1}, {"id": 9}, {"flags": 0}, {"proto": 6}, {"len": 7}]
        wrong += [{"chksum": 1}, {"src": "10.9.0.0"}, {"src": "10.9.255.255"}, {"src": "1.2.3.4"}]
    for change in wrong:
        assert judge.sent(frame, outer(real, inner, gue=gue, **change), reals, UNDER).problem
    assert judge.sent(frame, right[:-1], reals, UNDER).problem
    assert judge.sent(frame, right + b"\0", reals, UNDER).problem
    other = {address: Encap.IPIP if gue else Encap.GUE}
    assert judge.sent(frame, right, other, UNDER).problem


def test_the_judge_wants_the_same_vlan() -> None:
    tagged = next(vector for vector in of(WEB) if vector.name == "in a VLAN").frame
    right = outer("10.3.1.2", tagged[18:], gue=False)
    reals: dict[Address, Encap] = {IPv4Address("10.3.1.2"): Encap.IPIP}
    assert not judge.sent(tagged, right[:12] + tagged[12:16] + right[12:], reals, UNDER).problem
    assert judge.sent(tagged, right, reals, UNDER).problem == "it left in another VLAN"
