# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the BGP tables though each value is right: a sentence each, with a remedy.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.config.bgp_table import Announce, Bgp, BgpPeer
from agent.config.tree import Config


def contradictions(config: Config) -> Iterator[str]:
    yield from _one_route_per_address(config)
    bgp = config.bgp
    if bgp is None:
        return
    seen: dict[object, int] = {}
    for i, peer in enumerate(bgp.peers):
        where = f"bgp.peers[{i}]"
        if peer.address in seen:
            yield (
                f"{where}.address: {peer.address} is bgp.peers[{seen[peer.address]}] already; "
                "one session per address"
            )
        seen[peer.address] = i
        yield from _session(bgp, peer, where)
    yield from _carried(config, bgp)
    yield from _announce("bgp.announce", bgp.announce, bgp)
    for i, vip in enumerate(config.vips):
        yield from _announce(f"vips[{i}].announce", vip.announce, bgp)
        hop = vip.announce.next_hop
        if hop is not None and hop.version != vip.address.version:
            yield (
                f"vips[{i}].announce.next_hop: {hop} is no next hop for {vip.address}; "
                "use an address of the VIP's family"
            )


def _session(bgp: Bgp, peer: BgpPeer, where: str) -> Iterator[str]:
    if peer.address.version != peer.local_address.version:
        yield (
            f"{where}.local_address: {peer.local_address} and {peer.address} are of two "
            "families; a session has one"
        )
    versions = bgp.versions(peer)
    if peer.address.version == 6 and 4 in versions:
        yield (
            f'{where}.families: an IPv6 session cannot announce IPv4 VIPs; leave "ipv4" out and '
            "name another peer by its IPv4 address (it carries IPv6 VIPs too, see bgp.next_hop6)"
        )
    if peer.address.version == 4 and 6 in versions and bgp.next_hop6 is None:
        yield (
            f"bgp.next_hop6: needed to announce IPv6 VIPs over the IPv4 session with "
            f"{peer.address}; add this node's IPv6 address towards the router"
        )
    if re.search(r"""['";{}\[\]#\\]""", peer.password):
        yield (
            f"{where}.password: quotes, brackets, ; # and \\ cannot be written to ExaBGP's config; "
            "choose another"
        )


def _carried(config: Config, bgp: Bgp) -> Iterator[str]:
    """Every VIP's family needs a session that carries it."""
    carried = {version for peer in bgp.peers for version in bgp.versions(peer)}
    missing = {vip.address.version for vip in config.vips} - carried
    peer = bgp.peers[0].address
    if 4 in missing:
        yield (
            "bgp.peers[0].address: an IPv6 session cannot announce IPv4 VIPs; name the peer by its "
            "IPv4 address (it carries IPv6 VIPs too, see bgp.next_hop6), or add one"
        )
    if 6 in missing:
        yield (
            f"bgp.next_hop6: needed to announce IPv6 VIPs over the IPv4 session with {peer}; add "
            "this node's IPv6 address towards the router, or a peer by its IPv6 address"
        )


def _announce(where: str, announce: Announce, bgp: Bgp) -> Iterator[str]:
    inside = next((peer for peer in bgp.peers if peer.asn == bgp.local_as), None)
    if announce.prepend and inside:
        yield (
            f"{where}.prepend: {inside.address} is in our own AS, where paths are not prepended; "
            "use local_preference or med"
        )
    for text in announce.large_communities or ():
        if any(int(part) > 4294967295 for part in text.split(":")):
            yield f"{where}.large_communities: {text}: each part is at most 4294967295"


def _one_route_per_address(config: Config) -> Iterator[str]:
    first: dict[object, int] = {}
    for i, vip in enumerate(config.vips):
        j = first.setdefault(vip.address, i)
        if config.vips[j].announce != vip.announce:
            yield (
                f"vips[{i}].announce: differs from that of vips[{j}], which has the same address "
                f"{vip.address}: an address has one route; make them equal"
            )
