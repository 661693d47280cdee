# SPDX-License-Identifier: Apache-2.0
"""What ExaBGP 5 is told, as text: its config, and the routes in its commands.  Pure.

Whatever is spliced in comes from types that cannot hold a quote or a line's end.
"""

from __future__ import annotations

from agent.bgp_table import Bgp, BgpPeer
from agent.maglev import Address
from agent.nouns import Route


def config(listed: Bgp, bridge: str) -> str:
    """The text of exabgp.conf; `bridge` is the command of the process that joins us to it."""
    blocks = [f"process remora {{ run {bridge}; encoder json; }}"]
    blocks += [_neighbor(listed, peer) for peer in listed.peers]
    return "\n".join(blocks) + "\n"


def _neighbor(listed: Bgp, peer: BgpPeer) -> str:
    settings: dict[str, object] = {
        "router-id": listed.router_id,
        "local-address": peer.local_address,
        "local-as": listed.local_as,
        "peer-as": peer.asn,
        "hold-time": peer.hold_time,
    }
    if peer.port != 179:
        settings["connect"] = peer.port
    if peer.multihop:
        settings["outgoing-ttl"] = peer.multihop
    if peer.password:
        settings["md5-password"] = f"'{peer.password}'"
    families = " ".join(f"ipv{version} unicast;" for version in listed.versions(peer))
    lines = [f"  {name} {value};" for name, value in settings.items()]
    return "\n".join(
        [
            f"neighbor {peer.address} {{",
            *lines,
            f"  family {{ {families} }}",
            "  api { processes [ remora ]; neighbor-changes; }",
            "}",
        ]
    )


def prefix(address: Address, length: int | None = None) -> str:
    """What is announced of a VIP: a host route, unless it is a network."""
    return f"{address}/{length or address.max_prefixlen}"


def attributes(listed: Bgp, route: Route, version: int) -> str:
    """What follows the prefix in a command.

    `next-hop self` would be the session's own address, which for an IPv6 route over an IPv4 session
    is an error: there the config names it.  A path that is given replaces ExaBGP's own, so that it
    begins with our AS once more than it is prepended.
    """
    hop = route.next_hop or (listed.next_hop6 if version == 6 else None)
    words = [f"next-hop {hop or 'self'}"]
    if route.med is not None:
        words.append(f"med {route.med}")
    if route.local_preference is not None:
        words.append(f"local-preference {route.local_preference}")
    if route.communities:
        words.append(f"community [ {' '.join(route.communities)} ]")
    if route.large_communities:
        words.append(f"large-community [ {' '.join(route.large_communities)} ]")
    if route.prepend:
        words.append(f"as-path [ {' '.join([str(listed.local_as)] * (route.prepend + 1))} ]")
    return " ".join(words)
