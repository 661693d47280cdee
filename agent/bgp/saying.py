# SPDX-License-Identifier: Apache-2.0
"""Between what ExaBGP holds and what was declared: the commands that lead from one to the other.
Pure.

Peers that are hushed are told no route: what stands is withdrawn from each of them alone, and of
what changes meanwhile the others are told by name.  A command that is of no peer in particular is
of all: ExaBGP would tell a hushed one of a withdrawal, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from agent.bgp import text
from agent.config.bgp_table import Bgp, BgpPeer

Routes = Mapping[str, str]
"""Prefix -> attributes, as ExaBGP's commands have them."""


class Held(NamedTuple):
    """What is held, or wanted."""

    routes: Routes
    hushed: frozenset[str] = frozenset()
    """Addresses of the peers that are told none of them."""


class Said(NamedTuple):
    """One command."""

    verb: Literal["announce", "withdraw"]
    prefix: str
    attributes: str
    whom: str = ""
    """Selectors of the only peers that are meant."""
    peers: frozenset[str] = frozenset()
    """Addresses of those that are told of a route, or not any more; empty: it comes or goes."""

    @property
    def of_route(self) -> bool:
        """The route itself comes or goes."""
        return not self.peers

    @property
    def line(self) -> str:
        words = f"{self.whom} {self.verb} route {self.prefix} {self.attributes}"
        return words.strip()


def difference(listed: Bgp, held: Held, wanted: Held) -> list[Said]:
    """Withdrawals first, each part sorted as the routes are, so that logs and tests read alike."""
    peers = {str(peer.address): peer for peer in listed.peers}
    fewer = [peer for a, peer in peers.items() if a in wanted.hushed - held.hushed]
    more = [peer for a, peer in peers.items() if a in held.hushed - wanted.hushed]
    told = [peer for a, peer in peers.items() if a not in wanted.hushed]
    whom, both = _whom(listed, wanted.hushed), held.hushed & wanted.hushed
    new = {p: a for p, a in wanted.routes.items() if held.routes.get(p) != a}
    same = {p: a for p, a in wanted.routes.items() if p not in new}
    gone = {p: a for p, a in held.routes.items() if p not in wanted.routes}
    return [
        *to_some(
            listed, "withdraw", fewer, {p: held.routes[p] for p in held.routes if p not in gone}
        ),
        # also from those that are told again: an agent that died may have told them some already
        *(Said("withdraw", p, a, _whom(listed, both)) for p, a in gone.items()),
        # in place of what stands
        *(Said("announce", p, attributes, whom) for p, attributes in new.items() if told),
        *to_some(listed, "announce", more, same),
    ]


def to_some(
    listed: Bgp, verb: Literal["announce", "withdraw"], peers: Sequence[BgpPeer], routes: Routes
) -> list[Said]:
    """All of these routes, to these peers alone."""
    if not peers:
        return []
    whom, named = _selectors(listed, peers), frozenset(str(peer.address) for peer in peers)
    return [Said(verb, p, attributes, whom, named) for p, attributes in routes.items()]


def unheard(hushed: frozenset[str], refused: Said) -> frozenset[str]:
    """Who is hushed still, or again, as ExaBGP refused to tell its peers: they are told anew."""
    return hushed - refused.peers if refused.verb == "withdraw" else hushed | refused.peers


def _whom(listed: Bgp, hushed: frozenset[str]) -> str:
    """The others; empty: all, or none."""
    told = [peer for peer in listed.peers if str(peer.address) not in hushed]
    return "" if len(told) == len(listed.peers) else _selectors(listed, told)


def _selectors(listed: Bgp, peers: Iterable[BgpPeer]) -> str:
    return " , ".join(text.session(listed, peer).selector for peer in peers)
