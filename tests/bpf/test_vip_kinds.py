# SPDX-License-Identifier: Apache-2.0
"""VIPs with every port, VIPs that are networks, and vip numbers that get another owner."""

from __future__ import annotations

import ipaddress

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE
from scapy.packet import Raw

from agent.nouns import Encap, VipKey
from shared.model import Protocol
from tests.bpf import frames, icmp_frames, oracle
from tests.bpf.rig import DNS, DROP, GUE_PORT, KEY, OUTER, OUTER6, PASS, WEB, WEB6, Rig, Service
from tests.bpf.test_ping import ping

pytestmark = pytest.mark.root

REALS = {"10.3.1.2": 1, "10.3.2.2": 1}
OTHERS = {"10.3.5.2": 1}
TCP_ALL, UDP_ALL = VipKey(WEB.address, 0, Protocol.TCP), VipKey(WEB.address, 0, Protocol.UDP)
TCP6_ALL, UDP6_ALL = VipKey(WEB6.address, 0, Protocol.TCP), VipKey(WEB6.address, 0, Protocol.UDP)
OTHER_HOST, OTHER_HOST6 = "10.200.0.2", "2001:db8:200::2"


def network(text: str, port: int = 80, protocol: Protocol = Protocol.TCP) -> VipKey:
    where = ipaddress.ip_network(text)
    return VipKey(where.network_address, port, protocol, where.prefixlen)


def predicted(service: Service, *, to: str, to_port: int, port: int = 40000) -> int | None:
    flow = service.flow(port)._replace(to=to, to_port=to_port)
    return oracle.real_num(oracle.hashed(flow, KEY), service.ring)


# ---- every port


@pytest.mark.parametrize("key", [TCP_ALL, TCP6_ALL], ids=str)
def test_every_port_is_balanced_each_by_its_own_hash(rig: Rig, key: VipKey) -> None:
    to = str(key.address)
    service = rig.serve(key, REALS)
    for to_port in (0, 1, 22, 80, 443, 8080, 65535):
        for port in range(4000, 4040):
            out = rig.run(frames.tcp(to=to, to_port=to_port, port=port))
            assert service.sent_to(out) == predicted(service, to=to, to_port=to_port, port=port)
        assert rig.run(frames.udp(to=to, to_port=to_port)).action == PASS, "UDP is not this VIP's"


def test_a_vip_of_one_port_goes_before_that_of_all(rig: Rig) -> None:
    every, web, dns = rig.serve(TCP_ALL, REALS), rig.serve(WEB, OTHERS), rig.serve(DNS, OTHERS)
    for to_port in (79, 81, 53):
        assert rig.run(frames.tcp(to_port=to_port)).event["vip_num"] == every.vip_num
    assert rig.run(frames.tcp(to_port=80)).event["vip_num"] == web.vip_num
    assert rig.run(frames.udp(to_port=53)).event["vip_num"] == dns.vip_num
    assert rig.run(frames.udp(to_port=54)).action == PASS
    rig.dataplane.remove_vip(WEB)
    assert rig.run(frames.tcp(to_port=80)).event["vip_num"] == every.vip_num
    rig.dataplane.put_vip(WEB, web.vip_num)
    rig.dataplane.remove_vip(TCP_ALL)
    assert rig.run(frames.tcp(to_port=81)).action == PASS
    assert rig.run(frames.tcp(to_port=80)).event["vip_num"] == web.vip_num


def test_each_protocol_has_its_own_vip_of_all_ports(rig: Rig) -> None:
    tcp, udp = rig.serve(TCP_ALL, REALS), rig.serve(UDP_ALL, OTHERS)
    assert rig.run(frames.tcp(to_port=7)).event["vip_num"] == tcp.vip_num
    assert rig.run(frames.udp(to_port=7)).event["vip_num"] == udp.vip_num
    rig.dataplane.remove_vip(TCP_ALL)
    assert rig.run(frames.tcp(to_port=7)).action == PASS
    assert rig.run(frames.udp(to_port=7)).event["vip_num"] == udp.vip_num


