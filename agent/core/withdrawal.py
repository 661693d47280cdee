# SPDX-License-Identifier: Apache-2.0
"""An operator's withdrawals: what an action asks for, where each is kept.  Pure.

Three levels that know nothing of each other: the node, a peer of it, a VIP on it.  A route stands
only when none of them is withdrawn, and health, policy and drains want it as well; so taking one
back never forces a route (announcing.py).
"""

from __future__ import annotations

from ipaddress import ip_address

from agent.core.refused import Refused
from agent.core.state import NodeState, PeerState, VipState
from agent.nouns import ROUTES, Override, Withdrawal, of_route
from shared.messages import Action, Announce, Batch, Command, Withdraw


def said(command: Command) -> Withdrawal:
    """What is kept of who gave it."""
    return Withdrawal(command.who, command.sent, command.why)


def wanted(state: NodeState, action: Withdraw | Announce, by: Withdrawal) -> Override:
    """The override that it asks for.  Raises Refused."""
    if sum((bool(action.vip), action.node, bool(action.peer))) != 1:
        raise Refused("name one: a VIP, a peer, or the node")
    if state.listed.bgp is None:
        raise Refused(f"{state.listed.node.name} announces nothing: its config has no table bgp")
    if action.vip and action.vip not in state.vips:
        raise Refused(f"no VIP {action.vip!r} here; there are {', '.join(sorted(state.vips))}")
    route = _peer(state, action.peer) if action.peer else ROUTES
    return of_route(action.vip, by if isinstance(action, Withdraw) else None, route)


def _peer(state: NodeState, name: str) -> str:
    """An IPv6 address has more than one text.  Raises Refused."""
    try:
        address = str(ip_address(name))
    except ValueError:
        raise Refused(f"{name!r} is not an IP address; name a peer by its address") from None
    if address not in state.peers:
        raise Refused(f"no peer {address} here; there are {', '.join(state.peers)}")
    return address


def elsewhere(action: Action) -> dict[str, int]:
    """As Withdraw.elsewhere, of all that is in it: the least that is said of a VIP counts."""
    actions = action.actions if isinstance(action, Batch) else (action,)
    found: dict[str, int] = {}
    for each in actions:
        if isinstance(each, Withdraw):
            for vip, nodes in each.elsewhere.items():
                found[vip] = min(nodes, found.get(vip, nodes))
    return found


# ---- where it is kept


def holder(state: NodeState, override: Override) -> NodeState | VipState | PeerState | None:
    """What an override of a route is about; None: there is no such thing any more."""
    if override.route != ROUTES:
        return state.peers.get(override.route)
    return state.vips.get(override.vip) if override.vip else state


def differs(state: NodeState, override: Override) -> bool:
    """Whether it would change anything: whose withdrawal it is does not count."""
    found = holder(state, override)
    return found is not None and bool(found.withdrawn) is not bool(override.withdrawn)


def put(state: NodeState, override: Override) -> Override | None:
    """Returns how it was; None: there is no such thing any more."""
    found = holder(state, override)
    if found is None:
        return None
    was, found.withdrawn = found.withdrawn, override.withdrawn
    return override._replace(withdrawn=was)


def in_force(state: NodeState) -> list[Override]:
    """All of them, as overrides."""
    vips = {name: vip.withdrawn for name, vip in state.vips.items()}
    peers = {address: peer.withdrawn for address, peer in state.peers.items()}
    return [
        *([of_route("", state.withdrawn)] if state.withdrawn else []),
        *(of_route(name, of) for name, of in vips.items() if of),
        *(of_route("", of, address) for address, of in peers.items() if of),
    ]
