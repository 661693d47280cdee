# SPDX-License-Identifier: Apache-2.0
"""IPv6 extension headers before TCP and UDP: walked up to four, and the flow is the same flow."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)

from agent.dataplane import abi
from agent.nouns import Encap
from tests.bpf import frames, oracle
from tests.bpf.rig import DNS6, DROP, GUE_PORT, KEY, OUTER, OUTER6, PASS, TX, WEB6, Rig

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 1, "fd00:3:1::2": 1, "10.3.2.2": 1}
NUMBER = {"hop-by-hop": 0, "routing": 43, "fragment": 44, "authentication": 51, "destination": 60}
L4_AT = 54


def header(kind: str, following: int, units: int = 0) -> bytes:
    """One extension header of 8 bytes and `units` more of its kind's (RFC 8200, RFC 4302)."""
    if kind == "fragment":
        return struct.pack("!BBHI", following, 0, 0, 77)
    if kind == "authentication":  # in words of four, without the first two
        return struct.pack("!BBHI", following, units, 0, 1) + bytes(4 * units)
    if kind == "routing":
        return struct.pack("!BBBBI", following, units, 4, 0, 0) + bytes(8 * units)
    return struct.pack("!BBBB", following, units, 1, 4 + 8 * units) + bytes(4 + 8 * units)


def extended(plain: bytes, kinds: tuple[str, ...], units: int = 0) -> bytes:
    """The frame with these headers between IPv6 and TCP or UDP."""
    numbers = [NUMBER[kind] for kind in kinds]
    followed_by = [*numbers[1:], plain[20]]
    chain = b"".join(header(*each, units) for each in zip(kinds, followed_by, strict=True))
    length = struct.pack("!H", len(plain) - L4_AT + len(chain))
    return plain[:18] + length + bytes([numbers[0]]) + plain[21:L4_AT] + chain + plain[L4_AT:]


def tcp(flags: str = "A", port: int = 40000, payload: bytes = b"") -> bytes:
    return frames.tcp(to=frames.VIP6, flags=flags, port=port, payload=payload)


CHAINS = [
    *itertools.product(NUMBER),
    *itertools.product(NUMBER, repeat=2),
    *random.Random(8200).sample([*itertools.product(NUMBER, repeat=3)], 12),
    *random.Random(8201).sample([*itertools.product(NUMBER, repeat=4)], 20),
]


def test_what_this_file_builds_is_what_scapy_builds() -> None:
    """Of the kinds that scapy knows."""
    six = IPv6(src=frames.CLIENT6, dst=frames.VIP6, hlim=57, fl=0x12345)
    chain = (
        IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
        / IPv6ExtHdrRouting(type=4, segleft=0, addresses=[])
        / IPv6ExtHdrFragment(id=77)
        / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    )
    ours = extended(tcp(), ("hop-by-hop", "routing", "fragment", "destination"))
    theirs = frames.framed(six / chain / TCP(sport=40000, dport=80, flags="A", seq=1000))
    assert ours == theirs


@pytest.mark.parametrize("units", [0, 1, 13])
def test_p2_the_flow_is_that_of_the_plain_packet_and_the_inner_one_untouched(
    rig: Rig, units: int
) -> None:
    """Every chain of one and two kinds, and some of three and four: found in the same entry."""
    service = rig.serve(WEB6, REALS)
    plain = rig.run(tcp("S"))
    real = service.address(service.sent_to(plain))
    flow = service.flow(40000)
    head = oracle.outer(oracle.hashed(flow, KEY), real, OUTER, OUTER6)
    for kinds in CHAINS:
        frame = extended(tcp(payload=b"\x5a" * 33), kinds, units)
        out = rig.run(frame)
        assert out.counted["flow_hits"] == out.counted["extended"] == 1, kinds
        assert out.output == frames.encapsulated(
            frame, source=head.source, real=real, label=head.label
        )


@pytest.mark.parametrize("kinds", CHAINS[::6])
def test_opening_and_udp_behind_extensions(rig: Rig, kinds: tuple[str, ...]) -> None:
    """A flow may begin with them; GUE and flow-table state as of a plain packet."""
    web, dns = rig.serve(WEB6, REALS), rig.serve(DNS6, REALS, Encap.GUE)
    opened = rig.run(extended(tcp("S"), kinds))
    assert opened.counted["flow_miss_syn"] == 1
    assert web.sent_to(opened) == web.predicted(40000)
    assert rig.run(tcp("A")).counted["flow_hits"] == 1
    asked = rig.run(extended(frames.udp(to=frames.VIP6), kinds))
    assert dns.sent_to(asked) == dns.predicted(40000)
    assert GUE_PORT.to_bytes(2, "big") in (asked.output[36:38], asked.output[56:58])
    assert rig.run(extended(tcp("F"), kinds)).counted["flow_hits"] == 1
    assert rig.flow(web.flow(40000))["state"] == abi.FLOW_CLOSING  # type: ignore[index]


