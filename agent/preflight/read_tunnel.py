# SPDX-License-Identifier: Apache-2.0
"""Pings to VIPs, encapsulated to their reals as the data plane does it, answered to this node.

They need no program and no agent: raw sockets send the outer header as it is written here.  Three
kinds, to tell what is wrong: from this node's own address, from an outer source, and as large as
clients' packets get.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from agent.config.tree import Node, Real
from agent.conformance.vectors import icmp, ipv4, ipv6, udp
from agent.nouns import Address, Encap
from agent.preflight.rules_network import CLIENT_MTU
from agent.preflight.surveyed import Reached

PATIENCE, AGAIN = 1.2, 0.4
"""Seconds that a kind of ping has in all, and after which it is sent again."""
SMALL = 64
ROOM = 16 << 20
"""Bytes for answers: thousands of reals answer in the same millisecond."""
_RCVBUFFORCE = 33  # asm-generic/socket.h
_IN_IP = {4: 4, 6: 41}  # protocol numbers, by the inner version
_ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_ECHO, _REPLY = {4: (8, 0), 6: (128, 0)}, {4: 0, 6: 129}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class Ping(NamedTuple):
    vip: Address
    real: Real
    here: Address
    """This node's address towards the VIP: who is answered."""
    own: Address
    """Towards the real."""


def pings(node: Node, pairs: Iterable[tuple[Address, Real]]) -> tuple[Reached, ...]:
    """What becomes of each; those without a route, and those to this node itself, are left out.

    Empty where it cannot be tried: without CAP_NET_RAW, or without the interface.  Takes up to
    3.6 s, if nobody answers.
    """
    asked = [ping for vip, real in pairs if (ping := _ping(vip, real))]

    def outer(ping: Ping) -> Address:
        return _source(node, ping.own.version)

    try:
        plain = _answered(node, asked, {ping: (ping.own, SMALL) for ping in asked})
        spread = _answered(node, asked, {ping: (outer(ping), SMALL) for ping in plain})
        full = _answered(node, asked, {ping: (outer(ping), _room(node, ping)) for ping in spread})
    except OSError:
        return ()
    return tuple(
        Reached(
            str(ping.vip),
            str(ping.real.address),
            ping in plain,
            ping in spread,
            ping in full,
            _room(node, ping) + _outer(ping.real),
        )
        for ping in asked
    )


def _ping(vip: Address, real: Real) -> Ping | None:
    here, own = _towards(vip), _towards(real.address)
    if here in (None, vip) or own in (None, real.address):
        return None
    return Ping(vip, real, here, own)


def _towards(there: Address) -> Address | None:
    """Our address on the way there; None: there is none."""
    try:
        with socket.socket(_FAMILY[there.version], socket.SOCK_DGRAM) as probe:
            probe.connect((str(there), 9))  # discard: nothing is sent
            return ip_address(probe.getsockname()[0])
    except OSError:
        return None


def _outer(real: Real) -> int:
    return (20 if real.address.version == 4 else 40) + (8 if real.encap is Encap.GUE else 0)


def _room(node: Node, ping: Ping) -> int:
    """Bytes of the largest inner packet."""
    return min(CLIENT_MTU, node.underlay_mtu - _outer(ping.real))


def _source(node: Node, version: int) -> Address:
    prefix = node.outer_source if version == 4 else node.outer_source6
    return prefix[random.randrange(1, prefix.num_addresses - 1) if prefix.num_addresses > 2 else 0]


# ---- on the wire


def _answered(
    node: Node, asked: Sequence[Ping], how: Mapping[Ping, tuple[Address, int]]
) -> set[Ping]:
    """Those of `how` (outer source, inner size) that were answered in time."""
    ident = random.randrange(1 << 16)
    packets = {
        i: _packet(node, ping, *how[ping], ident << 16 | i)
        for i, ping in enumerate(asked)
        if ping in how
    }
    missing, deadline = set(packets), time.monotonic() + PATIENCE
    with contextlib.ExitStack() as stack:
        outer, inner = {p.own.version for p in how}, {p.vip.version for p in how}
        senders = {v: stack.enter_context(_sender(v, node.interface)) for v in outer}
        hears = [stack.enter_context(_listener(v)) for v in inner]
        while missing and time.monotonic() < deadline:
            for i in sorted(missing):
                to = asked[i].real.address
                with contextlib.suppress(OSError):  # too large for the link: nobody answers
                    senders[to.version].sendto(packets[i], (str(to), 0))
            again = min(deadline, time.monotonic() + AGAIN)
            while missing and (left := again - time.monotonic()) > 0:
                missing -= set(_heard(hears, asked, ident, left))
    return {asked[i] for i in packets.keys() - missing}


@contextlib.contextmanager
def _sender(version: int, interface: str) -> Iterator[socket.socket]:
    """Takes whole IP packets."""
    with socket.socket(_FAMILY[version], socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        yield raw


@contextlib.contextmanager
def _listener(version: int) -> Iterator[socket.socket]:
    with socket.socket(_FAMILY[version], socket.SOCK_RAW, _ICMP[version]) as raw:
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, ROOM)
        yield raw


def _packet(node: Node, ping: Ping, source: Address, size: int, echo: int) -> bytes:
    """`echo`: identifier and sequence number."""
    version, real = ping.vip.version, ping.real
    filling = bytes(size - (20 if version == 4 else 40) - 8)
    packet, protocol = icmp(ping.here, ping.vip, _ECHO[version], echo, filling), _IN_IP[version]
    if real.encap is Encap.GUE:
        ports = (echo >> 16 | 1 << 15, node.gue_port)
        packet, protocol = udp(source, real.address, ports, packet), socket.IPPROTO_UDP
    wrap = ipv4 if source.version == 4 else ipv6
    return wrap(source, real.address, protocol, packet)


def _heard(
    hears: Sequence[socket.socket], asked: Sequence[Ping], ident: int, wait: float
) -> Iterator[int]:
    """Of which of `asked` answers are there, or come in time."""
    for raw in select.select(hears, [], [], wait)[0]:
        while True:
            try:
                message, (sender, *_) = raw.recvfrom(1 << 16)
            except BlockingIOError:
                break
            version = 4 if raw.family == socket.AF_INET else 6
            at = (message[0] & 15) * 4 if version == 4 else 0
            if len(message) < at + 8 or message[at] != _REPLY[version]:
                continue
            answered, sequence = struct.unpack_from("!HH", message, at + 4)
            if answered == ident and sequence < len(asked) and sender == str(asked[sequence].vip):
                yield sequence
