# SPDX-License-Identifier: Apache-2.0
"""The tables `bgp`, `bgp.peers`, `bgp.announce` and `vips.announce` of the config file.

Values alone are checked here, what they mean together in bgp_contradictions.py.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.tables import Address, Asn, Port, Table

Metric = Annotated[int, Meta(ge=0, le=4294967295)]
Prepend = Annotated[int, Meta(ge=0, le=10)]
_HALF = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)"
Community = Annotated[
    str, Meta(pattern=rf"^({_HALF}:{_HALF}|no-export|no-advertise|no-peer|blackhole)\Z")
]
"""RFC 1997, `65001:100`, and well-known ones by name."""
LargeCommunity = Annotated[str, Meta(pattern=r"^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}\Z")]
"""RFC 8092."""
When = Literal["any", "all"]


class Announce(Table, frozen=True, kw_only=True):
    """Of an address; what a VIP leaves out is as in `bgp.announce`."""

    when: When | None = None
    next_hop: Address | None = None
    med: Metric | None = None
    local_preference: Metric | None = None
    communities: tuple[Community, ...] | None = None
    large_communities: tuple[LargeCommunity, ...] | None = None
    prepend: Prepend | None = None


class BgpPeer(Table, frozen=True, kw_only=True):
    address: Address
    local_address: Address
    asn: Asn
    port: Port = 179
    hold_time: Annotated[int, Meta(ge=3, le=65535)] = 9
    password: Annotated[str, Meta(max_length=80, pattern=r"^[!-~]*\Z")] = ""
    multihop: Annotated[int, Meta(ge=0, le=255)] = 0
    families: tuple[Literal["ipv4", "ipv6"], ...] = ()


class Bgp(Table, frozen=True, kw_only=True):
    local_as: Asn
    router_id: IPv4Address
    next_hop6: IPv6Address | None = None
    dead_man: Annotated[float, Meta(ge=0, le=86400)] = 30.0
    announce: Announce = Announce()
    peers: Annotated[tuple[BgpPeer, ...], Meta(min_length=1)]

    def versions(self, peer: BgpPeer) -> tuple[int, ...]:
        """The IP versions of the routes that a session carries.

        Left to itself: its own, and IPv6 over IPv4 if there is a next hop for it.
        """
        if peer.families:
            return tuple(int(family[-1]) for family in peer.families)
        if peer.address.version == 6:
            return (6,)
        return (4, 6) if self.next_hop6 else (4,)
