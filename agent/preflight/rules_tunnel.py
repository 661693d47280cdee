# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules about the tunnel: is what goes to the reals heard there, and here?  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_interface

from agent.config.check_contradictions import ON_WIRE
from agent.config.tree import Config, Node, Real, Vip
from agent.nouns import Address
from agent.preflight import settings
from agent.preflight.findings import Finding, Level, mended, ok
from agent.preflight.surveyed import Device, Network, Reached, WayTo

CHECK = "tunnel"
_WHY = "checks go to the VIP, encapsulated, and the real's answer comes straight to this node"


def asked(config: Config) -> dict[str, Vip]:
    """The addresses that checks ask through the tunnel, and a VIP of each."""
    return {
        str(vip.check.address or vip.address): vip
        for vip in config.vips
        if vip.check.kind in ON_WIRE and vip.check.via != "direct"
    }


def encapsulations(config: Config) -> list[tuple[Address, Real]]:
    """Each real once for each family of its VIPs, with the address of one that a ping may go to."""
    found = {
        (real.address, vip.address.version): (vip.check.address or vip.address, real)
        for vip in reversed(config.vips)
        for real in vip.reals
    }
    return list(reversed(found.values()))


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
        what = "a veth that leaves checksums to whoever receives"
        why = "a real that decapsulates by XDP cannot complete them: its checks would fail"
        off = settings.feature_off(device.name, "tx-checksum-ip-generic")
        yield mended(CHECK, device.name, Level.WARN, what, why, off)


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


# ---- pings that went the way of clients' packets


def reached(node: Node, pings: Sequence[Reached]) -> Iterator[Finding]:
    """What becomes of packets that are encapsulated to each real."""
    if not pings:
        return
    silent = [ping for ping in pings if not ping.plain]
    filtered = [ping for ping in pings if ping.plain and not ping.spread]
    small = [ping for ping in pings if ping.spread and not ping.full]
    yield from map(_silent, silent)
    yield from _filtered(node, filtered)
    yield from (_too_large(node, ping) for ping in small)
    if well := len(pings) - len(silent) - len(filtered) - len(small):
        what = (
            f"{well} of {len(pings)} reals answer, as large as {max(p.size for p in pings)} bytes"
        )
        yield ok("encapsulated", "", what, _WHY_PINGS)


_WHY_PINGS = "clients' packets go this way; a ping of the VIP was encapsulated to each real"


def _silent(ping: Reached) -> Finding:
    what = f"does not answer a ping of {ping.vip} that is encapsulated to it"
    fix = f"on {ping.real}: remora-agent preflight --role real --vip {ping.vip}"
    if (":" in ping.real) is not (":" in ping.vip):
        fix += f" --outer {6 if ':' in ping.real else 4}"
    fix += " (or it answers no pings)"
    return Finding("encapsulated", ping.real, Level.WARN, what, _WHY_PINGS, fix)


def _filtered(node: Node, pings: Sequence[Reached]) -> Iterator[Finding]:
    """Sources that nobody has are what providers and clouds filter (RFC 2827, RFC 3704)."""
    for six in (False, True):
        concerned = [ping.real for ping in pings if (":" in ping.real) is six]
        if not concerned:
            continue
        key = "outer_source6" if six else "outer_source"
        shown = ", ".join(concerned[:3]) + (", ..." if len(concerned) > 3 else "")
        yield Finding(
            *("outer-source", str(getattr(node, key)), Level.FAIL),
            what=f"packets from it do not arrive at {len(concerned)} reals ({shown}); from this "
            "node's own address they do",
            why="everything that is balanced comes from there: they would get nothing",
            fix=f"let the routers between pass it (ip verify source, uRPF, the cloud's source "
            f"check), or set node.{key} to a prefix that is routed to this node",
        )


def _too_large(node: Node, ping: Reached) -> Finding:
    what = f"packets of {ping.size} bytes do not arrive, small ones do"
    why = f"node.underlay_mtu ({node.underlay_mtu}) promises that they do: clients would hang"
    fix = f"tracepath -n {ping.real} (raise that link's MTU, or set node.underlay_mtu to it)"
    return Finding("encap-mtu", ping.real, Level.FAIL, what, why, fix)
