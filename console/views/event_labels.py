# SPDX-License-Identifier: Apache-2.0
"""`events -l rack=r2`: the labels of what an event is about.  Pure.

An event has those of its node, and of the VIPs and reals that it names, as that node has them.
What is wanted holds when one of them has it so; what is not wanted (`!=`, `notin`, `!key`) when
none of them has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.model.eventlog import Line
from console.model.objects import canonical
from console.model.selectors import Selector
from console.model.store import Agent
from console.views.event_filter import named_in
from shared.messages import DropEvent, EventBody, HealthEvent

Labels = Mapping[str, str]


class EventLabels:
    """Of the events of these agents, with the names and labels that they have now."""

    def __init__(self, wanted: Selector, agents: Sequence[Agent]) -> None:
        self._wanted = wanted
        self._agents = agents
        self._named: dict[str, Agent] = {}

    def hold(self, line: Line) -> bool:
        """Gaps pass: what is lost may have been anything."""
        if not self._wanted or line.event is None:
            return True
        said = self._of(line.node, line.event.body)
        return bool(said) and all(
            (all if each.negated else any)(each.holds(labels) for labels in said)
            for each in self._wanted.requirements
        )

    def _of(self, node: str, body: EventBody) -> list[Labels]:
        agent = self._agent(node)
        table = agent.label_table if agent else None
        if agent is None or table is None:
            return []
        found = list(agent.own_labels)
        for vip, real in _about(body):
            found += table.reals.get((vip, real), ()) if real else table.vips.get(vip, ())
        return found

    def _agent(self, node: str) -> Agent | None:
        """One that comes up later says only then how it is called."""
        found = self._named.get(node)
        if found is None or found.name != node:
            self._named = {agent.name: agent for agent in self._agents}
        return self._named.get(node)


def _about(body: EventBody) -> Sequence[tuple[str, str]]:
    """(VIP, real or empty) of each that it names; a real's VIP is named with it."""
    match body:
        case DropEvent(vip=vip):
            return [(vip, "")]
        case HealthEvent(vip=vip, real=real):
            return [(vip, ""), (vip, canonical(real))]
    named = [(vip, canonical(real) if real else "") for vip, real in named_in(body)]
    return [*named, *((vip, "") for vip, real in named if real)]
