# SPDX-License-Identifier: Apache-2.0
"""A flow, many by chance or those of a capture, asked of several nodes.  Sends by its `Sender`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from console.exits import VerbError
from console.model.store import Agent
from console.planning import flow_words
from console.planning.flow_words import Chance
from console.planning.wish import Order
from shared.flows import Flow, packed
from shared.messages import FlowOf, FlowsOf, Supposed

MOST = 1000
"""Flows: one question to each node."""
Capture = Callable[[str, int], tuple[str, Sequence[Flow]]]
"""(file, how many at most) -> (what they are, in words; the flows).  Raises VerbError."""


class Question(NamedTuple):
    said: str
    """In words."""
    action: FlowOf | FlowsOf

    @property
    def many(self) -> bool:
        return isinstance(self.action, FlowsOf)

    def orders(
        self, agents: Sequence[Agent], actions: Mapping[str, Supposed] | None
    ) -> list[Order]:
        """To these; `actions`: by address, what is supposed there."""
        changes = actions or {}
        return [
            Order(a.address, a.name, replace(self.action, change=changes.get(a.address)))
            for a in agents
        ]


def question(text: str, agents: Sequence[Agent], chance: Chance, capture: Capture) -> Question:
    """`198.51.100.7:40000 vip/web`; `1000 vip/web`: so many by chance; `pcap FILE`: those in it.
    Raises VerbError."""
    words = text.split()
    if words[:1] in (["pcap"], ["--pcap"]) and len(words) > 1:
        said, flows = capture(text.split(maxsplit=1)[1].strip(), MOST)
        return Question(said, _of_many(flows))
    if len(words) != 2:
        raise VerbError(
            "flow: ADDRESS:PORT VIP, such as 198.51.100.7:40000 vip/web; 1000 vip/web: by chance; "
            "pcap FILE"
        )
    if not words[0].isdecimal():
        flow = flow_words.flow(agents, *words)
        return Question(str(flow), flow_words.asked_as(flow))
    count = int(words[0][:9])
    if not 1 <= count <= MOST:
        raise VerbError(f"{count} flows: 1 to {MOST} here; remora flow --sample takes more")
    row, port = flow_words.vip_of(agents, words[1])
    made = flow_words.by_chance(row, port, count, chance)
    return Question(f"{count} flows by chance to vip/{row.name}", _of_many(made))


def _of_many(flows: Sequence[Flow]) -> FlowsOf:
    return FlowsOf(b"".join(map(packed, flows)))
