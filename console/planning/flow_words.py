# SPDX-License-Identifier: Apache-2.0
"""`198.51.100.7:40000 vip/web`: which flow is meant.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol as Protocol_

from console.exits import VerbError
from console.model import objects
from console.model.store import Agent
from shared.flows import Flow
from shared.messages import FlowOf, VipRow
from shared.model import Address, Protocol, host_port


def flow(agents: Sequence[Agent], source: str, destination: str) -> Flow:
    """`destination`: ADDRESS:PORT, with /tcp or /udp, or a VIP as in vip_of.  Raises VerbError."""
    rest, _, protocol = destination.partition("/")
    if not {":", "/"} & set(destination):
        rest, protocol = "vip", destination
    if rest == "vip":
        row, port = vip_of(agents, protocol)
        if not port:
            raise VerbError(f"vip/{row.name} has all ports: say which, vip/{row.name}:443")
        rest, protocol = host_port(row.address.partition("/")[0], port), str(row.protocol)
    if protocol not in ("", "tcp", "udp"):
        raise VerbError(f"{destination}: the protocol must be tcp or udp, got {protocol!r}")
    client, client_port = _end(source)
    to, to_port = _end(rest)
    if client.version != to.version:
        raise VerbError(f"{client} and {to} are of two families: no packet has both")
    return Flow(client, client_port, to, to_port, Protocol(protocol or "tcp"))


def vip_of(agents: Sequence[Agent], name: str) -> tuple[VipRow, int]:
    """`vip/web`, `web`, `10.200.0.1:80/tcp`, or `quic:4433` of a VIP with all ports -> (VIP, port;
    0: any).  Raises VerbError."""
    text = name.removeprefix("vip/")
    name = objects.vip_named(text, agents)
    name, _, port = (name, "", "") if name != text else text.partition(":")
    rows = [row for a in agents if a.vips for row in a.vips.vips if row.name == name]
    if not rows:
        raise VerbError(f"vip/{name}: there is none; there is {_known(agents)}")
    return rows[0], int(port) if port.isdecimal() and port.isascii() else rows[0].port


def _known(agents: Sequence[Agent]) -> str:
    return ", ".join(sorted({r.name for a in agents if a.vips for r in a.vips.vips}))


class Chance(Protocol_):
    """As random.Random has it."""

    def randrange(self, start: int, stop: int | None = None) -> int:
        """Below `start`, or from it on and below `stop`."""


def by_chance(row: VipRow, port: int, count: int, chance: Chance) -> list[Flow]:
    """From anywhere to the VIP (port 0: to any port)."""
    network = ip_network(row.address)
    return [
        Flow(
            _source(network.version, chance),
            chance.randrange(1024, 65536),
            network.network_address + chance.randrange(network.num_addresses),
            port or chance.randrange(1, 65536),
            row.protocol,
        )
        for _ in range(count)
    ]


def _source(version: int, chance: Chance) -> Address:
    """Of a client: unicast (of IPv6 2000::/3)."""
    if version == 4:
        return IPv4Address(chance.randrange(1 << 24, 224 << 24))
    return IPv6Address(0x2 << 124 | chance.randrange(1 << 124))


def asked_as(flow_: Flow) -> FlowOf:
    """The question of it."""
    return FlowOf(
        str(flow_.source),
        flow_.source_port,
        str(flow_.destination),
        flow_.destination_port,
        "udp" if flow_.protocol is Protocol.UDP else "tcp",
    )


def _end(text: str) -> tuple[Address, int]:
    """`192.0.2.7:80`, `[2001:db8::7]:80`.  Raises VerbError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host[:1] + host[-1:] == "[]" else host
    number = int(port) if port.isascii() and port.isdecimal() else 0
    with suppress(ValueError):
        address = ip_address(bare)
        if (address.version == 6) == (bare != host) and 1 <= number <= 65535:
            return address, number
    raise VerbError(f"flow: {text!r}: must be ADDRESS:PORT, of IPv6 [ADDRESS]:PORT")
