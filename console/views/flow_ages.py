# SPDX-License-Identifier: Apache-2.0
"""What the flow tables hold, by real and node: how many flows, how long silent.  Pure.

A flow table knows a flow by a hash (docs/dataplane.md): neither its addresses, nor when it began,
nor how many packets it had.  So the flows of a real are told together, by what is known of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console import format as fmt
from console.model.labels import Said
from console.model.records import State
from console.model.store import Agent
from console.views import everywhere
from console.views.cells import Cell
from console.views.columns import Column
from console.views.everywhere import OnNode
from console.views.items import Item, real, rounded
from shared.messages import Ages, AgesRow


class FlowsOn(msgspec.Struct, frozen=True):
    """The flows of one real of one VIP on one node."""

    key: str
    on: OnNode
    row: AgesRow
    bounds: tuple[float, ...]

    @property
    def vip(self) -> str:
        return self.on.real.vip

    @property
    def state(self) -> State:
        return self.on.state

    @property
    def labels(self) -> Said:
        return self.on.labels

    @property
    def live(self) -> int:
        return self.row.opening + self.row.open

    @property
    def lasts(self) -> float | None:
        """Seconds that a flow is live on average (Little's law: as long as both numbers are
        steady); None: not known, or none comes."""
        new = self.on.real.new_flows_per_second
        if new.value is None or new.left_out or not new.value:
            return None
        return self.live / new.value


def every(agents: Sequence[Agent], now: float) -> list[FlowsOn]:
    """Of the nodes that said it."""
    said = {agent.address: _by_real(agent.ages) for agent in agents if agent.ages is not None}
    bounds = {agent.address: agent.ages.bounds for agent in agents if agent.ages is not None}
    return [
        FlowsOn(each.key, each, row, bounds[each.agent])
        for each in everywhere.every(agents, now)
        if (row := said.get(each.agent, {}).get((each.real.vip, each.real.address)))
    ]


def _by_real(ages: Ages) -> dict[tuple[str, str], AgesRow]:
    return {(row.vip, row.real): row for row in ages.rows}


def item(row: FlowsOn) -> Item:
    bounds = [*(f"{bound:g}" for bound in row.bounds), None]
    said = real(row.on.real)
    return {
        "node": row.on.node,
        "vip": said["vip"],
        "address": said["address"],
        "state": said["state"],
        "live_flows": row.live,
        "new_flows_per_s": said["new_flows_per_s"],
        "opening": row.row.opening,
        "open": row.row.open,
        "closing": row.row.closing,
        "silent": [
            {"under_s": float(bound) if bound else None, "flows": flows}
            for bound, flows in zip(bounds, row.row.silent, strict=False)
        ],
        "longest_silent_s": row.row.longest if row.live else None,
        "lasts_s": rounded(row.lasts),
    }


def _silent(place: int, title: str) -> Column[FlowsOn]:
    """Live flows that have been silent for so long."""

    def flows(row: FlowsOn) -> int | None:
        return row.row.silent[place] if place < len(row.row.silent) else None

    return Column(title, 6, lambda r: _count(flows(r)), flows, 3, right=True)


def _count(value: int | None) -> Cell:
    return Cell(fmt.count(value), "" if value else "dim")


def _longest(row: FlowsOn) -> float | None:
    return row.row.longest if row.live else None


FLOWS: tuple[Column[FlowsOn], ...] = (
    Column("NODE", 10, lambda r: Cell(r.on.node), lambda r: r.on.node),
    Column("REAL", 15, lambda r: Cell(r.on.real.address), lambda r: r.on.real.address),
    Column("VIP", 10, lambda r: Cell(r.vip), lambda r: r.vip),
    Column("STATE", 9, lambda r: Cell(r.state.text, r.state.tone), lambda r: r.state.urgency),
    Column("FLOWS", 7, lambda r: _count(r.live), lambda r: r.live, right=True),
    Column("NEW/S", 6, lambda r: Cell(fmt.si(r.on.real.new_flows_per_second.value)),
           lambda r: r.on.real.new_flows_per_second.value, right=True),
    Column("LASTS", 6, lambda r: Cell(fmt.age(r.lasts)), lambda r: r.lasts, 2, right=True),
    Column("OPENING", 7, lambda r: _count(r.row.opening), lambda r: r.row.opening, 2, right=True),
    Column("CLOSING", 7, lambda r: _count(r.row.closing), lambda r: r.row.closing, 4, right=True),
    _silent(0, "<1S"),
    _silent(1, "<10S"),
    _silent(2, "<1M"),
    _silent(3, ">1M"),
    Column("SILENT", 6, lambda r: Cell(fmt.age(_longest(r))), _longest, 2, right=True),
)  # fmt: skip
