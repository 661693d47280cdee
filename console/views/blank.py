# SPDX-License-Identifier: Apache-2.0
"""Why a table is empty: there is nothing, or it is not known, which is not the same.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from console.model.store import Agent, Liveness

NO_VIP = ("no node has a VIP", "[[vips]] of the agents' configs")
NO_REAL = ("no node has a real", "[[vips.reals]] of the agents' configs")
NO_PEER = ("no node has a BGP neighbour", "[bgp] of the agents' configs")
NO_OPERATION = ("no agent remembers an operation", "remora audit has older ones")
"""What there is none of, and where it would be."""
NONE_THEN = ("none in the minutes before that moment", "9 has all of them now (t)")
"""Operations of the past: no more of it is asked for than a screen of that moment needs."""


def why_empty(
    agents: Sequence[Agent],
    now: float,
    told: Callable[[Agent], object],
    nothing: str,
    look: str = "",
) -> str:
    """`told`: what an agent said of the matter, None before it did.

    `nothing` stands without a reservation only where every agent said so and is live; then `look`
    says where there may be something.
    """
    mute = [a.name for a in agents if told(a) is None or a.liveness(now) is not Liveness.LIVE]
    if not mute:
        return f"{nothing}: {look}" if look else nothing
    who = mute[0] if len(mute) == 1 else f"{len(mute)} nodes"
    if all(agent.liveness(now) is Liveness.LIVE for agent in agents):
        return f"asking {who} …"
    if len(mute) < len(agents):
        return f"{nothing}, as far as is known: no live values from {who} (8)"
    return f"not known: no live values from {who}; alerts (8) say why"
