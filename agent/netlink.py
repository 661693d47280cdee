# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of interface, default route and next hop.

pyroute2 is imported inside the functions: it costs 16 MB, which the agent gives back by asking in a
short-lived child (`python -m agent.netlink`), as it does with the compiler.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from ipaddress import ip_address
from typing import Any, NamedTuple

from agent.attach import attributes
from agent.boundary import EffectError
from agent.host_watch import LinkSeen
from agent.maglev import Address

RESOLVE = 5.0
"""Seconds that the next hop has to answer ARP or neighbour discovery at start."""

# linux/netlink.h, linux/neighbour.h
_MESSAGE = struct.Struct("=IHHII")
_NEIGHBOUR = struct.Struct("=B3xiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_RTM_NEWNEIGH, _RTM_GETNEIGH, _NLM_F_REQUEST = 28, 30, 1
_NDA_DST, _NDA_LLADDR = 1, 2
_LINK = struct.Struct("=BxHiII")
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_IFLA_ADDRESS, _IFLA_MTU = 1, 4  # linux/if_link.h
_IFF_UP, _IFF_LOWER_UP = 1, 1 << 16  # linux/if.h
_NUD_VALID = 0xDE
"""Permanent, no ARP, reachable, probe, stale, delay."""


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
        "-m",
        "agent.netlink",
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


def neighbour(interface: str, address: str) -> bytes | None:
    """The MAC that the kernel has for a neighbour; None while it knows none.

    Asked every few seconds, it must cost microseconds: one RTM_GETNEIGH (rtnetlink(7)), written by
    hand.  The kernel answers in the same call.
    """
    packed = ip_address(address).packed
    family = socket.AF_INET6 if len(packed) == 16 else socket.AF_INET
    route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with route, contextlib.suppress(OSError):  # the interface is gone: no neighbour there
        wanted = _NEIGHBOUR.pack(family, socket.if_nametoindex(interface), 0, 0, 0)
        wanted += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _NDA_DST) + packed
        length = _MESSAGE.size + len(wanted)
        route.send(_MESSAGE.pack(length, _RTM_GETNEIGH, _NLM_F_REQUEST, 1, 0) + wanted)
        return _hardware_address_in(route.recv(4096))
    return None


def link_seen(interface: str) -> LinkSeen | None:
    """The interface as the kernel has it now; None: there is none of that name.

    Asked every few seconds like a neighbour: one RTM_GETLINK, answered in the same call.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        try:
            index = socket.if_nametoindex(interface)
        except OSError:
            return None
        wanted = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        length = _MESSAGE.size + len(wanted)
        route.send(_MESSAGE.pack(length, _RTM_GETLINK, _NLM_F_REQUEST, 1, 0) + wanted)
        reply = route.recv(1 << 16)
    if _MESSAGE.unpack_from(reply)[1] != _RTM_NEWLINK:
        return None
    flags = _LINK.unpack_from(reply, _MESSAGE.size)[3]
    found = attributes(reply[_MESSAGE.size + _LINK.size :])
    mtu = int.from_bytes(found.get(_IFLA_MTU, b""), sys.byteorder)
    up = flags & (_IFF_UP | _IFF_LOWER_UP) == _IFF_UP | _IFF_LOWER_UP
    return LinkSeen(up, mtu, found.get(_IFLA_ADDRESS, b""))


def _hardware_address_in(message: bytes) -> bytes | None:
    """NDA_LLADDR of an RTM_NEWNEIGH, if the kernel takes it for valid."""
    length, kind, *_ = _MESSAGE.unpack_from(message)
    if kind != _RTM_NEWNEIGH:
        return None
    _, _, state, _, _ = _NEIGHBOUR.unpack_from(message, _MESSAGE.size)
    at = _MESSAGE.size + _NEIGHBOUR.size
    while state & _NUD_VALID and at + _ATTRIBUTE.size <= length:
        size, name = _ATTRIBUTE.unpack_from(message, at)
        if name == _NDA_LLADDR:
            return message[at + _ATTRIBUTE.size : at + size]
        at += max(size, _ATTRIBUTE.size) + 3 & ~3
    return None


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
