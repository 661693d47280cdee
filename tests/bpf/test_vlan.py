# SPDX-License-Identifier: Apache-2.0
"""One VLAN tag: a packet leaves in the VLAN in which it came, and nothing else is different."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from agent.nouns import Encap, VipKey
from tests.bpf import frames, icmp_frames
from tests.bpf.rig import DNS, DNS6, DROP, PASS, TX, WEB, WEB6, Rig
from tests.bpf.test_ping import ping, pong

pytestmark = pytest.mark.root

MIXED = {"10.3.1.2": 1, "fd00:3:1::2": 1, "10.3.2.2": 1}
KINDS = {"802.1Q": 0x8100, "802.1ad": 0x88A8}
VLANS = (0x0000, 0x0007, 0x0FFF, 0xE007, 0xFFFF)
"""Tag control: priority, drop eligible, VLAN; a VLAN of 0 has a priority only."""


def tagged(frame: bytes, vlan: int = 7, kind: str = "802.1Q") -> bytes:
    return frame[:12] + KINDS[kind].to_bytes(2, "big") + vlan.to_bytes(2, "big") + frame[12:]


def test_what_this_file_builds_is_what_scapy_builds() -> None:
    for kind, layer in (("802.1Q", Dot1Q), ("802.1ad", Dot1AD)):
        ether = Ether(src=frames.GATEWAY_MAC, dst=frames.OWN_MAC)
        theirs = ether / layer(vlan=7, prio=5) / IP(frames.tcp()[14:])
        assert tagged(frames.tcp(), 0xA007, kind) == bytes(theirs)


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [WEB, WEB6, DNS, DNS6], ids=str)
def test_p1_p2_it_leaves_with_its_tag_and_is_else_the_same(
    rig: Rig, key: VipKey, kind: str, encap: Encap
) -> None:
    """Byte for byte what the untagged packet becomes; and it is the same flow."""
    service = rig.serve(key, MIXED, encap)
    make = frames.tcp if key.protocol.value == "tcp" else frames.udp
    chance = random.Random(f"{key}{kind}{encap}")
    for port in range(4000, 4020):
        frame = make(
            to=str(key.address), port=port, payload=chance.randbytes(chance.randrange(900))
        )
        plain = rig.run(frame)
        for vlan in VLANS:
            out = rig.run(tagged(frame, vlan, kind))
            assert out.output == tagged(plain.output, vlan, kind)
            assert out.counted["tagged"] == 1
            assert out.counted["rx_bytes"] == len(frame) + 4
            assert out.counted["flow_hits"] == 1
        assert service.sent_to(plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", frames.strangers())
def test_p5_what_is_not_ours_is_passed_with_its_tag(rig: Rig, name: str, kind: str) -> None:
    for key in (WEB, DNS, WEB6, DNS6):
        rig.serve(key, MIXED)
    stranger = frames.strangers()[name]
    for vlan in VLANS:
        frame = tagged(stranger, vlan, kind)
        out = rig.run(frame)
        assert (out.action, out.output) == (PASS, frame)


DROPPED = {
    "fragment": frames.fragment(),
    "ip_options": frames.with_options(),
    "malformed": frames.tcp()[:40],
    "extension_header": frames.extended("routing"),
    "icmp_quote": icmp_frames.error(icmp_frames.ERRORS4["time-exceeded"], bytes(20), l4=0),
    "too_big": frames.tcp(payload=bytes(1470)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reason", [*DROPPED, "no_real"])
def test_a_drop_has_the_reason_of_the_untagged_packet(rig: Rig, reason: str, kind: str) -> None:
    rig.serve(WEB, MIXED)
    rig.serve(WEB6, MIXED)
    rig.serve(DNS, {})
    frame = DROPPED.get(reason, frames.udp())
    plain, out = rig.run(frame), rig.run(tagged(frame, 7, kind))
    assert (out.action, out.reason) == (plain.action, plain.reason)
    assert out.output == tagged(plain.output, 7, kind)
    if plain.action == DROP:
        assert out.reason == reason
        assert out.event["length"] == len(frame) + 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", [frames.VIP, frames.VIP6])
def test_p4_p10_answers_leave_in_the_vlan(rig: Rig, to: str, kind: str) -> None:
    rig.serve(WEB, MIXED)
    rig.serve(WEB6, MIXED)
    rig.configure(icmp_rate=1000, answer_ping=True)
    out = rig.run(tagged(ping(to), 7, kind))
    assert (out.action, out.output) == (TX, tagged(pong(to), 7, kind))
    large = frames.tcp(to=to, payload=bytes(1460))
    if ":" not in to:
        large = frames.framed(
            IP(src=frames.CLIENT, dst=to, flags="DF") / TCP(dport=80) / bytes(1460)
        )
    plain, out = rig.run(large), rig.run(tagged(large, 7, kind))
    assert plain.counted["icmp_too_big"] == out.counted["icmp_too_big"] == 1
    assert out.output == tagged(plain.output, 7, kind)


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_two_tags_are_passed_untouched(rig: Rig, inner: str, outer: str) -> None:
    rig.serve(WEB, MIXED)
    rig.serve(WEB6, MIXED)
    for frame in (frames.tcp(), frames.tcp(to=frames.VIP6), frames.fragment(), ping()):
        double = tagged(tagged(frame, 5, inner), 7, outer)
        out = rig.run(double)
        assert (out.action, out.output) == (PASS, double)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p6_every_length_has_the_outcome_of_the_untagged_frame(
    rig: Rig, key: VipKey, kind: str
) -> None:
    rig.serve(key, MIXED)
    whole = frames.tcp(to=str(key.address), payload=bytes(8))
    for length in range(14, len(whole) + 5):
        frame = tagged(whole, 7, kind)[:length]
        out = rig.run(frame)
        if length < 18:
            assert (out.action, out.output) == (PASS, frame)
            continue
        plain = rig.run(whole[: length - 4])
        assert (out.action, out.reason) == (plain.action, plain.reason), length
        assert out.output == tagged(plain.output, 7, kind)


def test_p5_a_tag_around_anything_but_ip_is_passed(rig: Rig) -> None:
    rig.serve(WEB, MIXED)
    ether = Ether(dst="ff:ff:ff:ff:ff:ff", src=frames.GATEWAY_MAC)
    for inner in (ARP(pdst=frames.VIP), Dot1Q(vlan=3) / IPv6(dst=frames.VIP6) / TCP()):
        frame = bytes(ether / Dot1Q(vlan=7) / inner)
        out = rig.run(frame)
        assert (out.action, out.output) == (PASS, frame)
    lying = tagged(frames.tcp())[:16] + b"\x86\xdd" + tagged(frames.tcp())[18:]
    assert rig.run(lying).action in (PASS, DROP), "IPv4 that says it is IPv6: one outcome, no crash"


@pytest.mark.parametrize("kind", KINDS)
def test_p3_errors_in_a_vlan_reach_the_flow_s_real(rig: Rig, kind: str) -> None:
    service = rig.serve(WEB, MIXED)
    for port in range(4000, 4020):
        real = service.sent_to(rig.run(frames.tcp(port=port)))
        for error in icmp_frames.ERRORS4.values():
            frame = icmp_frames.error(error, icmp_frames.answer(service.flow(port)))
            out = rig.run(tagged(frame, 9, kind))
            plain = rig.run(frame)
            assert out.output == tagged(plain.output, 9, kind)
            assert service.sent_to(plain) == real
