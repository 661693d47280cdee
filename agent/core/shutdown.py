# SPDX-License-Identifier: Apache-2.0
"""How a node, or a VIP on it, leaves service: step by step, each of which can be taken back.  Pure.

    shutting    the route asks for other paths (RFC 8326: community 65535:0) and still stands
    withdrawn   the traffic has gone, or the deadline has passed: the route is away
    drained     nothing comes any more: the node may be stopped, the VIP removed

Back into service is one step from any of them: the route is announced as always, in place of the
one that stands, so an undrain before the withdrawal is no flap (H3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from agent.config.drain_table import DrainTable
from agent.core.rib import GRACEFUL_SHUTDOWN
from agent.nouns import Route


class Phase(StrEnum):
    SHUTTING = "shutting"
    WITHDRAWN = "withdrawn"
    DRAINED = "drained"


class Shutdown(NamedTuple):
    phase: Phase
    since: float
    """Of the phase, seconds."""
    why: str = ""
    """What brought it there."""


def begin(settings: DrainTable, now: float) -> Shutdown:
    """Without anything to tell the routers, withdrawal is the first step."""
    asks = settings.graceful_shutdown or settings.med is not None or settings.prepend
    if asks and settings.deadline:
        return Shutdown(Phase.SHUTTING, now, "other paths are asked for")
    return Shutdown(Phase.WITHDRAWN, now, "at once")


def step(shutdown: Shutdown, settings: DrainTable, rate: float | None, now: float) -> Shutdown:
    """The next phase when it is time for it.

    rate: packets per second that still arrive; None: not known yet, which is not quiet.
    """
    waited = now - shutdown.since
    quiet = rate is not None and rate <= settings.floor
    match shutdown.phase:
        case Phase.SHUTTING if waited >= settings.deadline:
            return Shutdown(Phase.WITHDRAWN, now, f"deadline, {_shown(rate)} still arrive")
        case Phase.SHUTTING if quiet and waited >= settings.settle:
            return Shutdown(Phase.WITHDRAWN, now, f"quiet, {_shown(rate)}")
        case Phase.WITHDRAWN if quiet and waited >= settings.settle:
            return Shutdown(Phase.DRAINED, now, f"quiet, {_shown(rate)}")
    return shutdown


def _shown(rate: float | None) -> str:
    return "packets" if rate is None else f"{rate:.0f} packets/s"


def shut(route: Route, settings: DrainTable) -> Route:
    """The route while it asks for other paths."""
    added = (GRACEFUL_SHUTDOWN,) if settings.graceful_shutdown else ()
    preference = settings.local_preference
    return route._replace(
        communities=(*route.communities, *added),
        local_preference=route.local_preference if preference is None else preference,
        med=route.med if settings.med is None else settings.med,
        prepend=route.prepend + settings.prepend,
    )
