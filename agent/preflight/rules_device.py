# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about the interface itself: link, XDP, offloads, queues, interrupts.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle

from agent.config.tree import Node
from agent.preflight import settings
from agent.preflight.findings import Finding, Level, mended, ok
from agent.preflight.settings import Change
from agent.preflight.surveyed import Device, Irq, Queues

SMALL_RING = 1024


def device(
    node: Node, found: Device, cpus: int, *, udp: bool, irqbalance: bool
) -> Iterator[Finding]:
    """The interface that XDP is attached to; `udp`: there are VIPs of UDP."""
    yield _up(found)
    yield _xdp(node, found)
    yield from _offloads(node, found)
    yield _queues(found, cpus)
    yield from _xdp_queues(node, found, cpus)
    yield from _rings(found)
    yield from _irqs(found, irqbalance=irqbalance)
    yield from _rss(found, udp=udp)
    yield from _rps(found)


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
    if device.xdp:
        return _attached(device, why)
    generic = f'set node.xdp_mode = "generic" (slower), or use a NIC whose driver has XDP: {name}'
    if device.attach_error:
        what = f"{node.xdp_mode} XDP cannot be attached: {device.attach_error}"
        return Finding(check, name, Level.FAIL, what, why, generic)
    if device.attach_error is not None:
        what = f"a program was attached in {node.xdp_mode} mode, and taken off"
        return ok(check, name, what, why)
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


def _attached(device: Device, why: str) -> Finding:
    check, name = "xdp", device.name
    if device.xdp_ours is None:
        what = f"runs a program ({device.xdp}); whose, only root may see"
        return Finding(check, name, Level.NOTE, what, why, "sudo remora-agent preflight ...")
    if not device.xdp_ours:
        what = f"runs somebody else's program already: {device.xdp}"
        return Finding(check, name, Level.FAIL, what, why, f"ip link set dev {name} xdp off")
    if device.xdp.endswith(", generic"):
        what = f"runs this node's program: {device.xdp} mode, a copy of every packet"
        fix = 'set node.xdp_mode = "native" and restart the agent'
        return Finding(check, name, Level.WARN, what, why, fix)
    return ok(check, name, f"runs this node's program: {device.xdp}", why)


def _resetting(
    check: str, device: Device, level: Level, what: str, why: str, *, change: Change
) -> Finding:
    """One for which the NIC begins anew: `--fix` does it only while no program is attached.

    A queue that comes up under an attached program may run without it (veth does).
    """
    if not device.xdp:
        return mended(check, device.name, level, what, why, change)
    fix = f"remora-agent stop -c FILE --detach && {change.command}; then start the agent again"
    return Finding(check, device.name, level, what, why, fix)


def _offloads(node: Node, device: Device) -> Iterator[Finding]:
    """What merges packets in the NIC.  In generic mode the kernel turns it off by itself; native,
    drivers refuse XDP with LRO, and some with hardware GRO (virtio_net of some hypervisors).
    """
    if node.xdp_mode == "generic":
        return
    check = "offload"
    why = "packets that the NIC merged cannot be balanced; drivers may refuse XDP"
    for feature, level in (("rx-lro", Level.FAIL), ("rx-gro-hw", Level.WARN)):
        if device.features.get(feature):
            shown = Level.WARN if device.xdp_ours else level
            off = settings.feature_off(device.name, feature)
            yield _resetting(check, device, shown, f"{feature} is on", why, change=off)


# ---- queues


def _queues(device: Device, cpus: int) -> Finding:
    check, name = "rx-queues", device.name
    why = "XDP runs on the CPUs that have a receive queue, and on no other"
    if device.queues is None:
        return Finding(check, name, Level.NOTE, "number of receive queues not known", why)
    kind, now, most = device.queues
    if now < (wanted := min(cpus, _most(device, device.queues))):
        what = f"{now} receive queues for {cpus} CPUs; it has up to {most}"
        change = settings.queues(name, kind, wanted)
        return _resetting(check, device, Level.WARN, what, why, change=change)
    if now < cpus:
        what = f"{now} receive queues for {cpus} CPUs, and it has no more"
        return Finding(check, name, Level.NOTE, what, why)
    return ok(check, name, f"{now} for {cpus} CPUs", why)


def _most(device: Device, queues: Queues) -> int:
    """That may be had with XDP: ena keeps one transmit queue back for each."""
    return queues.most // 2 if device.driver == "ena" else queues.most


