# SPDX-License-Identifier: Apache-2.0
"""ICMP and ICMPv6 by scapy: what routers send to a VIP about a packet that a real sent."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet, Raw

from agent.nouns import VipKey
from tests.bpf import frames, oracle

ROUTER, ROUTER6 = "203.0.113.1", "2001:db8:feed::1"
ERRORS4: dict[str, Packet] = {
    "port-unreachable": ICMP(type=3, code=3),
    "fragmentation-needed": ICMP(type=3, code=4, nexthopmtu=1400),
    "time-exceeded": ICMP(type=11, code=0),
    "parameter-problem": ICMP(type=12, code=0, ptr=20),
}
ERRORS6: dict[str, Packet] = {
    "unreachable": ICMPv6DestUnreach(code=4),
    "packet-too-big": ICMPv6PacketTooBig(mtu=1400),
    "time-exceeded": ICMPv6TimeExceeded(code=0),
    "parameter-problem": ICMPv6ParamProblem(code=1, ptr=40),
}


def answer(flow: oracle.Flow, *, words: int = 5, payload: int = 1000, **ip: Any) -> bytes:  # noqa: ANN401  # scapy's fields
    """The IP packet of a real to the flow's client, with an IPv4 header of so many words."""
    ports: dict[str, Any] = {"sport": flow.to_port, "dport": flow.port}
    l4 = TCP(**ports, seq=77, ack=99, flags="A") if flow.protocol == "tcp" else UDP(**ports)
    if ":" in flow.to:
        return bytes(IPv6(src=flow.to, dst=flow.source, **ip) / l4 / Raw(bytes(payload)))
    options = [IPOption(b"\x01")] * 4 * (words - 5)  # no-operation, a byte each
    head = IP(src=flow.to, dst=flow.source, options=options, **({"flags": "DF"} | ip))
    return bytes(head / l4 / Raw(bytes(payload)))


def header_length(packet: bytes) -> int:
    """Of an IP packet's own header, in bytes."""
    return 40 if packet[0] >> 4 == 6 else (packet[0] & 15) * 4


def error(kind: Packet, quoted: bytes, *, l4: int = 8, to: str = frames.VIP, tos: int = 0) -> bytes:
    """The frame of an ICMP error to `to` that quotes the packet's IP header and `l4` bytes more."""
    quote = Raw(quoted[: header_length(quoted) + l4])
    router = ROUTER6 if ":" in to else ROUTER
    return frames.framed(frames.network(router, to, tos) / kind.copy() / quote)


def errors_of(*keys: VipKey) -> list[bytes]:
    """Every error about a flow to each VIP, with the shortest quote."""
    found = []
    for key in keys:
        to, six = str(key.address), key.address.version == 6
        client = frames.CLIENT6 if six else frames.CLIENT
        flow = oracle.Flow(client, 40000, to, key.port, key.protocol.value)
        found += [error(k, answer(flow), to=to) for k in (ERRORS6 if six else ERRORS4).values()]
    return found
