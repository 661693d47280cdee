# SPDX-License-Identifier: Apache-2.0
"""What ExaBGP 5 is told, as text: its config, and the routes in its commands.  Pure.

Whatever is spliced in comes from types that cannot hold a quote or a line's end.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from agent.config.bgp_table import Bgp, BgpPeer
from agent.nouns import Address, Route


class Session(NamedTuple):
    """All that a session is made of: when one of it changes, it begins anew."""

    selector: str
    """Which neighbour is meant, in front of a command."""
    settings: str


def config(listed: Bgp, bridge: str) -> str:
    """The text of exabgp.conf; `bridge` is the command of the process that joins us to it.

    Each neighbour's description is a mark of them all: by it ExaBGP shows which config it has.  The
    bridge is not in it: an upgrade in another directory has another, and no other sessions.
    """
    process = f"process remora {{ run {bridge}; encoder json; }}"
    blocks = [_neighbor(listed, peer) for peer in listed.peers]
    digest = hashlib.sha256("\n".join(blocks).encode()).hexdigest()[:16]
    described = (b.replace("{", f'{{\n  description "remora {digest}";', 1) for b in blocks)
    return "\n".join([process, *described]) + "\n"


def mark(text: str) -> str:
    """The mark of a whole config, or of a line of it; empty: it has none."""
    found = _MARK.search(text)
    return found[1] if found else ""


_MARK = re.compile(r'description "remora ([0-9a-f]{16})"')


def session(listed: Bgp, peer: BgpPeer) -> Session:
    selector = (
        f"neighbor {peer.address} local-ip {peer.local_address} local-as {listed.local_as} "
        f"peer-as {peer.asn} router-id {listed.router_id}"
    )
    return Session(selector, _neighbor(listed, peer))


def begin_anew(old: Bgp, new: Bgp) -> list[str]:
    """Addresses of the peers in both whose session must begin anew."""
    before = {peer.address: session(old, peer) for peer in old.peers}
    return [
        str(peer.address)
        for peer in new.peers
        if before.get(peer.address, session(new, peer)) != session(new, peer)
    ]


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