def _xdp_queues(node: Node, device: Device, cpus: int) -> Iterator[Finding]:
    """Drivers that need queues of their own for XDP_TX."""
    if node.xdp_mode == "generic" or device.queues is None:
        return
    check, name, (kind, now, most) = "xdp-queues", device.name, device.queues
    if device.driver == "ena" and 2 * now > most:
        what = f"ena has native XDP with at most half of its {most} queues, {now} are in use"
        why = "what is balanced leaves by queues of its own; without them XDP is refused"
        change = settings.queues(name, kind, max(1, most // 2))
        yield _resetting(check, device, Level.FAIL, what, why, change=change)
    if device.driver == "virtio_net" and now + cpus > most:
        what = f"{most} queue pairs are no {now} and one more for each of {cpus} CPUs"
        why = "what is balanced takes a lock to leave: it works, slower"
        fix = f"give the virtual machine {now + cpus} queue pairs"
        yield Finding(check, name, Level.NOTE, what, why, fix)


def _rings(device: Device) -> Iterator[Finding]:
    whys = {
        "rx": "a short burst that finds the ring full is lost before XDP sees it",
        "tx": "what leaves in a burst and finds the ring full is lost",
    }
    for direction, (now, most) in device.rings.items():
        check, why = f"{direction}-ring", whys[direction]
        if not most:
            continue
        if now < (wanted := min(SMALL_RING, most)):
            what = f"{now} descriptors, up to {most}"
            change = settings.ring(device.name, direction, wanted)
            yield _resetting(check, device, Level.NOTE, what, why, change=change)
        else:
            yield ok(check, device.name, f"{now} descriptors", why)


# ---- which CPUs work

_QUEUE = re.compile(r"\d+$")
_OTHERS = re.compile(r"async|ctrl|cmd|config|mgmnt|misc|pages|event", re.I)


def receives(device: Device) -> list[Irq]:
    """The interrupts of receive queues, by queue.  Drivers name them `eth0-TxRx-3`,
    `virtio2-input.0`, `mlx5_comp0@pci:...`; what has no number is the device's own."""
    numbered = []
    for irq in device.irqs:
        name = irq.name.partition("@")[0]
        found = _QUEUE.search(name)
        own = name == device.name or _OTHERS.search(name) or re.search(r"output|-tx-\d", name, re.I)
        if found and not own:
            numbered.append((int(found[0]), irq.number, irq))
    return [irq for _, _, irq in sorted(numbered)]


def _irqs(device: Device, *, irqbalance: bool) -> Iterator[Finding]:
    """The effective affinity of each queue's interrupt is one CPU: two on one leave one idle."""
    found, cpus = receives(device), device.near_cpus
    if len(found) < 2 or len(cpus) < 2:
        return
    check, why = "irq-affinity", "queues whose interrupts share a CPU share its capacity"
    used = {irq.cpus for irq in found}
    if len(used) >= min(len(found), len(cpus)):
        yield ok(check, device.name, f"{len(used)} CPUs take its interrupts", why)
    else:
        what = f"{len(found)} receive queues' interrupts on CPUs {', '.join(sorted(used))} only"
        pins = [settings.pin(irq.number, cpu) for irq, cpu in zip(found, cycle(cpus), strict=False)]
        yield _pinned(device.name, what, why, pins, irqbalance=irqbalance)
    if irqbalance:
        yield Finding(
            *("irqbalance", device.name, Level.NOTE, "irqbalance runs"),
            why="it moves interrupts: flows change their CPU, and each CPU has its own flow table",
            fix="systemctl disable --now irqbalance",
        )


def _pinned(name: str, what: str, why: str, pins: list[Change], *, irqbalance: bool) -> Finding:
    """irqbalance would undo it: then it is left to people."""
    if not irqbalance:
        return mended("irq-affinity", name, Level.WARN, what, why, *pins)
    fix = f"systemctl disable --now irqbalance && {settings.commands(tuple(pins))}"
    return Finding("irq-affinity", name, Level.WARN, what, why, fix)


def _rss(device: Device, *, udp: bool) -> Iterator[Finding]:
    if device.rss is None or device.queues is None:
        return
    check, name = "rss", device.name
    if device.rss.queues < device.queues.now:
        what = f"its table leads to {device.rss.queues} of {device.queues.now} receive queues"
        why = "queues that no flow is led to leave their CPUs idle"
        yield Finding(check, name, Level.WARN, what, why, f"ethtool -X {name} default")
    else:
        why = "a NIC that spreads flows over all queues uses all CPUs"
        yield ok(check, name, f"leads to all {device.queues.now} receive queues", why)
    for family, ports in (("udp4", device.rss.udp4_ports), ("udp6", device.rss.udp6_ports)):
        if udp and ports is False:
            yield Finding(
                *(check, f"{name} {family}", Level.NOTE, "UDP is spread by its addresses only"),
                why="all flows between two addresses are one CPU's",
                fix=f"ethtool -N {name} rx-flow-hash {family} sdfn",
            )


def _rps(device: Device) -> Iterator[Finding]:
    if device.rps:
        yield Finding(
            *("rps", device.name, Level.NOTE, "receive packet steering is on"),
            why="XDP runs before it: it costs only packets that are passed to this host",
            fix=f"for q in /sys/class/net/{device.name}/queues/rx-*; do echo 0 > $q/rps_cpus; done",
        )
