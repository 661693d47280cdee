# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules for a real: what it needs to serve a VIP behind a tunnel (DSR).  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from agent.preflight import settings
from agent.preflight.findings import Finding, Level, mended, ok
from agent.preflight.rules_network import CLIENT_MTU, loose
from agent.preflight.surveyed import Device, Listener, RealSurvey


def real(survey: RealSurvey, wanted: Listener | None) -> Iterator[Finding]:
    """What is right and wrong on a real; `wanted`: the service, None: any will do."""
    if survey.device:
        yield from _arp(survey, survey.device)  # before the address: --fix keeps the order
    yield _address(survey)
    if survey.device is None:
        yield Finding(
            *("interface", survey.interface, Level.FAIL, "no interface has a default route"),
            why="encapsulated packets arrive there and answers leave there",
            fix="remora-agent preflight --role real --interface NAME ...",
        )
    else:
        yield _up(survey.device)
        yield _decapsulation(survey, survey.device)
        yield from _gue(survey, survey.device)
        yield from _rp_filter(survey, survey.device)
        yield _mtu(survey, survey.device)
    yield _service(survey, wanted)


def _address(survey: RealSurvey) -> Finding:
    check, why = (
        "vip-address",
        "the inner packet is addressed to the VIP: without it, it is dropped",
    )
    holders = [
        name
        for name, address in survey.network.addresses
        if str(ip_interface(address).ip) == survey.vip
    ]
    add = settings.address("lo", f"{survey.vip}/{ip_address(survey.vip).max_prefixlen}")
    if not holders:
        what = "no interface of this machine has it"
        return mended(check, survey.vip, Level.FAIL, what, why, add)
    if "lo" not in holders and survey.interface in holders:
        what = f"is on {survey.interface}, which answers ARP for it: reals would fight over it"
        undo = f"ip addr del {survey.vip} dev {survey.interface}"
        return Finding(check, survey.vip, Level.FAIL, what, why, f"{add.command} && {undo}")
    return ok(check, survey.vip, f"is on {', '.join(holders)}", why)


def _up(device: Device) -> Finding:
    check, why = "interface", "encapsulated packets arrive there and answers leave there"
    if not device.up or not device.carrier:
        what = "without carrier" if device.up else "down"
        fix = f"ip link set dev {device.name} up"
        return Finding(check, device.name, Level.FAIL, what, why, fix)
    return ok(check, device.name, "up", why)


def _decapsulation(survey: RealSurvey, device: Device) -> Finding:
    check, why = "decap", "something must take the outer header off"
    if device.xdp_ours:
        return ok(check, device.name, f"an XDP program does it: {device.xdp}", why)
    if device.xdp_ours is None:
        what = f"an XDP program ({device.xdp}); which, only root may see"
        return Finding(check, device.name, Level.NOTE, what, why, "sudo remora-agent preflight ...")
    kind, module = _tunnel_kind(survey)
    devices = [tunnel for tunnel in survey.network.tunnels if tunnel.kind == kind]
    up = next((tunnel.name for tunnel in devices if tunnel.up), None)
    if up:
        return ok(check, up, f"an {kind} device that takes packets from any node", why)
    if devices:
        name = devices[0].name
        what = f"an {kind} device, but it is down"
        return Finding(check, name, Level.FAIL, what, why, f"ip link set dev {name} up")
    what = f"neither a decapsulating XDP program nor an {kind} device"
    mode = " mode any" if kind == "ip6tnl" else ""
    fix = (
        f"modprobe {module} && ip link add {kind}9 type {kind}{mode} external && "
        f"ip link set dev {kind}9 up"
    )
    return Finding(check, device.name, Level.FAIL, what, why, fix)


def _tunnel_kind(survey: RealSurvey) -> tuple[str, str]:
    """(kind of device, module) that takes off what the nodes put on: by outer and inner header."""
    if survey.outer == 6:
        return "ip6tnl", "ip6_tunnel"
    return ("sit", "sit") if ":" in survey.vip else ("ipip", "ipip")


