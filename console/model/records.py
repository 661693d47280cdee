# SPDX-License-Identifier: Apache-2.0
"""What a table row is about: a node, a VIP, a real or a drop reason over all nodes.  Pure values.

`rows.py` makes them of the store, `columns.py` says how they are written, `items.py` how in JSON.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from console.model.labels import UNKNOWN, Said
from console.model.rates import Sum
from console.model.seen import Counted
from console.model.sights import Minute
from console.model.store import Liveness
from shared.messages import NodeSnapshot, Withdrawn


class State(msgspec.Struct, frozen=True):
    """A word for what something is in, how urgent it is (0 = all is well), and its colour."""

    text: str
    tone: str
    urgency: int


UP = State("● up", "ok", 0)
STALE = State("? STALE", "stale", 7)
SILENT = State("? no answer", "bad", 9)
FOREIGN = State("? version", "bad", 9)
DENIED = State("? denied", "bad", 9)


class Node(NamedTuple):
    key: str
    address: str
    name: str
    state: State
    liveness: Liveness
    age: float | None
    snapshot: NodeSnapshot | None
    pps: float | None
    bytes_per_second: float | None
    tx_pps: float | None
    pass_pps: float | None
    drop_pps: float | None
    new_flows_per_second: float | None
    misses: float | None
    """Of the flow-table lookups, as a fraction."""
    lookups: float | None
    """Per second."""
    cpu: float | None
    """Processor share of the agent process."""
    ring_expected: bool
    """It differs because an operation came to this node and not to others yet."""
    ring_differs: bool
    """From that of most live nodes; where no ring has a majority, all differ."""
    minute: Minute
    """Packets of the last minute, of each node."""
    labels: Said = UNKNOWN

    @property
    def live(self) -> bool:
        return self.liveness is Liveness.LIVE


class Vip(NamedTuple):
    key: str
    name: str
    endpoint: str
    state: State
    age: float | None
    stale: bool
    pps: Sum
    bytes_per_second: Sum
    new_flows_per_second: Sum
    drop_pps: Sum
    share: float | None
    """Of the packets of all VIPs shown."""
    reals: int
    reals_up: int
    """On the node that sees fewest."""
    quorum: int
    announced: int
    nodes: int
    """Nodes that carry it and are live."""
    digests: tuple[str, ...]
    minute: Minute
    """Packets of the last minute, of each node."""
    labels: Said = UNKNOWN
    withdrawn: tuple[tuple[str, Withdrawn], ...] = ()
    """By node: where an operator withdrew its route."""
    counted: Counted = Counted()


class Emptied(msgspec.Struct, frozen=True):
    """A drain of a real, over its nodes: the slowest counts."""

    seconds: float
    """Since it began on the first of them: every flow that is left is older than on its node."""
    at_start: int
    left: float | None
    """Estimated seconds until it is empty everywhere."""
    heard: float | None
    """Seconds since a packet of any flow that is left."""
    silent: float | None
    """Of the flow that has been silent for longest."""
    unknown: float = 0.0
    """Seconds for which silent flows may live that are not counted, as far as is known now; 0: all
    are."""
    unknown_why: str = ""


class Real(NamedTuple):
    key: str
    """`real/10.3.1.2@web`"""
    vip: str
    address: str
    state: State
    age: float | None
    stale: bool
    weights: tuple[int, ...]
    """As the nodes have it, smallest first: one value when they agree."""
    effective_weights: tuple[int, ...]
    up: int
    nodes: int
    """Live nodes that carry it."""
    agents: tuple[str, ...]
    """Addresses of those."""
    slots: float | None
    """Share of the ring, the mean over the nodes."""
    pps: Sum
    bytes_per_second: Sum
    new_flows_per_second: Sum
    live_flows: Sum
    share: float | None
    """Of the VIP's packets."""
    check: str
    check_ms: float | None
    changed: float | None
    """Seconds since the last change of admin, health or weight on any node."""
    minute: Minute
    """Packets of the last minute, of each node."""
    emptied: Emptied | None = None
    """While it is drained on any node."""
    labels: Said = UNKNOWN
    counted: Counted = Counted()


class Drop(NamedTuple):
    key: str
    reason: int
    name: str
    pps: Sum
    packets: int
    share: float | None
    nodes: tuple[str, ...]
    """Where packets were dropped for it since the totals began."""
    minute: Minute
    """Packets of the last minute, of each node."""
