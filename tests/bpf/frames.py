# SPDX-License-Identifier: Apache-2.0
"""Frames by scapy: an encoder that is not ours says what goes in and what must come out."""

from __future__ import annotations

from functools import cache

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

OWN_MAC = "02:00:00:00:00:02"
GATEWAY_MAC = "02:00:00:00:00:01"
_LINK = Ether(src=GATEWAY_MAC, dst=OWN_MAC)
"""Never without addresses: scapy asks the network for them, and waits."""
VIP = "10.200.0.1"
CLIENT = "192.0.2.7"
VIP6 = "2001:db8:200::1"
CLIENT6 = "2001:db8:c::7"


def network(source: str, to: str, tos: int = 0, ttl: int = 57) -> Packet:
    """The IP header of a client's packet; an empty source is the client of that family."""
    if ":" in to:
        return IPv6(src=source or CLIENT6, dst=to, tc=tos, hlim=ttl, fl=0x12345)
    return IP(src=source or CLIENT, dst=to, tos=tos, ttl=ttl, id=4711)


@cache
def tcp(
    *,
    source: str = "",
    port: int = 40000,
    to: str = VIP,
    to_port: int = 80,
    flags: str = "S",
    payload: bytes = b"",
    tos: int = 0,
    ttl: int = 57,
) -> bytes:
    """A TCP packet from a client; scapy fills lengths and checksums."""
    ip = network(source, to, tos, ttl)
    return framed(ip / TCP(sport=port, dport=to_port, flags=flags, seq=1000) / Raw(payload))


def from_port(frame: bytes, port: int) -> bytes:
    """The same from another port; its checksum stays, for nobody on the way looks at it."""
    at = 54 if frame[12:14] == b"\x86\xdd" else 34
    return frame[:at] + port.to_bytes(2, "big") + frame[at + 2 :]


@cache
def udp(
    *,
    source: str = "",
    port: int = 40000,
    to: str = VIP,
    to_port: int = 53,
    payload: bytes = b"question",
    tos: int = 0,
) -> bytes:
    ip = network(source, to, tos)
    return framed(ip / UDP(sport=port, dport=to_port) / Raw(payload))


def framed(packet: object) -> bytes:
    """An IP packet in the Ethernet frame in which the router would send it."""
    return bytes(_LINK / packet)


def encapsulated(
    frame: bytes, *, source: str, real: str, label: int = 0, ports: tuple[int, int] | None = None
) -> bytes:
    """What the node must send for `frame`: traffic class copied, TTL or hop limit 64, DF, id 0.

    RFC 2003, RFC 2473, RFC 4213; with `ports` GUE: UDP without a checksum between the two.
    """
    inner = frame[14:]
    ipv6 = inner[0] >> 4 == 6
    tos = (inner[0] << 4 | inner[1] >> 4) & 255 if ipv6 else inner[1]
    # The IP packet ends where its header says; what the link padded stays behind it.
    length = 40 + int.from_bytes(inner[4:6], "big") if ipv6 else int.from_bytes(inner[2:4], "big")
    protocol = 17 if ports else 41 if ipv6 else 4
    carried: Packet = Raw(inner[:length])
    if ports:
        carried = UDP(sport=ports[0], dport=ports[1], chksum=0) / carried
    outer: Packet
    if ":" in real:
        outer = IPv6(src=source, dst=real, hlim=64, tc=tos, fl=label, nh=protocol)
    else:
        outer = IP(src=source, dst=real, ttl=64, id=0, flags="DF", tos=tos, proto=protocol)
    return bytes(Ether(src=OWN_MAC, dst=GATEWAY_MAC) / outer / carried) + inner[length:]


def with_options(to: str = VIP) -> bytes:
    return framed(
        IP(src=CLIENT, dst=to, options=[IPOption(b"\x07\x07\x04\0\0\0\0")]) / TCP(dport=80)
    )


def fragment(*, to: str = VIP, offset: int = 0, more: bool = True, protocol: int = 17) -> bytes:
    head = IP(src=CLIENT, dst=to, flags="MF" if more else 0, frag=offset, proto=protocol)
    return framed(head / Raw(bytes(UDP(sport=40000, dport=53)) + bytes(64)))


def fragment6(*, to: str = VIP6, offset: int = 0, more: bool = True, next_: int = 17) -> bytes:
    head = IPv6(src=CLIENT6, dst=to) / IPv6ExtHdrFragment(offset=offset, m=more, nh=next_, id=7)
    return framed(head / Raw(bytes(UDP(sport=40000, dport=53)) + bytes(64)))


def extended(header: str, to: str = VIP6) -> bytes:
    """A TCP packet behind an extension header, by name."""
    ip, tcp = IPv6(src=CLIENT6, dst=to), TCP(sport=40000, dport=80)
    plain = {"authentication": 51, "mobility": 135, "hip": 139, "shim6": 140}
    headers = {
        "hop-by-hop": IPv6ExtHdrHopByHop(),
        "routing": IPv6ExtHdrRouting(type=2, addresses=["2001:db8::9"]),
        "destination-options": IPv6ExtHdrDestOpt(),
    }
    if header in plain:
        ip.nh = plain[header]
        return framed(ip / Raw(bytes([6, 0, *bytes(6)])) / tcp)
    return framed(ip / headers[header] / tcp)


def strangers() -> dict[str, bytes]:
    """Frames that are nothing to a balancer of VIP:80/tcp and VIP:53/udp, by name."""
    return {**_strangers4(), **_strangers6()}  # copies: some tests add their own


