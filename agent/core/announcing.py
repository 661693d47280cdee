# SPDX-License-Identifier: Apache-2.0
"""Which routes stand, which should, and in which order they change.  Pure.

settling.py withdraws by this before it touches rings and announces by it behind them: traffic is
never attracted that a ring cannot place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.boundary import Effect, Emit, SetRoutes
from agent.config.bgp_table import Announce
from agent.core import policy, rib, shutdown
from agent.core.shutdown import Phase
from agent.core.state import NodeState, VipState
from agent.nouns import Address, Route
from shared.messages import RouteEvent

Routes = dict[Address, Route]


class Announcing:
    """What was said to BGP and to the readers of events."""

    def __init__(self, state: NodeState) -> None:
        self.stopping = False
        """Nothing is to be announced any more."""
        self._state = state
        self._sent = [SetRoutes(state.announced, state.hushed)]
        """What was announced before the last batch, then each SetRoutes of it."""
        self._told: frozenset[str] = frozenset()
        """Announced addresses, as events said."""
        self._services: dict[Address, dict[str, rib.Service]] = {}
        """By address and the VIP's name."""
        self._serving: Routes = {}
        """What the services want, whatever the node is about to do.  Of an address that no VIP in
        question has it stands as it was: not all of 500 are asked for each change of one."""
        self._settled = False
        """All this is announced, and was told: nothing to compare while nothing changes."""

    def withdraw(self, vips: Sequence[VipState]) -> list[Effect]:
        """What is not to stand any more; `vips`: those of which something may be new."""
        state = self._state
        still = self._routes(vips)
        self._sent = [SetRoutes(state.announced, state.hushed)]
        hushed = state.hushed | state.peers_withdrawn
        if still is state.announced and hushed == state.hushed:
            return []
        left = {a: route for a, route in state.announced.items() if a in still}
        return self._send(left, hushed)

    def announce(self, vips: Sequence[VipState]) -> list[Effect]:
        """All that is to stand, now that the rings are there."""
        state = self._state
        wanted, hushed = self._routes(vips), state.peers_withdrawn
        if wanted is state.announced and hushed == state.hushed:
            return []
        effects = [*self._send(wanted, hushed), *self._events(wanted)]
        flipped = wanted.keys() ^ state.announced.keys()
        state.announced, state.hushed = wanted, hushed
        differs = flipped and self._review(
            vip for vip in state.vips.values() if vip.listed.address in flipped
        )
        self._settled = not (differs or self.stopping or state.shutdown)
        return effects

    def review_all(self) -> None:
        """The next pass brings every VIP: what was known of those that are gone is forgotten."""
        self._services.clear()
        self._serving = {}
        self._settled = False

    def forget(self, undone: Sequence[Effect]) -> None:
        """These were not performed, or failed."""
        self._settled = False
        unsent = sum(isinstance(effect, SetRoutes) for effect in undone)
        was = self._sent[-1 - unsent]
        self._state.announced, self._state.hushed = dict(was.routes), was.hushed
        for effect in undone:
            if isinstance(effect, Emit) and isinstance(effect.body, RouteEvent):
                self._told ^= {effect.body.address}

    def _send(self, routes: Routes, hushed: frozenset[str]) -> list[Effect]:
        told = SetRoutes(routes, hushed)
        if told == self._sent[-1] or not (routes or self._sent[-1].routes):
            return []  # while there is no route, nothing is to be said to anybody
        self._sent.append(told)
        return [told]

    def _routes(self, vips: Sequence[VipState]) -> Routes:
        state = self._state
        leaving = state.shutdown
        if self.stopping or whole_node(state):
            return {}
        self._settled &= not self._review(vips) and not leaving
        if self._settled:
            return state.announced
        if leaving:
            shut = shutdown.shut
            return {a: shut(route, state.listed.drain) for a, route in self._serving.items()}
        return dict(self._serving)

    def _review(self, vips: Iterable[VipState]) -> bool:
        """What the routes depend on: not of all 4,000 reals for each change of one.

        Whether any route differs.
        """
        state = self._state
        default = defaults(state)
        addresses = {}
        for vip in vips:
            address, name = vip.listed.address, vip.listed.name
            service = service_of(vip, state, default, announced=address in state.announced)
            addresses[address] = self._services.setdefault(address, {})
            addresses[address][name] = service
        differs = False
        for address, services in addresses.items():
            was = self._serving.pop(address, None)
            self._serving.update(rib.routes(services.values(), state.announced))
            differs |= was != self._serving.get(address)
        return differs

    def _events(self, wanted: Iterable[Address]) -> list[Effect]:
        was, now = self._told, frozenset(map(str, wanted))
        self._told = now
        return [
            *(Emit(RouteEvent(a, announced=False, why=self._why(a))) for a in sorted(was - now)),
            *(Emit(RouteEvent(a, announced=True, why="quorum met")) for a in sorted(now - was)),
        ]

    def _why(self, address: str) -> str:
        """Why it is not announced any more."""
        state = self._state
        if self.stopping:
            return "agent stops"
        if why := whole_node(state):
            return why
        vips = [vip for vip in state.vips.values() if str(vip.listed.address) == address]
        return why_none(vips, state) if vips else "no VIP has it any more"


