# SPDX-License-Identifier: Apache-2.0
"""The node is a real itself: what is encapsulated for its own address is unwrapped, for VIPs only.

And no loops (P9): whatever a balancer sends comes to an end at any other one.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from agent.nouns import Encap, VipKey
from shared.model import Protocol
from tests.bpf import frames
from tests.bpf.rig import DNS, DNS6, DROP, GUE_PORT, PASS, TX, WEB, WEB6, Rig
from tests.bpf.test_vip_kinds import TCP6_ALL, TCP_ALL, UDP_ALL, network
from tests.bpf.test_vlan import tagged

pytestmark = pytest.mark.root

OWN, OWN6 = "10.3.1.2", "fd00:3:1::2"
REALS = {OWN: 1, "10.3.2.2": 1}
INNER4 = IP(src=frames.CLIENT, dst=frames.VIP) / TCP(dport=80) / Raw(bytes(40))
REALS6 = {OWN6: 1, "fd00:3:2::2": 1}
OTHER = WEB._replace(address=IPv4Address("10.200.0.77"))
OTHER_INNER = IP(src=frames.CLIENT, dst=str(OTHER.address)) / TCP(dport=80) / Raw(bytes(40))
INNER6 = IPv6(src=frames.CLIENT6, dst=frames.VIP6) / TCP(dport=80) / Raw(bytes(40))


def outer(to: str, tos: int = 0) -> Packet:
    if ":" in to:
        return IPv6(src="100::1", dst=to, hlim=64, tc=tos)
    return IP(src="10.9.1.1", dst=to, id=0, flags="DF", ttl=64, tos=tos)


def wrapped(inner: Packet, to: str, *, gue: bool = False, tos: int = 0) -> bytes:
    """As another node's balancer sends it."""
    head = outer(to, tos)
    number = 17 if gue else 4 if inner.version == 4 else 41
    setattr(head, "proto" if head.version == 4 else "nh", number)
    between = UDP(sport=50000, dport=GUE_PORT, chksum=0) if gue else b""
    return frames.framed(head / between / inner)


@pytest.fixture
def node(rig: Rig) -> Rig:
    """A balancer that is a real of its own VIPs."""
    for key in (WEB, WEB6, DNS, DNS6):
        rig.serve(key, REALS)
    rig.dataplane.set_own_addresses([rig.address(OWN), rig.address(OWN6)])
    return rig


@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
@pytest.mark.parametrize("to", [OWN, OWN6])
@pytest.mark.parametrize("inner", [INNER4, INNER6], ids=["inner4", "inner6"])
def test_p2_every_encapsulation_is_undone(node: Rig, inner: Packet, to: str, *, gue: bool) -> None:
    """4in4, 6in4, 4in6, 6in6, each with GUE; the host sees the client's packet, byte for byte."""
    frame = wrapped(inner, to, gue=gue)
    for sent, expected in (
        (frame, frames.framed(inner)),
        (tagged(frame), tagged(frames.framed(inner))),
    ):
        out = node.run(sent)
        assert (out.action, out.output) == (PASS, expected)
        assert out.counted["decapsulated"] == 1
        assert out.counted["pass_bytes"] == len(sent), "bytes as they came"


@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
@pytest.mark.parametrize("to", [OWN, OWN6])
@pytest.mark.parametrize(
    "inner",
    [
        IP(src=frames.CLIENT, dst="198.51.100.1") / TCP(dport=80),
        IP(src=frames.CLIENT, dst=OWN) / TCP(dport=22),
        IPv6(src=frames.CLIENT6, dst="2001:db8::1") / TCP(dport=80),
        IPv6(src=frames.CLIENT6, dst=OWN6) / TCP(dport=22),
    ],
    ids=["stranger4", "own4", "stranger6", "own6"],
)
def test_only_packets_for_a_vip_are_let_out(
    node: Rig, inner: Packet, to: str, *, gue: bool
) -> None:
    """Anything else would be a way around the host's firewall: it stays as it came."""
    frame = wrapped(inner, to, gue=gue)
    out = node.run(frame)
    assert (out.action, out.output) == (PASS, frame)
    assert "decapsulated" not in out.counted


def test_for_a_vip_that_is_a_network_too(node: Rig) -> None:
    node.serve(network("203.0.113.0/24"), REALS)
    inner = IP(src=frames.CLIENT, dst="203.0.113.77") / TCP(dport=80)
    out = node.run(wrapped(inner, OWN))
    assert (out.action, out.output) == (PASS, frames.framed(inner))


