# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules for a real: what it needs to serve a VIP behind a tunnel (DSR).  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from agent.preflight.findings import Finding, Level, ok
from agent.preflight.rules_network import CLIENT_MTU, OUTER
from agent.preflight.surveyed import Device, Listener, RealSurvey

ONE_HOST = "/32"


def real(survey: RealSurvey, wanted: Listener | None) -> Iterator[Finding]:
    """What is right and wrong on a real; `wanted`: the service, None: any will do."""
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
        yield from _rp_filter(survey, survey.device)
        yield _mtu(survey.device)
        yield from _arp(survey, survey.device)
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
    fix = f"ip addr add {survey.vip}{ONE_HOST} dev lo"
    if not holders:
        what = "no interface of this machine has it"
        return Finding(check, survey.vip, Level.FAIL, what, why, fix)
    if "lo" not in holders and survey.interface in holders:
        what = f"is on {survey.interface}, which answers ARP for it: reals would fight over it"
        undo = f"ip addr del {survey.vip} dev {survey.interface}"
        return Finding(check, survey.vip, Level.FAIL, what, why, f"{fix} && {undo}")
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
    for name, up in survey.network.tunnels:
        if up:
            return ok(check, name, "an ipip device that takes packets from any node", why)
    fix = "modprobe ipip && ip link add ipip0 type ipip external && ip link set dev ipip0 up"
    if survey.network.tunnels:
        name = survey.network.tunnels[0][0]
        what = "an ipip device, but it is down"
        return Finding(check, name, Level.FAIL, what, why, f"ip link set dev {name} up")
    what = "neither a decapsulating XDP program nor an ipip device"
    return Finding(check, device.name, Level.FAIL, what, why, fix)


def _rp_filter(survey: RealSurvey, device: Device) -> Iterator[Finding]:
    """RFC 3704 strict: a packet is dropped unless the way back to its source is by where it came.

    With an ipip device clients' packets come out of it and their way back never does; with XDP they
    seem to come by the interface itself, and it holds while the default route is there.
    """
    check, why = "rp_filter", "strict filtering drops every client's packet after decapsulation"
    if not device.xdp_ours:
        for name, value in survey.tunnel_rp_filter.items():
            if value == 1:
                fix = (
                    f"sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{name}.rp_filter=0 "
                    f"net.ipv4.conf.{device.name}.rp_filter=2"
                )
                yield Finding(check, name, Level.FAIL, "strict", why, fix)
    if device.rp_filter is None:
        return
    home = any(  # rp_filter is about IPv4 only
        name == device.name and destination == "0.0.0.0/0"
        for name, destination in survey.network.routes
    )
    fix = f"sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{device.name}.rp_filter=2"
    if device.rp_filter == 1 and not home:
        what = "strict, and the way to clients is not by it"
        yield Finding(check, device.name, Level.FAIL, what, why, fix)
    elif device.rp_filter == 1:
        what = "strict: it works only while every client's way back is by this interface"
        yield Finding(check, device.name, Level.NOTE, what, why, fix)
    else:
        yield ok(check, device.name, "loose" if device.rp_filter else "off", why)


def _mtu(device: Device) -> Finding:
    check, needed = "mtu", CLIENT_MTU + OUTER
    why = f"full packets of clients arrive here with {needed} bytes, outer header included"
    if device.mtu < needed:
        fix = (
            f"ip link set dev {device.name} mtu {needed} (and the switch); or let clients send "
            f"less: ip route change default ... advmss {device.mtu - OUTER - 40}"
        )
        return Finding(check, device.name, Level.WARN, f"{device.mtu}", why, fix)
    return ok(check, device.name, f"{device.mtu}", why)


def _arp(survey: RealSurvey, device: Device) -> Iterator[Finding]:
    if device.arp_ignore is None:
        return
    check, why = "arp", "on a network shared with clients it would answer for the VIP's address"
    if device.arp_ignore == 0:
        fix = (
            f"sysctl -w net.ipv4.conf.{device.name}.arp_ignore=1 "
            f"net.ipv4.conf.{device.name}.arp_announce=2"
        )
        what = f"{device.name} answers ARP for addresses of lo, {survey.vip} among them"
        yield Finding(check, device.name, Level.NOTE, what, why, fix)
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
