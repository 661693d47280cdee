# SPDX-License-Identifier: Apache-2.0
"""Which VIP addresses this node announces, and with what attributes.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.config.bgp_table import Announce
from agent.nouns import Address, Route

GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326: routers that honour it prefer any other path."""


class Service(NamedTuple):
    """What the decision needs to know of one VIP."""

    address: Address
    wants: bool
    """Enough of its reals take new flows."""
    ready: bool
    """Its ring has a real, and every real has been judged at least once."""
    route: Route
    leaving: bool
    """Its VIP is being drained: its route asks for other paths."""
    needed: bool
    """Its address is announced only while all such services want it (docs/adr/0005)."""


def routes(services: Iterable[Service], announced: Mapping[Address, Route]) -> dict[Address, Route]:
    """The addresses to announce, as far as their services are concerned.

    A service is announced first when it is ready; once announced, it stays so through a re-check
    (H2).
    """
    by_address: dict[Address, list[Service]] = {}
    for service in services:
        by_address.setdefault(service.address, []).append(service)
    return {
        address: min((s for s in there if s.wants), key=lambda service: service.leaving).route
        for address, there in by_address.items()
        if _attracts(there, announced=address in announced)
    }


def _attracts(services: list[Service], *, announced: bool) -> bool:
    """One service is enough, and every one that is needed must want it."""
    serve = [service.wants and (service.ready or announced) for service in services]
    vetoes = any(s.needed and not ok for s, ok in zip(services, serve, strict=True))
    return any(serve) and not vetoes


def route(address: Address, default: Announce, own: Announce) -> Route:
    """The attributes of a VIP's route: its own, else the node's default."""
    hop = own.next_hop or default.next_hop

    return Route(
        next_hop=hop if hop and hop.version == address.version else None,
        med=default.med if own.med is None else own.med,
        local_preference=(
            default.local_preference if own.local_preference is None else own.local_preference
        ),
        communities=_first(own.communities, default.communities),
        large_communities=_first(own.large_communities, default.large_communities),
        prepend=(default.prepend if own.prepend is None else own.prepend) or 0,
    )


def _first(own: tuple[str, ...] | None, default: tuple[str, ...] | None) -> tuple[str, ...]:
    """An empty list of the VIP's own is none at all, not the default."""
    return (default or ()) if own is None else own


def needed(default: Announce, own: Announce) -> bool:
    return (own.when or default.when) == "all"
