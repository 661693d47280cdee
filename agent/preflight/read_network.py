# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of links, addresses, routes and neighbours of this network namespace.

By pyroute2, in this process: preflight is short-lived.  It is imported inside the functions, as it
cannot be asked while asyncio's loop runs.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable
from typing import Any

from agent.preflight.surveyed import Link, Network, TunnelDevice, WayTo

NEIGHBOUR = 1.5
"""Seconds that the reals' next hops have to answer."""
MAIN_TABLE, UNICAST = 254, 1  # linux/rtnetlink.h
_REMOTE = {"ipip": "ipip_remote", "sit": "sit_remote", "ip6tnl": "ip6tnl_remote"}


def link_of(interface: str) -> Link | None:
    """An interface as the kernel has it; None: there is none of that name here."""
    from pyroute2 import IPRoute  # noqa: PLC0415

    with IPRoute() as kernel:
        index = kernel.link_lookup(ifname=interface)
        if not index:
            return None
        link = kernel.get_links(index[0])[0]
        return Link(
            ifindex=index[0],
            up=link.get("state") == "up",
            carrier=bool(link.get("carrier")),
            mtu=int(link.get("mtu")),
            kind=str(link.get(("linkinfo", "kind")) or ""),
        )


def network() -> Network:
    """Every address, route and tunnel device of this network namespace."""
    from pyroute2 import IPRoute  # noqa: PLC0415

    with IPRoute() as kernel:
        links = {link["index"]: link for link in kernel.get_links()}
        names = {index: str(link.get("ifname")) for index, link in links.items()}
        addresses = [
            (names[a["index"]], f"{a.get('local') or a.get('address')}/{a['prefixlen']}")
            for a in kernel.get_addr()
        ]
        routes = [
            (names.get(route.get("oif") or 0, ""), destination)
            for route in kernel.get_routes(table=MAIN_TABLE)
            if (destination := _destination(route)) is not None
        ]
        tunnels = [
            TunnelDevice(
                names[index], str(link.get(("linkinfo", "kind"))), link.get("state") == "up"
            )
            for index, link in links.items()
            if _takes_from_anywhere(link)
        ]
    return Network(tuple(addresses), tuple(routes), tuple(tunnels))


def paths(destinations: Iterable[str]) -> dict[str, WayTo | None]:
    """The kernel's way to each address, each next hop asked for its MAC; None: no route."""
    from pyroute2 import IPRoute  # noqa: PLC0415

    with IPRoute() as kernel:
        names = {link["index"]: str(link.get("ifname")) for link in kernel.get_links()}
        ways = {destination: _way(kernel, destination) for destination in destinations}
        hops = {(way[0], way[1] or to) for to, way in ways.items() if way}
        answering = _answering(kernel, hops)
    return {
        to: WayTo(names[way[0]], way[1], (way[0], way[1] or to) in answering) if way else None
        for to, way in ways.items()
    }


def _way(kernel: Any, destination: str) -> tuple[int, str] | None:  # noqa: ANN401
    """(interface number, gateway or nothing); None: no route."""
    from pyroute2 import NetlinkError  # noqa: PLC0415

    try:
        route = kernel.route("get", dst=destination)[0]
    except NetlinkError:
        return None
    return int(route.get("oif")), str(route.get("gateway") or "")


def _answering(kernel: Any, hops: set[tuple[int, str]]) -> set[tuple[int, str]]:  # noqa: ANN401
    """Those whose MAC is known, or becomes known in time; all are asked together."""
    deadline = time.monotonic() + NEIGHBOUR
    while True:
        known = {
            (entry["ifindex"], str(entry.get("dst")))
            for entry in kernel.get_neighbours()
            if entry.get("lladdr")
        }
        if hops <= known or time.monotonic() > deadline:
            return hops & known
        for _, hop in hops - known:
            family = socket.AF_INET6 if ":" in hop else socket.AF_INET
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as prompt:
                prompt.sendto(b"", (hop, 9))  # discard: any packet makes the kernel ask
        time.sleep(0.05)


def _destination(route: Any) -> str | None:  # noqa: ANN401
    """`10.0.0.0/8`; None: a route that says nothing of who is there (unreachable, multicast)."""
    if route["type"] != UNICAST:
        return None
    any_address = "::" if route["family"] == socket.AF_INET6 else "0.0.0.0"
    return f"{route.get('dst') or any_address}/{route['dst_len']}"


def _takes_from_anywhere(link: Any) -> bool:  # noqa: ANN401
    """A tunnel device that is bound to no far end."""
    kind = link.get(("linkinfo", "kind"))
    if kind not in _REMOTE:
        return False
    return link.get(("linkinfo", "data", _REMOTE[kind])) in (None, "0.0.0.0", "::")


def set_address(interface: str, address: str, *, present: bool) -> None:
    """Put `10.200.0.1/32` on an interface, or take it off.  Raises OSError."""
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415

    plain, _, length = address.partition("/")
    with IPRoute() as kernel:
        try:
            kernel.addr(
                "add" if present else "del",
                index=socket.if_nametoindex(interface),
                address=plain,
                prefixlen=int(length),
            )
        except NetlinkError as error:
            raise OSError(error.code, f"{interface}: {error.args[1]}") from error
