# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about an edge node's network: interface, queues, MTU, next hop.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

from agent.config import Config, Node
from agent.nouns import Encap
from agent.preflight.findings import Finding, Level, ok
from agent.preflight.surveyed import Device, Gateway, Network

OUTER = 20
"""Bytes of the smallest outer header (IPv4): what a real needs at least."""
CLIENT_MTU = 1500
SMALL_RING = 1024


def outer_size(config: Config) -> int:
    """Bytes that the largest outer header of the config takes: IPv4 20, IPv6 40, GUE 8 more."""
    return max(
        (20 if real.address.version == 4 else 40) + (8 if real.encap is Encap.GUE else 0)
        for vip in config.vips
        for real in vip.reals
    )


def interface(node: Node, outer: int, device: Device | None, cpus: int) -> Iterator[Finding]:
    """The interface that XDP is attached to; `outer`: bytes of the largest outer header."""
    name = node.interface
    if device is None:
        yield Finding(
            *("interface", name, Level.FAIL, "not in this network namespace"),
            why="packets come and go by it",
            fix="ip -br link (then set node.interface)",
        )
        return
    yield _up(device)
    yield _xdp(node, device)
    yield from _offloads(node, device)
    yield _mtu(node, device)
    yield _room(node, outer)
    yield _queues(device, cpus)
    yield from _ring(device)
    yield from _irqs(device, cpus)
    yield from _rps(device)
    yield from _rp_filter(device)


def _up(device: Device) -> Finding:
    check, why = "interface", "packets come and go by it"
    if not device.up:
        fix = f"ip link set dev {device.name} up"
        return Finding(check, device.name, Level.FAIL, "down", why, fix)
    if not device.carrier:
        fix = f"ethtool {device.name} (cable, transceiver, the switch's port)"
        return Finding(check, device.name, Level.FAIL, "up, but without carrier", why, fix)
    kind = device.driver or device.kind or "driver not known"
    return ok(check, device.name, f"up, {kind}", why)


def _xdp(node: Node, device: Device) -> Finding:
    check, name = "xdp", device.name
    why = "the data plane is an XDP program on this interface"
    generic = f'set node.xdp_mode = "generic" (slower), or use a NIC whose driver has XDP: {name}'
    if device.xdp and device.xdp_ours is None:
        what = f"runs a program ({device.xdp}); whose, only root may see"
        return Finding(check, name, Level.NOTE, what, why, "sudo remora-agent preflight ...")
    if device.xdp and not device.xdp_ours:
        what = f"runs somebody else's program already: {device.xdp}"
        return Finding(check, name, Level.FAIL, what, why, f"ip link set dev {name} xdp off")
    if device.xdp.endswith(", generic"):
        what = f"runs this node's program: {device.xdp} mode, a copy of every packet"
        fix = 'set node.xdp_mode = "native" and restart the agent'
        return Finding(check, name, Level.WARN, what, why, fix)
    if device.xdp:
        return ok(check, name, f"runs this node's program: {device.xdp}", why)
    if device.attach_error:
        what = f"{node.xdp_mode} XDP cannot be attached: {device.attach_error}"
        return Finding(check, name, Level.FAIL, what, why, generic)
    if device.attach_error is not None:
        return ok(
            check, name, f"a program was attached in {node.xdp_mode} mode, and taken off", why
        )
    if node.xdp_mode == "generic":
        what = "XDP in generic mode: a copy of every packet, a fraction of the speed"
        return Finding(check, name, Level.WARN, what, why, 'set node.xdp_mode = "native"')
    if device.native is None:
        what = "not known whether its driver has native XDP"
        fix = "remora-agent preflight --probe ... (attaches a program for a moment)"
        return Finding(check, name, Level.NOTE, what, why, fix)
    if not device.native:
        return Finding(check, name, Level.FAIL, "its driver has no native XDP", why, generic)
    return ok(check, name, "free, its driver has native XDP", why)


def _offloads(node: Node, device: Device) -> Iterator[Finding]:
    """What merges packets in the NIC.  In generic mode the kernel turns it off by itself; native,
    drivers refuse XDP with LRO, and some with hardware GRO (virtio_net of some hypervisors).
    """
    if node.xdp_mode == "generic":
        return
    for feature, flag, level in (
        ("rx-lro", "lro", Level.FAIL),
        ("rx-gro-hw", "rx-gro-hw", Level.WARN),
    ):
        if device.features.get(feature):
            yield Finding(
                *("offload", device.name, Level.WARN if device.xdp_ours else level),
                what=f"{feature} is on",
                why="packets that the NIC merged cannot be balanced; drivers may refuse XDP",
                fix=f"ethtool -K {device.name} {flag} off",
            )


