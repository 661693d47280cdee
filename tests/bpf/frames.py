# SPDX-License-Identifier: Apache-2.0
"""Frames by scapy: an encoder that is not ours says what goes in and what must come out."""

from __future__ import annotations

from functools import cache

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

OWN_MAC = "02:00:00:00:00:02"
GATEWAY_MAC = "02:00:00:00:00:01"
CLIENT_MAC = "02:00:00:00:00:99"
VIP = "10.200.0.1"
CLIENT = "192.0.2.7"


@cache
def tcp(
    *,
    source: str = CLIENT,
    port: int = 40000,
    to: str = VIP,
    to_port: int = 80,
    flags: str = "S",
    payload: bytes = b"",
    tos: int = 0,
    ttl: int = 57,
) -> bytes:
    """A TCP packet from a client; scapy fills lengths and checksums."""
    ip = IP(src=source, dst=to, tos=tos, ttl=ttl, id=4711)
    return framed(ip / TCP(sport=port, dport=to_port, flags=flags, seq=1000) / Raw(payload))


@cache
def udp(
    *,
    source: str = CLIENT,
    port: int = 40000,
    to: str = VIP,
    to_port: int = 53,
    payload: bytes = b"question",
) -> bytes:
    return framed(IP(src=source, dst=to, ttl=57) / UDP(sport=port, dport=to_port) / Raw(payload))


def framed(packet: object) -> bytes:
    """An IP packet in the Ethernet frame in which the router would send it."""
    return bytes(Ether(src=GATEWAY_MAC, dst=OWN_MAC) / packet)


def encapsulated(frame: bytes, *, source: str, real: str) -> bytes:
    """What the node must send for `frame`: RFC 2003, TOS copied, TTL 64, DF, id 0."""
    inner = frame[14:]
    outer = IP(src=source, dst=real, ttl=64, id=0, flags="DF", tos=frame[15], proto=4)
    # The IP packet ends where its header says; what the link padded stays behind it.
    length = int.from_bytes(frame[16:18], "big")
    return bytes(Ether(src=OWN_MAC, dst=GATEWAY_MAC) / outer / Raw(inner[:length])) + bytes(
        inner[length:]
    )


def with_options(to: str = VIP) -> bytes:
    return framed(
        IP(src=CLIENT, dst=to, options=[IPOption(b"\x07\x07\x04\0\0\0\0")]) / TCP(dport=80)
    )


def fragment(*, to: str = VIP, offset: int = 0, more: bool = True, protocol: int = 17) -> bytes:
    head = IP(src=CLIENT, dst=to, flags="MF" if more else 0, frag=offset, proto=protocol)
    return framed(head / Raw(bytes(UDP(sport=40000, dport=53)) + bytes(64)))


def strangers() -> dict[str, bytes]:
    """Frames that are nothing to a balancer of VIP:80/tcp and VIP:53/udp, by name."""
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
        "ipv6-tcp": bytes(Ether() / IPv6(dst="2001:db8::1") / TCP(dport=80)),
        "vlan-with-vip": bytes(Ether() / Dot1Q(vlan=7) / to_vip / TCP(dport=80)),
        "other-ethertype": bytes(Ether(type=0x1234) / to_vip / TCP(dport=80)),
        "from-vip": framed(IP(src=VIP, dst=CLIENT) / TCP(sport=80)),
        "large": framed(ip / UDP(dport=53) / Raw(bytes(3000))),
        "short-ip-to-host": framed(ip / TCP(dport=80))[:40],
    }
