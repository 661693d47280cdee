# SPDX-License-Identifier: Apache-2.0
"""One object as several nodes tell of it: what adds up, and what is too old for that.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

from console.model.rates import Sum, total
from console.model.sights import Minute, Sight, Sights
from console.model.store import Agent


class Counted(NamedTuple):
    """Where the totals of an object are: they are added up for rows that are shown."""

    fresh: Sequence[Sight] = ()
    left_out: int = 0
    """Nodes whose values are too old."""

    def total(self, counter: str) -> Sum:
        """Since each node began to count."""
        return total([getattr(sight.row, counter) for sight in self.fresh], self.left_out)


class Seen:
    """One object as its nodes tell of it."""

    def __init__(self, name: Hashable) -> None:
        self._name = name
        self.sources: list[Sights] = []
        """Of the fresh ones."""
        self.fresh: list[Sight] = []
        self.old: list[Sight] = []
        """Of nodes whose values are too old: in no sum."""

    @property
    def shown(self) -> list[Sight]:
        return self.fresh or self.old

    @property
    def minute(self) -> Minute:
        return Minute(self._name, self.sources)

    @property
    def counted(self) -> Counted:
        return Counted(self.fresh, len(self.old))

    def sums(self, counters: Sequence[str]) -> list[Sum]:
        """Of the rates of each counter."""
        rates = zip(*[sight.rates for sight in self.fresh], strict=True)
        found = [total(each, len(self.old)) for each in rates]
        return found or [Sum(None, len(self.old))] * len(counters)

    def age(self, now: float) -> float:
        """The oldest of what is shown: a row is as old as its oldest part."""
        return max(0.0, now - min([sight.seen for sight in self.shown]))


def seen_by(
    agents: Iterable[Agent], topic: str, now: float, meant: Callable[[Any], bool]
) -> dict[Any, Seen]:
    """Name -> what each agent that carries it says of it, in the order of the agents."""
    found: dict[Any, Seen | None] = {}
    for agent in agents:
        fresh, sights = agent.fresh(now, topic), agent.sights(topic)
        for name in sights.names:
            if name not in found:
                found[name] = Seen(name) if meant(name) else None
            seen = found[name]
            if seen is None:
                continue
            sight = sights.get(name)
            if not fresh:
                seen.old.append(sight)
            else:
                seen.fresh.append(sight)
                seen.sources.append(sights)
    return {name: seen for name, seen in found.items() if seen is not None}