@pytest.mark.parametrize("inner", range(4))
@pytest.mark.parametrize("mark", range(4))
@pytest.mark.parametrize("to", [OWN, OWN6])
@pytest.mark.parametrize("family", [4, 6])
def test_congestion_marks_follow_rfc_6040(
    node: Rig, family: int, to: str, mark: int, inner: int
) -> None:
    """Its table (section 4.2); a drop has its reason."""
    packet = (INNER4 if family == 4 else INNER6).copy()
    name = "tos" if family == 4 else "tc"
    setattr(packet, name, 0xB8 | inner)
    frame = wrapped(packet, to, tos=mark)
    out = node.run(frame)
    if mark == 3 and inner == 0:
        assert (out.action, out.reason, out.output) == (DROP, "congestion", frame)
        return
    setattr(packet, name, 0xB8 | (3 if mark == 3 else inner))
    assert (out.action, out.output) == (PASS, frames.framed(packet))


def odd_ones() -> dict[str, bytes]:
    """Addressed to the node, and not (quite) an encapsulation."""
    four, six = outer(OWN), outer(OWN6)
    udp = UDP(sport=50000, dport=GUE_PORT)
    odd = {
        "fragment": IP(dst=OWN, flags="MF", proto=4) / Raw(bytes(INNER4)),
        "last-fragment": IP(dst=OWN, frag=9, proto=4) / Raw(bytes(INNER4)),
        "options": IP(dst=OWN, proto=4, options=[IPOption(b"\x01" * 4)]) / Raw(bytes(INNER4)),
        "options-gue": IP(dst=OWN, options=[IPOption(b"\x01" * 4)]) / udp / Raw(bytes(INNER4)),
        "gue-0": four / udp / Raw(b"\0\4\0\0" + bytes(60)),
        "gue-7": four / udp / Raw(b"\x70" + bytes(60)),
        "gue6-0": six / udp / Raw(b"\0\4\0\0" + bytes(60)),
        "other-port": four / UDP(dport=GUE_PORT + 1) / Raw(bytes(INNER4)),
        "from-the-port": four / UDP(sport=GUE_PORT, dport=99) / Raw(bytes(INNER4)),
        "tcp-to-the-port": four / TCP(dport=GUE_PORT) / Raw(bytes(INNER4)),
        "ipv4-as-41": IP(dst=OWN, proto=41) / Raw(bytes(INNER4)),
        "ipv6-as-4": IP(dst=OWN, proto=4) / Raw(bytes(INNER6)),
        "ipv4-as-41-in6": IPv6(dst=OWN6, nh=41) / Raw(bytes(INNER4)),
        "extension": IPv6(dst=OWN6) / IPv6ExtHdrDestOpt(nh=41) / Raw(bytes(INNER6)),
        "atomic-fragment": IPv6(dst=OWN6) / IPv6ExtHdrFragment(nh=41) / Raw(bytes(INNER6)),
        "ssh": four / TCP(dport=22),
        "icmp": four / Raw(b"\x08\0\0\0"),
        "empty": IP(dst=OWN, proto=4),
    }
    return {name: frames.framed(packet) for name, packet in odd.items()}


@pytest.mark.parametrize("name", odd_ones())
def test_p5_what_is_odd_is_the_host_s_as_it_came(node: Rig, name: str) -> None:
    frame = odd_ones()[name]
    for sent in (frame, tagged(frame)):
        out = node.run(sent)
        assert (out.action, out.output) == (PASS, sent)
        assert "decapsulated" not in out.counted


@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
def test_p5_for_another_machine_it_is_not_ours(node: Rig, *, gue: bool) -> None:
    """Another real's, a VIP's own address, and our own one before it was told and after."""
    for to in ("10.3.2.2", frames.VIP, "fd00:3:2::2"):
        frame = wrapped(INNER4, to, gue=gue)
        out = node.run(frame)
        assert (out.action, out.output) == (PASS, frame)
    node.dataplane.set_own_addresses([])
    frame = wrapped(INNER4, OWN, gue=gue)
    assert node.run(frame).output == frame


@pytest.mark.parametrize("gue", [False, True], ids=["ipip", "gue"])
@pytest.mark.parametrize("to", [OWN, OWN6])
@pytest.mark.parametrize("inner", [INNER4, INNER6], ids=["inner4", "inner6"])
def test_p6_every_length(node: Rig, inner: Packet, to: str, *, gue: bool) -> None:
    """Passed whatever its length: undone when both headers are whole and true, else untouched."""
    whole = wrapped(inner, to, gue=gue)
    for length in range(14, len(whole)):
        out = node.run(whole[:length])
        assert out.action == PASS
        if "decapsulated" in out.counted:
            assert whole[:length].endswith(out.output[14:])
            assert len(out.output) >= 14 + (20 if inner.version == 4 else 40)
        else:
            assert out.output == whole[:length]