def _gue(survey: RealSurvey, device: Device) -> Iterator[Finding]:
    """With GUE a UDP header is between; an XDP program takes it off too, on the usual port."""
    if not survey.gue_port or device.xdp_ours:
        return
    check, why = (
        "gue",
        "the outer header is followed by UDP and GUE, which the kernel must take off",
    )
    if survey.fou:
        yield ok(check, f"port {survey.gue_port}", "a socket takes it", why)
        return
    what = "no socket takes it"
    fix = f"modprobe fou && ip fou add port {survey.gue_port} gue"
    if survey.outer == 6:
        fix = f"modprobe fou6 && ip fou add port {survey.gue_port} gue -6"
    yield Finding(check, f"port {survey.gue_port}", Level.FAIL, what, why, fix)


def _rp_filter(survey: RealSurvey, device: Device) -> Iterator[Finding]:
    """RFC 3704 strict: a packet is dropped unless the way back to its source is by where it came.

    With an ipip device clients' packets come out of it and their way back never does; with XDP they
    seem to come by the interface itself, and it holds while the default route is there.
    """
    check, why = "rp_filter", "strict filtering drops every client's packet after decapsulation"
    if not device.xdp_ours:
        for name, value in survey.tunnel_rp_filter.items():
            if value == 1:
                yield mended(check, name, Level.FAIL, "strict", why, loose(name))
    if device.rp_filter is None:
        return
    home = any(  # rp_filter is about IPv4 only
        name == device.name and destination == "0.0.0.0/0"
        for name, destination in survey.network.routes
    )
    if device.rp_filter == 1 and not home:
        what = "strict, and the way to clients is not by it"
        yield mended(check, device.name, Level.FAIL, what, why, loose(device.name))
    elif device.rp_filter == 1:
        what = "strict: it works only while every client's way back is by this interface"
        yield mended(check, device.name, Level.NOTE, what, why, loose(device.name))
    else:
        yield ok(check, device.name, "loose" if device.rp_filter else "off", why)


def _mtu(survey: RealSurvey, device: Device) -> Finding:
    outer = (20 if survey.outer == 4 else 40) + (8 if survey.gue_port else 0)
    check, needed = "mtu", CLIENT_MTU + outer
    why = f"full packets of clients arrive here with {needed} bytes, outer header included"
    if device.mtu < needed:
        fix = (
            f"ip link set dev {device.name} mtu {needed} (and the switch); or let clients send "
            f"less: ip route change default ... advmss {device.mtu - outer - 40}"
        )
        return Finding(check, device.name, Level.WARN, f"{device.mtu}", why, fix)
    return ok(check, device.name, f"{device.mtu}", why)


def _arp(survey: RealSurvey, device: Device) -> Iterator[Finding]:
    if device.arp_ignore is None or ":" in survey.vip:  # neighbour discovery asks nobody else
        return
    check, why = "arp", "on a network shared with clients it would answer for the VIP's address"
    if device.arp_ignore == 0:
        quiet = (("arp_ignore", 1), ("arp_announce", 2))
        changes = [settings.ipv4_of(device.name, key, value) for key, value in quiet]
        what = f"{device.name} answers ARP for addresses of lo, {survey.vip} among them"
        yield mended(check, device.name, Level.NOTE, what, why, *changes)
    else:
        yield ok(check, device.name, "does not answer ARP for addresses of lo", why)


def _service(survey: RealSurvey, wanted: Listener | None) -> Finding:
    check, why = "service", "the VIP's port is answered by this machine itself"
    found = sorted({f"{one.port}/{one.protocol}" for one in survey.listeners})
    shown = ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")
    if wanted is None and found:
        return ok(check, survey.vip, f"listening: {shown}", why)
    if wanted is not None and wanted in survey.listeners:
        return ok(check, survey.vip, f"listening on {wanted.port}/{wanted.protocol}", why)
    what = f"nothing listens on {wanted.port}/{wanted.protocol}" if wanted else "nothing listens"
    fix = f"ss -Hlntu (bind the service to {survey.vip} or to any address)"
    return Finding(check, survey.vip, Level.FAIL, what, why, fix)
