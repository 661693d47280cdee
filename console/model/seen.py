# SPDX-License-Identifier: Apache-2.0
"""One object as several nodes tell of it: what adds up, and what is too old for that.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from console.model.rates import Sum, total
from console.model.sights import Sight
from console.model.store import Agent
from console.model.tracks import Track


class Seen:
    """One object as its nodes tell of it."""

    def __init__(self) -> None:
        self.fresh: list[Sight] = []
        self.old: list[Sight] = []
        """Of nodes whose values are too old: in no sum."""

    @property
    def shown(self) -> list[Sight]:
        return self.fresh or self.old

    @property
    def tracks(self) -> tuple[Track, ...]:
        return tuple([sight.track for sight in self.fresh])

    def sums(self, counters: Sequence[str]) -> list[Sum]:
        """Of the rates of each counter."""
        rates = zip(*(sight.rates for sight in self.fresh), strict=True)
        found = [total(each, len(self.old)) for each in rates]
        return found or [Sum(None, len(self.old))] * len(counters)

    def age(self, now: float) -> float:
        """The oldest of what is shown: a row is as old as its oldest part."""
        return max(0.0, now - min(sight.seen for sight in self.shown))


def seen_by(
    agents: Iterable[Agent], topic: str, now: float, meant: Callable[[Any], bool]
) -> dict[Any, Seen]:
    """Name -> what each agent that carries it says of it, in the order of the agents."""
    found: dict[Any, Seen] = {}
    wanted: dict[Any, bool] = {}
    for agent in agents:
        fresh = agent.fresh(now, topic)
        for name, sight in agent.sights(topic).items():
            if name not in wanted:
                wanted[name] = meant(name)
            if not wanted[name]:
                continue
            seen = found.get(name)
            if seen is None:
                seen = found[name] = Seen()
            (seen.fresh if fresh else seen.old).append(sight)
    return found
