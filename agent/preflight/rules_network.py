# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about an edge node's network: MTU, next hop, outer sources, ExaBGP.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

from agent.config.tree import Config, Node
from agent.nouns import Encap
from agent.preflight import settings
from agent.preflight.findings import Finding, Level, mended, ok
from agent.preflight.rules_device import device
from agent.preflight.settings import Change
from agent.preflight.surveyed import Device, Gateway, Network

CLIENT_MTU = 1500
ONE_PAGE = 3506
"""Largest MTU of a packet in one page, with 256 bytes before it and 334 of the kernel's around it
(measured on veth; drivers differ by little)."""


def outer_size(config: Config) -> int:
    """Bytes that the largest outer header of the config takes: IPv4 20, IPv6 40, GUE 8 more."""
    return max(
        (20 if real.address.version == 4 else 40) + (8 if real.encap is Encap.GUE else 0)
        for vip in config.vips
        for real in vip.reals
    )


def interface(
    node: Node, outer: int, found: Device | None, cpus: int, *, udp: bool, irqbalance: bool
) -> Iterator[Finding]:
    """The interface that XDP is attached to; `outer`: bytes of the largest outer header."""
    if found is None:
        yield Finding(
            *("interface", node.interface, Level.FAIL, "not in this network namespace"),
            why="packets come and go by it",
            fix="ip -br link (then set node.interface)",
        )
        return
    yield from device(node, found, cpus, udp=udp, irqbalance=irqbalance)
    yield from _mtu(node, found)
    yield _room(node, outer)
    yield from _rp_filter(found)


def _mtu(node: Node, device: Device) -> Iterator[Finding]:
    check, why = "mtu", "a packet that leaves larger than the link's MTU is lost without a trace"
    if device.mtu < node.underlay_mtu:
        what = f"{device.mtu}, smaller than node.underlay_mtu ({node.underlay_mtu})"
        fix = f"ip link set dev {device.name} mtu {node.underlay_mtu}"
        yield Finding(check, device.name, Level.FAIL, what, why, fix)
    elif device.mtu > ONE_PAGE and node.xdp_mode == "native" and not device.xdp:
        what = f"{device.mtu}: most drivers refuse XDP above {ONE_PAGE}"
        why = "the program takes packets that lie in one page (4096 bytes, less what goes around)"
        fix = f"ip link set dev {device.name} mtu {max(node.underlay_mtu, 1600)}"
        yield Finding(check, device.name, Level.WARN, what, why, fix)
    else:
        yield ok(check, device.name, f"{device.mtu}, underlay_mtu {node.underlay_mtu} fits", why)


def _room(node: Node, outer: int) -> Finding:
    check, subject = "encap-mtu", "node.underlay_mtu"
    why = f"clients send packets of {CLIENT_MTU} bytes, the outer header takes {outer} more"
    needed = CLIENT_MTU + outer
    if node.underlay_mtu < needed:
        what = f"{node.underlay_mtu}: packets over {node.underlay_mtu - outer} bytes are dropped"
        fix = (
            f"raise the MTU of this interface, the routers and the reals to {needed} and set "
            f"node.underlay_mtu = {needed}; or let the reals ask for less: ip route change default "
            f"... advmss {node.underlay_mtu - outer - 40}"
        )
        return Finding(check, subject, Level.WARN, what, why, fix)
    return ok(check, subject, f"{node.underlay_mtu}: full packets fit with their outer header", why)


def _rp_filter(device: Device) -> Iterator[Finding]:
    if device.rp_filter is None:
        return
    check = "rp_filter"
    why = "packets that are passed to this host are dropped when their way back is another one"
    if device.rp_filter == 1:
        what = "strict (balanced packets never see it)"
        yield mended(check, device.name, Level.NOTE, what, why, loose(device.name))
    else:
        yield ok(check, device.name, "loose" if device.rp_filter else "off", why)


def loose(interface: str) -> Change:
    """The larger of `all` and the interface's is in force, so the interface's alone will do."""
    return settings.ipv4_of(interface, "rp_filter", 2)


# ---- around the interface


def gateway(found: Gateway) -> Finding:
    check, why = "gateway", "every encapsulated packet goes to the next hop's MAC"
    if found.error:
        fix = "set node.gateway to a router of this network that answers ARP: ip neigh"
        return Finding(check, found.address, Level.FAIL, found.error, why, fix)
    return ok(check, found.address, f"is at {found.mac}", why)


def outer_sources(config: Config, network: Network) -> Iterator[Finding]:
    """For each family that some real has."""
    families = {real.address.version for vip in config.vips for real in vip.reals}
    if 4 in families:
        yield _outer_source("outer_source", str(config.node.outer_source), network)
    if 6 in families:
        yield _outer_source("outer_source6", str(config.node.outer_source6), network)


def _outer_source(key: str, prefix: str, network: Network) -> Finding:
    """The prefix must be nobody's: its addresses are sources that nobody may answer to."""
    check = "outer-source"
    why = (
        "outer sources are spread over this prefix; who really has one would get ICMP errors for it"
    )
    for name, address in network.addresses:
        if _overlap(address, prefix):
            what = f"{address} on {name} lies in it"
            fix = f"set node.{key} to a prefix that no machine uses"
            return Finding(check, prefix, Level.FAIL, what, why, fix)
    for name, destination in network.routes:
        if not destination.endswith("/0") and _overlap(destination, prefix):
            what = f"there is a route to {destination} by {name or 'no interface'}"
            fix = f"set node.{key} to a prefix that no machine uses"
            return Finding(check, prefix, Level.WARN, what, why, fix)
    return ok(check, prefix, "no address and no route of this node lies in it", why)


def _overlap(one: str, other: str) -> bool:
    a, b = ip_interface(one).network, ip_network(other)
    return a.version == b.version and (a.subnet_of(b) or b.subnet_of(a))  # type: ignore[arg-type]


def exabgp(version: str) -> Finding:
    check, why = "exabgp", "it announces the VIPs' addresses"
    if not version:
        fix = "pip install 'exabgp>=5.0.15,<5.1' (into the agent's own environment)"
        return Finding(check, "", Level.FAIL, "not found, or it does not run", why, fix)
    found = re.search(r"\d+(\.\d+)+", version)
    if found and not found[0].startswith("5."):
        fix = "pip install 'exabgp>=5.0.15,<5.1'"
        return Finding(check, "", Level.FAIL, f"version {found[0]}, 5.0 is needed", why, fix)
    return ok(check, "", f"version {found[0] if found else version}", why)