def why_none(vips: Iterable[VipState], state: NodeState) -> str:
    """Why the VIPs of one address do not have it announced, as far as it is their doing."""
    default = defaults(state)
    services = [(vip, service_of(vip, state, default, announced=False)) for vip in vips]
    whose = [reason(vip) or "quorum lost" for vip, service in services if not service.wants]
    return "; ".join(dict.fromkeys(whose)) or "checks or rings are not done yet"


def whole_node(state: NodeState) -> str:
    """Why the node announces nothing, whatever its VIPs want; empty: it may announce."""
    if not state.attached:
        return "no program on the interface"
    if state.shutdown and state.shutdown.phase is not Phase.SHUTTING:
        return "node draining"
    if state.withdrawn:
        return f"node {state.withdrawn}"
    if state.peers and len(state.peers_withdrawn) == len(state.peers):
        return "every peer of it is withdrawn"
    return ""


def reason(vip: VipState) -> str:
    """Which operator's word keeps a VIP's route away; empty: none."""
    if vip.withdrawn:
        return str(vip.withdrawn)
    leaving = vip.shutdown and vip.shutdown.phase is not Phase.SHUTTING
    return "VIP draining" if leaving else ""


def defaults(state: NodeState) -> Announce:
    """The attributes of routes of which a VIP says nothing."""
    return state.listed.bgp.announce if state.listed.bgp else Announce()


def attracts(vip: VipState, *, announced: bool) -> bool:
    """Whether it wants its address announced, as far as its reals are concerned; `announced`: it is
    so now."""
    listed, serving = vip.listed, vip.serving
    return policy.attracts(
        listed.all_down,
        serving=serving,
        announced=announced,
        announce_at=listed.comes_at,
        withdraw_below=listed.leaves_below,
        panicking=vip.panicking,
        placed=bool(vip.shares) and (serving > 0 or bool(vip.members)),
    )


def service_of(
    vip: VipState, state: NodeState, default: Announce, *, announced: bool
) -> rib.Service:
    """What the decision needs to know of it."""
    listed, leaving = vip.listed, vip.shutdown
    route = rib.route(listed.address, default, listed.announce)._replace(length=listed.length)
    if leaving and not state.shutdown:
        route = shutdown.shut(route, state.listed.drain)
    return rib.Service(
        address=listed.address,
        wants=attracts(vip, announced=announced) and not reason(vip),
        ready=vip.warm and vip.placed is not None and bool(vip.shares),
        route=route,
        leaving=leaving is not None,
        needed=rib.needed(default, listed.announce),
    )
