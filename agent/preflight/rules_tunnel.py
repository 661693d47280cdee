# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about checks through the tunnel: is the VIP's answer heard here?  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_interface

from agent.check_contradictions import ON_WIRE
from agent.config import Config, Vip
from agent.preflight.findings import Finding, Level, ok
from agent.preflight.surveyed import Device, Network, WayTo

CHECK = "tunnel"
_WHY = "checks go to the VIP, encapsulated, and the real's answer comes straight to this node"


def asked(config: Config) -> dict[str, Vip]:
    """The addresses that checks ask through the tunnel, and a VIP of each."""
    return {
        str(vip.check.address or vip.address): vip
        for vip in config.vips
        if vip.check.kind in ON_WIRE and vip.check.via != "direct"
    }


def tunnel(
    config: Config, paths: Mapping[str, WayTo | None], network: Network, device: Device | None
) -> Iterator[Finding]:
    """The way to each such address, and what would keep its answer out."""
    wanted = asked(config)
    if not wanted:
        return
    own = {str(ip_interface(address).ip): name for name, address in network.addresses}
    found = [
        finding
        for address, vip in wanted.items()
        if (finding := _address(config, address, vip, own, paths.get(address)))
    ]
    yield from found
    if not found:
        yield ok(CHECK, "", f"all {len(wanted)} VIP addresses can be asked", _WHY)
    if device and device.kind == "veth" and device.features.get("tx-checksum-ip-generic"):
        yield Finding(
            *(CHECK, device.name, Level.WARN, "a veth that leaves checksums to whoever receives"),
            why="a real that decapsulates by XDP cannot complete them: its checks would fail",
            fix=f"ethtool -K {device.name} tx off",
        )


def _address(
    config: Config, address: str, vip: Vip, own: Mapping[str, str], way: WayTo | None
) -> Finding | None:
    """What is wrong with one; None: nothing."""
    interface = config.node.interface
    direct = f'or set via = "direct" in the check of {vip.name}'
    if address in own:
        what = f"is on {own[address]} of this node: answers from it would be martians"
        fix = f"ip addr del {address} dev {own[address]} ({direct})"
        return Finding(CHECK, address, Level.FAIL, what, _WHY, fix)
    if way is None:
        fix = f"ip route add {address} via GATEWAY dev {interface} ({direct})"
        return Finding(CHECK, address, Level.FAIL, "no route", _WHY, fix)
    if way.interface != interface:
        what = f"the kernel's route is by {way.interface}, checks leave by {interface} only"
        fix = f"ip route replace {address} via GATEWAY dev {interface} ({direct})"
        return Finding(CHECK, address, Level.FAIL, what, _WHY, fix)
    return None
