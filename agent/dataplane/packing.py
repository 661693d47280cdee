# SPDX-License-Identifier: Apache-2.0
"""The agent's values -> structs of bpf/lb_abi.h, and back.  Pure."""

from __future__ import annotations

import ctypes as c
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from msgspec import Struct

from agent.dataplane import abi
from agent.nouns import (
    Address,
    Encap,
    Hashed,
    OwnedReal,
    Placing,
    Traced,
    Tracking,
    VipKey,
    WhenDown,
)
from shared.model import Protocol

_PARTS = {
    Hashed.FLOW: 0,
    Hashed.SOURCE: abi.VIP_ANY_SOURCE_PORT | abi.VIP_ANY_PORT,
    Hashed.SOURCE_PORT: abi.VIP_ANY_SOURCE_PORT,
    Hashed.PORT: abi.VIP_ANY_SOURCE | abi.VIP_ANY_SOURCE_PORT,
}
_TRACKING = {
    Tracking.TRACK: 0,
    Tracking.CHANGED: abi.VIP_CHANGED,
    Tracking.COMPUTE: abi.VIP_COMPUTE,
}
_QUIC = {"quic-lb": abi.VIP_QUIC_LB, "cid": abi.VIP_QUIC_CID}


class Control(Struct, frozen=True):
    """The node's settings, as the program needs them."""

    hash_key: bytes
    """16 bytes, the fleet's secret."""
    outer_source: IPv4Network
    outer_source6: IPv6Network
    """A /64."""
    gue_port: int
    underlay_mtu: int
    event_rate: int
    """Drop events per second, CPU and reason; 0: none, all are counted as suppressed."""
    event_burst: int
    icmp_rate: int
    """ICMP messages of our own per second, CPU and kind, as many at once; 0: none is sent."""
    answer_ping: bool
    """Pings to VIP addresses; else they are the host's."""
    gateway_mac: bytes
    own_mac: bytes
    trace_all: bool = False
    """An event for every packet to a VIP (simulation)."""
    flow_idle: float = 0.0
    """Seconds of silence after which a flow is over: so long a new table does not know them all."""
    flow_rate: int = 0
    """Flows stored per second and CPU that the ring alone would place alike; 0: all."""


def packed_control(control: Control, ticks: int) -> abi.Control:
    """`ticks`: per second, of this kernel."""
    network = control.outer_source
    interval = _interval(control.event_rate, ticks)
    icmp_interval = _interval(control.icmp_rate, ticks)
    return abi.Control(
        hash_key=(c.c_uint64 * 2).from_buffer_copy(control.hash_key),
        be_outer_source=_be(network.network_address),
        be_outer_mask=_be(network.hostmask),
        be_outer_source6=tuple(be_words(control.outer_source6.network_address))[:2],
        event_ahead=_ahead(interval, control.event_burst),
        event_interval=interval,
        underlay_mtu=control.underlay_mtu,
        gateway_mac=(c.c_uint8 * 6).from_buffer_copy(control.gateway_mac),
        own_mac=(c.c_uint8 * 6).from_buffer_copy(control.own_mac),
        flags=(abi.TRACE_ALL if control.trace_all else 0)
        | (abi.ANSWER_PING if control.answer_ping else 0),
        be_gue_port=socket.htons(control.gue_port),
        icmp_ahead=_ahead(icmp_interval, control.icmp_rate),
        icmp_interval=icmp_interval,
        flow_interval=_interval(control.flow_rate, ticks),
        flow_ahead=ticks // 10,  # a tenth of a second's flows at once
    )


def packed_trace(wanted: Traced, ticks: int, now: int) -> abi.Trace:
    """`ticks`: per second, of this kernel; `now` in ticks."""
    interval = _interval(wanted.rate, ticks)
    source, destination = wanted.source, wanted.destination
    implied = next((n.version for n in (source, destination) if n), 0)
    return abi.Trace(
        be_source=_network_words(source),
        be_source_mask=_mask_words(source),
        be_destination=_network_words(destination),
        be_destination_mask=_mask_words(destination),
        be_ports=be_port(wanted.source_port) | be_port(wanted.destination_port) << 16,
        be_ports_mask=(0xFFFF if wanted.source_port else 0)
        | (0xFFFF0000 if wanted.destination_port else 0),
        vip_num=wanted.vip_num,
        real_num=wanted.real_num,
        version=wanted.version or implied,
        protocol=wanted.protocol,
        one_in=wanted.one_in,
        interval=interval,
        ahead=_ahead(interval, wanted.rate),
        until=now + round(wanted.seconds * ticks),
    )


