# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of interface, default route and next hop.

pyroute2 is imported inside the functions: it costs 16 MB, which the agent gives back by asking in a
short-lived child (`python -m agent.host.netlink`), as it does with the compiler.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from ipaddress import ip_address
from typing import Any, NamedTuple

from agent.boundary import EffectError
from agent.dataplane.attach import how_attached
from agent.host import rtnetlink
from agent.host.host_seen import HostSeen
from agent.nouns import Address

RESOLVE = 5.0
"""Seconds that the next hop has to answer ARP or neighbour discovery at start."""


class WayOut(NamedTuple):
    """The way out of the node."""

    ifindex: int
    mtu: int
    own_mac: bytes
    gateway: str
    gateway_mac: bytes
    own_addresses: tuple[Address, ...] = ()
    """Of the interface, link-local ones left out."""


async def resolve(interface: str, gateway: Address | None) -> WayOut:
    """The way out by an interface.  Raises EffectError with what is missing."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-Im",  # not what the directory that we happen to be in calls `agent`, or `json`
        "agent.host.netlink",
        interface,
        str(gateway or ""),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    if child.returncode:
        last = err.decode(errors="replace").strip().splitlines()
        raise EffectError(last[-1] if last else f"netlink child ended with {child.returncode}")
    found = json.loads(out)
    return WayOut(
        found["ifindex"],
        found["mtu"],
        bytes.fromhex(found["own_mac"]),
        found["gateway"],
        bytes.fromhex(found["gateway_mac"]),
        tuple(ip_address(each) for each in found["own_addresses"]),
    )


def look(interface: str, gateway: str, program: int) -> HostSeen:
    """How all that may change around the node is now; `program`: the id of ours.  About a
    millisecond."""
    return HostSeen(
        link=rtnetlink.link(interface),
        program=how_attached(interface, program),
        addresses=rtnetlink.addresses(),
        gateway=gateway,
        neighbour=rtnetlink.neighbour(interface, gateway),
    )


def _resolve_here(interface: str, gateway: str) -> dict[str, Any]:
    from pyroute2 import IPRoute  # noqa: PLC0415  # see above

    with IPRoute() as kernel:
        index = kernel.link_lookup(ifname=interface)
        if not index:
            raise EffectError(f"interface {interface}: not there; see `ip link`")
        link = kernel.get_links(index[0])[0]
        if link.get("state") != "up":
            raise EffectError(f"interface {interface}: is down; `ip link set {interface} up`")
        hop = gateway or _default_gateway(kernel, index[0], interface)
        return {
            "ifindex": index[0],
            "mtu": link.get("mtu"),
            "own_mac": link.get("address").replace(":", ""),
            "gateway": hop,
            "gateway_mac": _hardware_address(kernel, index[0], interface, hop).replace(":", ""),
            "own_addresses": [
                str(entry.get("address"))
                for entry in kernel.get_addr(index=index[0])
                if not ip_address(entry.get("address")).is_link_local
            ],
        }


def _default_gateway(kernel: Any, index: int, interface: str) -> str:  # noqa: ANN401
    for family in (socket.AF_INET, socket.AF_INET6):
        for route in kernel.get_default_routes(family=family):
            hop = route.get("gateway")
            if hop and route.get("oif") == index:
                return str(hop)
    raise EffectError(
        f"interface {interface}: no default route by it; name the next hop in node.gateway"
    )


def _hardware_address(kernel: Any, index: int, interface: str, hop: str) -> str:  # noqa: ANN401
    """The next hop's MAC, asked for by a packet to it (the kernel resolves, we read)."""
    family = socket.AF_INET6 if ip_address(hop).version == 6 else socket.AF_INET
    deadline = time.monotonic() + RESOLVE
    while time.monotonic() < deadline:
        for entry in kernel.get_neighbours(family=family, ifindex=index, dst=hop):
            if entry.get("lladdr"):
                return str(entry.get("lladdr"))
        with socket.socket(family, socket.SOCK_DGRAM) as prompt:
            # discard: any packet makes the kernel ask
            prompt.sendto(b"", (hop, 9, 0, index) if family == socket.AF_INET6 else (hop, 9))
        time.sleep(0.02)
    raise EffectError(
        f"gateway {hop}: does not answer ARP or neighbour discovery on {interface}; "
        "check the address and the link"
    )


if __name__ == "__main__":
    try:
        print(json.dumps(_resolve_here(sys.argv[1], sys.argv[2])))
    except (EffectError, OSError) as error:
        sys.exit(str(error))