def test_five_are_too_many(rig: Rig) -> None:
    rig.serve(WEB6, REALS)
    for kinds in random.Random(5).sample([*itertools.product(NUMBER, repeat=5)], 60):
        frame = extended(tcp(), kinds)
        out = rig.run(frame)
        assert (out.action, out.reason, out.output) == (DROP, "extension_header", frame)


@pytest.mark.parametrize("left", [0, 1, 2, 255])
@pytest.mark.parametrize("before", [(), ("destination",), ("hop-by-hop", "destination")])
def test_a_routing_header_must_have_been_followed(
    rig: Rig, before: tuple[str, ...], left: int
) -> None:
    """With segments left the VIP is not the packet's last destination (RFC 8200 section 4.4)."""
    rig.serve(WEB6, REALS)
    frame = bytearray(extended(tcp("S"), (*before, "routing")))
    frame[L4_AT + 8 * len(before) + 3] = left
    out = rig.run(bytes(frame))
    assert (out.action, out.reason) == ((DROP, "extension_header") if left else (TX, ""))


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (0x0000, ""),
        (0x0002, ""),  # reserved bits: ignored on reception
        (0x0006, ""),
        (0x0001, "fragment"),
        (0x0008, "fragment"),
        (0xFFF8, "fragment"),
        (0xFFF9, "fragment"),
    ],
)
@pytest.mark.parametrize("before", [(), ("hop-by-hop",), ("hop-by-hop", "destination", "routing")])
def test_p7_an_atomic_fragment_is_no_fragment(
    rig: Rig, before: tuple[str, ...], field: int, reason: str
) -> None:
    """RFC 6946: offset 0 and no more to come; wherever in the chain the header stands."""
    rig.serve(WEB6, REALS)
    frame = bytearray(extended(tcp("S"), (*before, "fragment")))
    at = L4_AT + 8 * len(before) + 2
    frame[at : at + 2] = field.to_bytes(2, "big")
    out = rig.run(bytes(frame))
    assert out.reason == reason
    assert (out.action == TX) == (not reason)


@pytest.mark.parametrize("kinds", CHAINS[3::7])
def test_p6_cut_at_every_byte(rig: Rig, kinds: tuple[str, ...]) -> None:
    """Passed while there is no IPv6 header, malformed until the last byte is there."""
    rig.serve(WEB6, REALS)
    frame = extended(tcp("S"), kinds)
    for length in range(14, len(frame)):
        out = rig.run(frame[:length])
        assert out.output == frame[:length]
        if length < L4_AT:
            assert out.action == PASS
        else:
            assert (out.action, out.reason) == (DROP, "malformed"), length
    assert rig.run(frame).action == TX


@pytest.mark.parametrize("kinds", CHAINS[3::7])
def test_p6_cut_at_every_byte_and_the_length_says_so(rig: Rig, kinds: tuple[str, ...]) -> None:
    """The IPv6 header agrees with the cut: still one reason, and no byte behind the end is read."""
    rig.serve(WEB6, REALS)
    frame = extended(tcp("S"), kinds)
    for length in range(L4_AT, len(frame)):
        for padded in (length, length + 40):
            cut = frame[:18] + struct.pack("!H", length - L4_AT) + frame[20:length]
            out = rig.run(cut.ljust(padded, b"\0"))
            assert out.action == DROP, length
            assert out.reason in ("malformed", "extension_header"), length


@pytest.mark.parametrize("last", [50, 58, 59, 132, 135, 139, 140, 253, 255])
@pytest.mark.parametrize("kinds", [("hop-by-hop",), ("destination", "routing")])
def test_what_ends_in_no_ports_has_one_reason(rig: Rig, kinds: tuple[str, ...], last: int) -> None:
    rig.serve(WEB6, REALS)
    plain = tcp()
    frame = extended(plain[:20] + bytes([last]) + plain[21:], kinds)
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, "extension_header", frame)


def test_a_header_longer_than_its_packet_is_malformed(rig: Rig) -> None:
    rig.serve(WEB6, REALS)
    for kind in ("hop-by-hop", "destination", "routing", "authentication"):
        for units in (4, 30, 255):
            frame = bytearray(extended(tcp(), (kind,)))
            frame[L4_AT + 1] = units
            assert rig.run(bytes(frame)).reason == "malformed", (kind, units)


@pytest.mark.parametrize("kinds", CHAINS[::5])
def test_p5_the_same_to_others_are_passed(rig: Rig, kinds: tuple[str, ...]) -> None:
    rig.serve(WEB6, REALS)
    for frame in (
        extended(frames.tcp(to="2001:db8::1"), kinds),
        extended(frames.tcp(to=frames.VIP6, to_port=81), kinds),
    ):
        out = rig.run(frame)
        assert (out.action, out.output) == (PASS, frame)
        assert "extended" not in out.counted


def test_p4_a_packet_too_big_behind_extensions_is_answered(rig: Rig) -> None:
    rig.serve(WEB6, {"10.3.1.2": 1})
    rig.configure(icmp_rate=100)
    out = rig.run(extended(tcp(payload=bytes(1420)), ("destination", "hop-by-hop")))
    assert out.counted["icmp_too_big"] == 1
    assert out.output[58:62] == (1480).to_bytes(4, "big")
