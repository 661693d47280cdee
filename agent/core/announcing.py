# SPDX-License-Identifier: Apache-2.0
"""Which routes stand, which should, and in which order they change.  Pure.

settling.py withdraws by this before it touches rings and announces by it behind them: traffic is
never attracted that a ring cannot place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.boundary import Advertise, Effect, Emit
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
        self._sent = [state.announced]
        """What was announced before the last batch, then each Advertise of it."""
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
        self._sent = [state.announced]
        if still is state.announced:
            return []
        return self._send({a: route for a, route in state.announced.items() if a in still})

    def announce(self, vips: Sequence[VipState]) -> list[Effect]:
        """All that is to stand, now that the rings are there."""
        state = self._state
        wanted = self._routes(vips)
        if wanted is state.announced:
            return []
        effects = [*self._send(wanted), *self._events(wanted)]
        flipped = wanted.keys() ^ state.announced.keys()
        state.announced = wanted
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
        unsent = sum(isinstance(effect, Advertise) for effect in undone)
        self._state.announced = self._sent[-1 - unsent]
        for effect in undone:
            if isinstance(effect, Emit) and isinstance(effect.body, RouteEvent):
                self._told ^= {effect.body.address}

    def _send(self, routes: Routes) -> list[Effect]:
        if routes == self._sent[-1]:
            return []
        self._sent.append(routes)
        return [Advertise(routes)]

    def _routes(self, vips: Sequence[VipState]) -> Routes:
        state = self._state
        leaving = state.shutdown
        if self.stopping or not state.attached or (leaving and leaving.phase is not Phase.SHUTTING):
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
        state, bgp = self._state, self._state.listed.bgp
        default = bgp.announce if bgp else Announce()
        addresses = {}
        for vip in vips:
            address, name = vip.listed.address, vip.listed.name
            service = _service(vip, state, default, announced=address in state.announced)
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
        if not state.attached:
            return "no program on the interface"
        if state.shutdown:
            return "node draining"
        vips = [vip for vip in state.vips.values() if str(vip.listed.address) == address]
        if not vips:
            return "no VIP has it any more"
        leaving = any(vip.shutdown and vip.shutdown.phase is not Phase.SHUTTING for vip in vips)
        return "VIP draining" if leaving else "quorum lost"


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


def _service(vip: VipState, state: NodeState, default: Announce, *, announced: bool) -> rib.Service:
    listed, leaving = vip.listed, vip.shutdown
    stays = leaving is None or leaving.phase is Phase.SHUTTING
    route = rib.route(listed.address, default, listed.announce)._replace(length=listed.length)
    if leaving and not state.shutdown:
        route = shutdown.shut(route, state.listed.drain)
    return rib.Service(
        address=listed.address,
        wants=stays and attracts(vip, announced=announced),
        ready=vip.warm and vip.placed is not None and bool(vip.shares),
        route=route,
        leaving=leaving is not None,
        needed=rib.needed(default, listed.announce),
    )