@cache
def _strangers6() -> dict[str, bytes]:
    """The same for VIP6."""
    host = IPv6(src=CLIENT6, dst="2001:db8::1")
    vip = IPv6(src=CLIENT6, dst=VIP6)
    local = IPv6(src="fe80::1", dst="fe80::2", hlim=255)
    return {
        "neighbour-solicitation": framed(
            IPv6(src="fe80::1", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt="fe80::2")
        ),
        "neighbour-advertisement": framed(local / ICMPv6ND_NA(tgt="fe80::1")),
        "solicitation-of-vip": framed(vip / ICMPv6ND_NS(tgt=VIP6)),
        "router-advertisement": framed(
            IPv6(src="fe80::1", dst="ff02::1", hlim=255) / ICMPv6ND_RA()
        ),
        "mld": framed(
            IPv6(src="fe80::1", dst="ff02::16", hlim=1)
            / IPv6ExtHdrHopByHop(options=[RouterAlert()])
            / ICMPv6MLReport2()
        ),
        "link-local-bgp": framed(local / TCP(dport=179, flags="A")),
        "link-local-web": framed(local / TCP(dport=80)),
        "ping6-to-host": framed(host / ICMPv6EchoRequest(data=bytes(56))),
        "ping6-to-vip": framed(vip / ICMPv6EchoRequest(data=bytes(56))),
        "packet-too-big-to-vip": framed(vip / ICMPv6PacketTooBig(mtu=1400) / vip / TCP(sport=80)),
        "nothing-to-vip": framed(IPv6(src=CLIENT6, dst=VIP6, nh=59) / Raw(bytes(40))),
        "esp-to-vip": framed(IPv6(src=CLIENT6, dst=VIP6, nh=50) / Raw(bytes(40))),
        "tcp6-to-host": framed(host / TCP(dport=80)),
        "udp6-to-host": framed(host / UDP(dport=53)),
        "other-port-of-vip6": framed(vip / TCP(dport=81)),
        "other-protocol-of-vip6": framed(vip / UDP(dport=80)),
        "fragment6-to-host": fragment6(to="2001:db8::1"),
        "extended6-to-host": extended("routing", to="2001:db8::1"),
        "the-words-of-vip": framed(IPv6(src=CLIENT6, dst="ac8:1::") / TCP(dport=80)),
        "from-vip6": framed(IPv6(src=VIP6, dst=CLIENT6) / TCP(sport=80)),
        "two-tags-with-vip6": bytes(_LINK / Dot1Q(vlan=7) / Dot1Q(vlan=8) / vip / TCP(dport=80)),
        "large6": framed(host / UDP(dport=53) / Raw(bytes(3000))),
        "6in4-to-vip": framed(IP(dst=VIP, proto=41) / vip / TCP(dport=80)),
        "6in6-to-vip": framed(IPv6(dst=VIP6, nh=41) / vip / TCP(dport=80)),
        "4in6-to-vip": framed(IPv6(dst=VIP6, nh=4) / IP(dst=VIP) / TCP(dport=80)),
    }


@cache
def _strangers4() -> dict[str, bytes]:
    ip = IP(src=CLIENT, dst="198.51.100.1")
    to_vip = IP(src=CLIENT, dst=VIP)
    return {
        "arp": bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=VIP)),
        "neighbour-discovery": bytes(
            Ether(dst="33:33:00:00:00:01") / IPv6(dst="ff02::1") / ICMPv6ND_NS(tgt="fe80::1")
        ),
        "lldp": bytes(Ether(dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(bytes(60))),
        "igmp": framed(IP(dst="224.0.0.22", proto=2, ttl=1) / Raw(bytes(8))),
        "bgp": framed(IP(dst="10.2.1.2") / TCP(dport=179, flags="A")),
        "bfd": framed(IP(dst="10.2.1.2", ttl=255) / UDP(dport=3784) / Raw(bytes(24))),
        "ping-to-host": framed(ip / ICMP() / Raw(bytes(56))),
        "ping-to-vip": framed(to_vip / ICMP() / Raw(bytes(56))),
        "gre-to-vip": framed(IP(dst=VIP, proto=47) / Raw(bytes(40))),
        "ipip-to-vip": framed(IP(dst=VIP, proto=4) / IP(dst=VIP) / TCP(dport=80)),
        "tcp-to-host": framed(ip / TCP(dport=80)),
        "udp-to-host": framed(ip / UDP(dport=53)),
        "other-port-of-vip": framed(to_vip / TCP(dport=81)),
        "other-protocol-of-vip": framed(to_vip / UDP(dport=80)),
        "fragment-to-host": fragment(to="198.51.100.1", offset=10),
        "options-to-host": with_options(to="198.51.100.1"),
        "ipv6-tcp": bytes(_LINK / IPv6(dst="2001:db8::1") / TCP(dport=80)),
        "two-tags-with-vip": bytes(_LINK / Dot1Q(vlan=7) / Dot1Q(vlan=8) / to_vip / TCP(dport=80)),
        "other-ethertype": bytes(
            Ether(src=GATEWAY_MAC, dst=OWN_MAC, type=0x1234) / to_vip / TCP(dport=80)
        ),
        "from-vip": framed(IP(src=VIP, dst=CLIENT) / TCP(sport=80)),
        "large": framed(ip / UDP(dport=53) / Raw(bytes(3000))),
        "short-ip-to-host": framed(ip / TCP(dport=80))[:40],
    }