PORTLESS = {
    "ipip": frames.framed(IP(dst=frames.VIP, proto=4) / IP(dst=frames.VIP) / TCP(dport=80)),
    "6in4": frames.framed(IP(dst=frames.VIP, proto=41) / IPv6(dst=frames.VIP6) / TCP(dport=80)),
    "6in6": frames.framed(IPv6(dst=frames.VIP6, nh=41) / IPv6(dst=frames.VIP6) / TCP(dport=80)),
    "4in6": frames.framed(IPv6(dst=frames.VIP6, nh=4) / IP(dst=frames.VIP) / TCP(dport=80)),
    "gre": frames.framed(IP(dst=frames.VIP) / GRE() / IP(dst=frames.VIP) / TCP(dport=80)),
    "esp": frames.framed(IP(dst=frames.VIP, proto=50) / Raw(bytes(40))),
    "esp6": frames.framed(IPv6(dst=frames.VIP6, nh=50) / Raw(bytes(40))),
    "sctp": frames.framed(IP(dst=frames.VIP, proto=132) / Raw(bytes(40))),
    "ping": ping(),
    "ping6": ping(frames.VIP6),
}


@pytest.mark.parametrize("name", PORTLESS)
def test_p5_all_ports_are_those_of_tcp_and_udp_only(rig: Rig, name: str) -> None:
    """What has no ports is no packet of "all ports": passed as it came, never encapsulated (P9)."""
    for key in (TCP_ALL, UDP_ALL, TCP6_ALL, UDP6_ALL):
        rig.serve(key, REALS)
    out = rig.run(PORTLESS[name])
    assert (out.action, out.output) == (PASS, PORTLESS[name])


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (frames.fragment(), "fragment"),
        (frames.fragment(offset=10), "fragment"),
        (frames.with_options(), "ip_options"),
        (frames.tcp()[:40], "malformed"),
        (frames.fragment6(), "fragment"),
        (frames.tcp(to=frames.VIP6)[:60], "malformed"),
    ],
)
def test_p7_odd_packets_to_a_vip_of_all_ports_have_their_reasons(
    rig: Rig, frame: bytes, reason: str
) -> None:
    rig.serve(TCP_ALL, REALS)
    rig.serve(TCP6_ALL, REALS)
    out = rig.run(frame)
    assert (out.action, out.reason, out.output) == (DROP, reason, frame)


@pytest.mark.parametrize("key", [TCP_ALL, UDP6_ALL], ids=str)
def test_p3_errors_of_all_ports_reach_the_flow_s_real(rig: Rig, key: VipKey) -> None:
    service = rig.serve(key, REALS)
    to = str(key.address)
    make = frames.tcp if key.protocol is Protocol.TCP else frames.udp
    errors = icmp_frames.ERRORS6 if key.address.version == 6 else icmp_frames.ERRORS4
    for to_port in (80, 9999):
        for port in range(4000, 4020):
            real = service.sent_to(rig.run(make(to=to, to_port=to_port, port=port)))
            flow = service.flow(port)._replace(to_port=to_port)
            for kind in errors.values():
                frame = icmp_frames.error(kind, icmp_frames.answer(flow), to=to)
                assert service.sent_to(rig.run(frame)) == real


# ---- networks