def _network_words(network: IPv4Network | IPv6Network | None) -> c.Array[c.c_uint32]:
    return be_words(network.network_address) if network else (c.c_uint32 * 4)()


def _mask_words(network: IPv4Network | IPv6Network | None) -> c.Array[c.c_uint32]:
    return be_words(network.netmask) if network else (c.c_uint32 * 4)()


def _interval(rate: int, ticks: int) -> int:
    """Ticks per token; 0: there are none."""
    return ticks // rate if rate else 0


def _ahead(interval: int, burst: int) -> int:
    return interval * max(0, burst - 1)


def be_port(port: int) -> int:
    return socket.htons(port)


def _be(address: IPv4Address) -> int:
    """The address as the word that holds it in network order."""
    return int.from_bytes(address.packed, "little")


def be_words(address: Address) -> c.Array[c.c_uint32]:
    """The words that hold an address of either family."""
    return (c.c_uint32 * 4).from_buffer_copy(address.packed.ljust(16, b"\0"))


def from_be(words: Sequence[int], *, ipv6: bool) -> Address:
    packed = b"".join(int(word).to_bytes(4, "little") for word in words)
    return IPv6Address(packed) if ipv6 else IPv4Address(packed[:4])


def vip_key(number: int, key: VipKey) -> int:
    """lb_vip.key of a VIP whose address has this number."""
    return number << 17 | (key.protocol is Protocol.UDP) << 16 | socket.htons(key.port)


def from_vip_key(packed: int, address: Address, length: int | None) -> VipKey:
    protocol = Protocol.UDP if packed >> 16 & 1 else Protocol.TCP
    return VipKey(address, socket.ntohs(packed & 0xFFFF), protocol, length)


def vip_flags(placing: Placing) -> int:
    """enum lb_vip_flag."""
    return (
        _PARTS[placing.hashed]
        | _TRACKING[placing.tracking]
        | (_QUIC[placing.quic.scheme] if placing.quic else 0)
        | (abi.VIP_KEEP if placing.when_down is WhenDown.KEEP else 0)
        | (abi.VIP_PRESSURE if placing.pressure else 0)
        | (abi.VIP_FAIL_OPEN if placing.fail_open else 0)
    )


def stores_all(flags: int, protocol: Protocol) -> bool:
    """Placing.stores_all, of enum lb_vip_flag."""
    sparse = abi.VIP_COMPUTE | abi.VIP_PRESSURE
    return not flags & (sparse | abi.VIP_CHANGED * (protocol is Protocol.TCP))


def encap_bits(address: Address, encap: Encap) -> int:
    """enum lb_encap."""
    return (abi.ENCAP_IPV6 if address.version == 6 else 0) | (
        abi.ENCAP_GUE if encap is Encap.GUE else 0
    )


def packed_real(real: OwnedReal) -> abi.Real:
    return abi.Real(
        be_address=be_words(real.address),
        vip_num=real.vip_num,
        generation=real.generation,
        flags=real.flags,
        encap=encap_bits(real.address, real.encap),
    )


def owned_real(real_num: int, real: Any) -> OwnedReal:  # noqa: ANN401  # one struct lb_real
    encap = int(real["encap"])
    return OwnedReal(
        real_num=real_num,
        vip_num=int(real["vip_num"]),
        address=from_be(real["be_address"], ipv6=bool(encap & abi.ENCAP_IPV6)),
        generation=int(real["generation"]),
        flags=int(real["flags"]),
        encap=Encap.GUE if encap & abi.ENCAP_GUE else Encap.IPIP,
    )