def _mtu(node: Node, device: Device) -> Finding:
    check, why = "mtu", "a packet that leaves larger than the link's MTU is lost without a trace"
    if device.mtu < node.underlay_mtu:
        what = f"{device.mtu}, smaller than node.underlay_mtu ({node.underlay_mtu})"
        fix = f"ip link set dev {device.name} mtu {node.underlay_mtu}"
        return Finding(check, device.name, Level.FAIL, what, why, fix)
    return ok(check, device.name, f"{device.mtu}, underlay_mtu {node.underlay_mtu} fits", why)


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


def _queues(device: Device, cpus: int) -> Finding:
    check, name = "rx-queues", device.name
    why = "XDP runs on the CPUs that have a receive queue, and on no other"
    if device.rx_queues is None:
        return Finding(check, name, Level.NOTE, "number of receive queues not known", why)
    most = device.rx_queues_most or device.rx_queues
    if device.rx_queues < min(cpus, most):
        what = f"{device.rx_queues} receive queues for {cpus} CPUs; it has up to {most}"
        kind = "rx" if device.kind == "veth" else "combined"
        fix = f"ethtool -L {name} {kind} {min(cpus, most)}"
        return Finding(check, name, Level.WARN, what, why, fix)
    if device.rx_queues < cpus:
        what = f"{device.rx_queues} receive queues for {cpus} CPUs, and it has no more"
        return Finding(check, name, Level.NOTE, what, why)
    return ok(check, name, f"{device.rx_queues} for {cpus} CPUs", why)


def _ring(device: Device) -> Iterator[Finding]:
    if device.rx_ring is None or not device.rx_ring_most:
        return
    check, why = "rx-ring", "a short burst that finds the ring full is lost before XDP sees it"
    wanted = min(SMALL_RING, device.rx_ring_most)
    if device.rx_ring < wanted:
        what = f"{device.rx_ring} descriptors, up to {device.rx_ring_most}"
        fix = f"ethtool -G {device.name} rx {wanted}"
        yield Finding(check, device.name, Level.NOTE, what, why, fix)
    else:
        yield ok(check, device.name, f"{device.rx_ring} descriptors", why)


def _irqs(device: Device, cpus: int) -> Iterator[Finding]:
    """The effective affinity of each queue's interrupt is one CPU: two on one leave one idle.

    Some devices have one more, for themselves, which may share.
    """
    if len(device.irq_cpus) < 2 or cpus < 2:
        return
    queues = device.rx_queues or len(device.irq_cpus) - 1
    check, why = "irq-affinity", "queues whose interrupts share a CPU share its capacity"
    used = set(device.irq_cpus.values())
    if len(used) < min(queues, len(device.irq_cpus), cpus):
        what = f"{len(device.irq_cpus)} interrupts on CPUs {', '.join(sorted(used))} only"
        pins = "; ".join(
            f"echo {i % cpus} > /proc/irq/{irq}/smp_affinity_list"
            for i, irq in enumerate(sorted(device.irq_cpus))
        )
        yield Finding(
            check, device.name, Level.WARN, what, why, f"systemctl stop irqbalance; {pins}"
        )
    else:
        yield ok(check, device.name, f"{len(used)} CPUs take its interrupts", why)


def _rps(device: Device) -> Iterator[Finding]:
    if device.rps:
        yield Finding(
            *("rps", device.name, Level.NOTE, "receive packet steering is on"),
            why="XDP runs before it: it costs only packets that are passed to this host",
            fix=f"for q in /sys/class/net/{device.name}/queues/rx-*; do echo 0 > $q/rps_cpus; done",
        )


def _rp_filter(device: Device) -> Iterator[Finding]:
    if device.rp_filter is None:
        return
    check = "rp_filter"
    why = "packets that are passed to this host are dropped when their way back is another one"
    if device.rp_filter == 1:
        fix = (
            "sysctl -w net.ipv4.conf.all.rp_filter=0 "
            f"net.ipv4.conf.{device.name}.rp_filter=2 (balanced packets never see it)"
        )
        yield Finding(check, device.name, Level.NOTE, "strict", why, fix)
    else:
        yield ok(check, device.name, "loose" if device.rp_filter else "off", why)


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