NETWORKS: dict[str, tuple[str, str]] = {
    "10.200.0.0/24": ("10.200.0.1 10.200.0.77 10.200.0.255", "10.200.1.0 10.199.255.255"),
    "10.0.0.0/8": ("10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0"),
    "10.200.0.2/31": ("10.200.0.2 10.200.0.3", "10.200.0.1 10.200.0.4"),
    "10.200.0.9/32": ("10.200.0.9", "10.200.0.8 10.200.0.10"),
    "0.0.0.0/0": ("192.0.2.1 2.3.4.5", ""),
    "2001:db8:200::/48": ("2001:db8:200::1 2001:db8:200:ffff::9", "2001:db8:201:: 2001:db8:1ff::1"),
    "2001:db8:200::/64": ("2001:db8:200::1 2001:db8:200::ffff:ffff", "2001:db8:200:1::1"),
    "2001:db8:2::2/127": ("2001:db8:2::2 2001:db8:2::3", "2001:db8:2::1 2001:db8:2::4"),
    "2001:db8:200::9/128": ("2001:db8:200::9", "2001:db8:200::8"),
    "::/0": ("2001:db8::1 2003::1", ""),
}
"""Addresses within, and the next ones that are not."""


@pytest.mark.parametrize("text", NETWORKS)
def test_a_network_takes_its_addresses_and_no_other(rig: Rig, text: str) -> None:
    service = rig.serve(network(text), REALS)
    inside, outside = (addresses.split() for addresses in NETWORKS[text])
    for to in inside:
        out = rig.run(frames.tcp(to=to))
        assert service.sent_to(out) == predicted(service, to=to, to_port=80)
        assert rig.run(frames.tcp(to=to, to_port=81)).action == PASS
    for to in outside:
        assert rig.run(frames.tcp(to=to)).action == PASS
    for other in (frames.VIP6, frames.VIP):
        if (":" in other) != (":" in text):
            assert rig.run(frames.tcp(to=other)).action == PASS, "the other family's zeros"


def test_the_longest_prefix_wins_and_an_address_wins_over_all(rig: Rig) -> None:
    nets = [network("10.0.0.0/8"), *(network(f"10.200.0.0/{n}") for n in (16, 24, 30))]
    served = [rig.serve(key, OTHERS) for key in (*nets, WEB)]
    hosts = ("10.9.9.9", "10.200.9.9", "10.200.0.9", "10.200.0.2", "10.200.0.1")
    wanted = dict(zip(hosts, served, strict=True))
    for to, service in wanted.items():
        assert rig.run(frames.tcp(to=to)).event["vip_num"] == service.vip_num, to
    rig.dataplane.remove_vip(WEB)
    assert rig.run(frames.tcp()).event["vip_num"] == served[3].vip_num
    rig.dataplane.remove_vip(nets[2])
    assert rig.run(frames.tcp(to="10.200.0.9")).event["vip_num"] == served[1].vip_num
    assert rig.run(frames.tcp(to="10.200.0.2")).event["vip_num"] == served[3].vip_num


def test_p5_an_address_with_other_ports_hides_the_network_behind_it(rig: Rig) -> None:
    """As with routes: the longest match decides, and what it does not serve is the host's."""
    rig.serve(network("10.200.0.0/24"), REALS)
    rig.serve(WEB._replace(port=443), OTHERS)
    assert rig.run(frames.tcp(to=OTHER_HOST)).action != PASS
    assert rig.run(frames.tcp(to=frames.VIP, to_port=80)).action == PASS


@pytest.mark.parametrize("text", ["10.200.0.0/24", "2001:db8:200::/64"])
def test_p5_a_removed_network_is_the_host_s_again(rig: Rig, text: str) -> None:
    """All its addresses, of both protocols, odd packets too; other VIPs go on."""
    web, dns = network(text), network(text, 53, Protocol.UDP)
    to = OTHER_HOST6 if ":" in text else OTHER_HOST
    odd = frames.fragment6(to=to) if ":" in text else frames.fragment(to=to)
    rig.serve(WEB._replace(port=443), OTHERS)
    rig.serve(web, REALS)
    rig.serve(dns, REALS)
    rig.dataplane.remove_vip(web)
    assert rig.run(frames.tcp(to=to)).action == PASS
    assert rig.run(frames.udp(to=to)).action != PASS
    assert rig.run(odd).reason == "fragment"
    rig.dataplane.remove_vip(dns)
    for frame in (frames.tcp(to=to), frames.udp(to=to), odd, ping(to)):
        out = rig.run(frame)
        assert (out.action, out.output) == (PASS, frame)
    assert rig.run(frames.tcp(to_port=443)).action != PASS
    assert set(rig.dataplane.owned().vips) == {WEB._replace(port=443)}