# ---- P9


@pytest.mark.parametrize("encap", Encap)
@pytest.mark.parametrize("real", [OWN, OWN6])
@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_p9_a_real_that_is_a_balancer_gets_the_packet_and_sends_it_nowhere(
    rig: Rig, key: VipKey, real: str, encap: Encap
) -> None:
    """This node or another one that has the same VIP: it decapsulates and leaves it to its host."""
    rig.serve(key, {real: 1}, encap)
    frame = frames.tcp(to=str(key.address))
    sent = rig.run(frame)
    assert sent.action == TX
    rig.dataplane.set_own_addresses([rig.address(real)])
    there = rig.run(sent.output)
    assert (there.action, there.output[14:]) == (PASS, frame[14:])
    rig.dataplane.set_own_addresses([])
    unaware = rig.run(sent.output)
    assert (unaware.action, unaware.output) == (PASS, sent.output)


@pytest.mark.parametrize("key", [WEB, WEB6, TCP_ALL, TCP6_ALL], ids=str)
@pytest.mark.parametrize("real", ["10.200.0.1", "2001:db8:200::1"])
@pytest.mark.parametrize("encap", Encap)
def test_p9_a_real_that_is_a_vip_ends_at_the_next_balancer(
    rig: Rig, key: VipKey, real: str, encap: Encap
) -> None:
    """The config refuses it; were it there, the encapsulated packet is no packet of the VIP."""
    rig.serve(key, {real: 1}, encap)
    for other in {WEB, WEB6} - {key}:
        rig.serve(other, {real: 1}, encap)
    sent = rig.run(frames.tcp(to=str(key.address)))
    assert sent.action == TX
    out = rig.run(sent.output)
    assert (out.action, out.output) == (PASS, sent.output)


def test_p9_gue_to_a_vip_of_all_udp_ports_ends_with_the_mtu(rig: Rig) -> None:
    """The one case in which it is a packet of the VIP: each turn adds a header, so it ends."""
    rig.serve(UDP_ALL, {frames.VIP: 1}, Encap.GUE)
    frame, turns = frames.udp(), 0
    while (out := rig.run(frame)).action == TX:
        frame, turns = out.output, turns + 1
        assert turns < 60
    assert out.reason == "too_big"


@pytest.mark.parametrize("key", [WEB, WEB6, DNS], ids=str)
def test_p9_hairpin_a_real_reaches_the_vip_as_any_client(rig: Rig, key: VipKey) -> None:
    six = key.address.version == 6
    reals = {"fd00:3:1::2": 1, "fd00:3:2::2": 1} if six else REALS
    service = rig.serve(key, reals)
    make = frames.udp if key.protocol is Protocol.UDP else frames.tcp
    reached = {
        service.sent_to(rig.run(make(source=source, to=str(key.address), port=port)))
        for source in reals
        for port in range(4000, 4020)
    }
    assert reached == set(service.reals.values()), "itself too: it answers itself, directly"


@pytest.mark.parametrize("key", [WEB, WEB6], ids=str)
def test_a_vip_comes_before_an_own_address_in_either_order(rig: Rig, key: VipKey) -> None:
    """At boot the interface's addresses are written first, else the VIP's; when the last VIP of
    the address is gone, it is the node's own again."""
    own, frame = key.address, frames.tcp(to=str(key.address))
    packed = wrapped(INNER4 if own.version == 4 else INNER6, str(own))
    for before in (True, False):
        if before:
            rig.dataplane.set_own_addresses([own])
        rig.serve(key, REALS if own.version == 4 else REALS6)
        rig.serve(key._replace(port=443), REALS if own.version == 4 else REALS6)
        for _ in range(2):
            assert rig.run(frame).action == TX
            assert rig.run(packed).output == packed, "no packet of the VIP, and not unwrapped"
            rig.dataplane.set_own_addresses([own])
        rig.dataplane.remove_vip(key._replace(port=443))
        assert rig.run(frame).action == TX
        rig.dataplane.remove_vip(key)
        rig.serve(OTHER, REALS)
        other = wrapped(OTHER_INNER, str(own))
        assert rig.run(other).output == frames.framed(OTHER_INNER)
        rig.dataplane.remove_vip(OTHER)
        rig.dataplane.set_own_addresses([])
        assert rig.run(other).output == other
