# SPDX-License-Identifier: Apache-2.0
"""One real on every node that carries it, in every VIP.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from console.model import rows
from console.model.labels import Said
from console.model.records import Real, State
from console.model.store import Agent
from console.views import tables, totals
from console.views.cells import Cell
from console.views.columns import Column


class OnNode(msgspec.Struct, frozen=True):
    key: str
    node: str
    agent: str
    """Address of the node's agent."""
    real: Real
    """As this node alone has it."""

    @property
    def state(self) -> State:
        return self.real.state

    @property
    def labels(self) -> Said:
        return self.real.labels


def on_nodes(agents: Sequence[Agent], now: float, address: str) -> list[OnNode]:
    """In the order of the agents; a node that does not carry it has no row."""
    return [
        OnNode(f"{agent.address} {real.vip}", agent.name, agent.address, real)
        for agent in agents
        for real in rows.reals([agent], now)
        if real.address == address
    ]


def every(agents: Sequence[Agent], now: float) -> list[OnNode]:
    """Every real of every node."""
    return [
        OnNode(f"{agent.address} {real.key}", agent.name, agent.address, real)
        for agent in agents
        for real in rows.reals([agent], now)
    ]


def _of_real(column: Column[Real]) -> Column[OnNode]:
    cell: Callable[[Real], Cell] = column.cell
    order: Callable[[Real], Any] = column.order
    return column._replace(  # type: ignore[return-value]
        cell=lambda row: cell(row.real),  # type: ignore[attr-defined]
        order=lambda row: order(row.real),  # type: ignore[attr-defined]
        priority=PRIORITY.get(column.title, column.priority),
    )


PRIORITY = {"VIP": 0, "CHECK": 2, "MS": 3, "CHANGED": 4, "60s": 7, "SHARE": 8, "UP": 9}
"""Where a row is one node, its own check says more than sums do."""
ON_NODES: tuple[Column[OnNode], ...] = (
    Column("NODE", 10, lambda r: Cell(r.node), lambda r: r.node, grows="name"),
    *(_of_real(column) for column in tables.REALS if column.title not in ("REAL", "UP")),
)
TOTALS = tuple(_of_real(column) for column in totals.REALS)
EVERY: tuple[Column[OnNode], ...] = (
    ON_NODES[0],
    _of_real(tables.REALS[0]),
    *ON_NODES[1:],
)