def test_an_own_address_within_a_network_stays_the_host_s(rig: Rig) -> None:
    """The host's ssh to itself must not be balanced because a VIP network covers it."""
    rig.serve(network("10.0.0.0/8", 22), REALS)
    rig.dataplane.set_own_addresses([rig.address("10.2.1.2")])
    assert rig.run(frames.tcp(to="10.2.1.2", to_port=22)).action == PASS
    assert rig.run(frames.tcp(to="10.2.1.3", to_port=22)).action != PASS
    rig.dataplane.set_own_addresses([])
    assert rig.run(frames.tcp(to="10.2.1.2", to_port=22)).action != PASS


def test_a_network_of_all_ports_with_gue_over_ipv6(rig: Rig) -> None:
    """All kinds at once, byte for byte by scapy."""
    real = "fd00:3:1::2"
    service = rig.serve(network("10.200.0.0/16", 0), {real: 1}, Encap.GUE)
    for host in range(1, 40):
        to = f"10.200.{host}.{host}"
        frame = frames.tcp(to=to, to_port=1000 + host)
        flow = service.flow(40000)._replace(to=to, to_port=1000 + host)
        assert rig.run(frame).output == expected(frame, flow, real, "gue")


def expected(frame: bytes, flow: oracle.Flow, real: str, encap: str) -> bytes:
    """By scapy: the frame as it must leave."""
    head = oracle.outer(oracle.hashed(flow, KEY), real, OUTER, OUTER6)
    ports = (head.port, GUE_PORT) if encap == "gue" else None
    return frames.encapsulated(frame, source=head.source, real=real, label=head.label, ports=ports)


def test_p10_pings_to_a_network_are_answered_from_the_pinged_address(rig: Rig) -> None:
    rig.serve(network("10.200.0.0/24"), REALS)
    rig.configure(icmp_rate=100, answer_ping=True)
    out = rig.run(ping("10.200.0.99"))
    assert out.counted["icmp_sent"] == 1
    assert out.output[26:30] == bytes([10, 200, 0, 99])


def test_fragments_to_a_network_have_one_reason(rig: Rig) -> None:
    """P7."""
    rig.serve(network("10.200.0.0/24", 0, Protocol.UDP), REALS)
    for frame in (frames.fragment(to="10.200.0.5"), frames.fragment(to="10.200.0.5", offset=9)):
        assert rig.run(frame).reason == "fragment"
    assert UDP in IP(frames.udp()[14:])


# ---- numbers that get another owner


@pytest.mark.parametrize("kind", [WEB, TCP_ALL, network("10.200.0.0/24")], ids=str)
def test_f3_a_reused_vip_number_has_nothing_of_its_last_owner(rig: Rig, kind: VipKey) -> None:
    """Katran forwards by the old VIP's ring until the new one's reals are there (FIELD 1j, 5)."""
    old = rig.serve(kind, REALS)
    flow = frames.tcp(flags="S")
    old.sent_to(rig.run(flow))
    rig.dataplane.remove_vip(kind)
    rig.dataplane.put_vip(WEB6, old.vip_num)
    out = rig.run(frames.tcp(to=frames.VIP6))
    assert (out.action, out.reason) == (DROP, "no_real")
    assert not rig.dataplane.rings.current(old.vip_num).any()
    assert rig.run(flow).action == PASS
    rig.dataplane.put_vip(kind, old.vip_num + 1)
    assert rig.run(flow).reason == "no_real", "back, with another number: its old flow is nobody's"
