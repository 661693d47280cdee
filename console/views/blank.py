# SPDX-License-Identifier: Apache-2.0
"""Why a table is empty: there is nothing, or it is not known, which is not the same.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from console.model.store import Agent, Liveness


def why_empty(
    agents: Sequence[Agent], now: float, told: Callable[[Agent], object], nothing: str
) -> str:
    """`told`: what an agent said of the matter, None before it did.

    `nothing` stands alone only where every agent said so and is live.
    """
    mute = [a.name for a in agents if told(a) is None or a.liveness(now) is not Liveness.LIVE]
    if not mute:
        return nothing
    who = mute[0] if len(mute) == 1 else f"{len(mute)} nodes"
    if len(mute) < len(agents):
        return f"{nothing}, as far as is known: no live values from {who} (8)"
    return f"not known: no live values from {who}; alerts (8) say why"
