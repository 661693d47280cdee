# SPDX-License-Identifier: Apache-2.0
"""A flow, or many by chance, asked of several nodes.  Sends through its `Sender`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from console.exits import VerbError
from console.model.store import Agent
from console.planning import flow_words
from console.planning.flow_words import Chance
from console.planning.wish import Order
from shared.flows import packed
from shared.messages import FlowOf, FlowsOf, Supposed

MOST = 1000
"""Flows by chance: one question to each node."""


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


def question(text: str, agents: Sequence[Agent], chance: Chance) -> Question:
    """`198.51.100.7:40000 vip/web`, or `1000 vip/web`: so many by chance.  Raises VerbError."""
    words = text.split()
    if len(words) != 2:
        raise VerbError(
            "flow: ADDRESS:PORT VIP, such as 198.51.100.7:40000 vip/web; or 1000 vip/web: by chance"
        )
    if not words[0].isdecimal():
        flow = flow_words.flow(agents, *words)
        return Question(str(flow), flow_words.asked_as(flow))
    count = int(words[0][:9])
    if not 1 <= count <= MOST:
        raise VerbError(f"{count} flows: 1 to {MOST} here; remora flow --sample takes more")
    row, port = flow_words.vip_of(agents, words[1])
    made = flow_words.by_chance(row, port, count, chance)
    return Question(
        f"{count} flows by chance to vip/{row.name}", FlowsOf(b"".join(map(packed, made)))
    )
