# SPDX-License-Identifier: Apache-2.0
"""Each node's own plan as a row.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console import format as fmt
from console.model.records import State
from console.planning import plan
from console.planning.plan import Answered
from console.views.cells import Cell
from console.views.columns import Column

WOULD = State("● would do it", "ok", 0)
SAME = State("· already so", "dim", 1)
NO = State("✕ refuses", "bad", 8)
SILENT = State("? no answer", "stale", 9)


class NodePlan(msgspec.Struct, frozen=True):
    key: str
    node: str
    state: State
    moved: float | None
    """Share of the ring that changes owner, the largest over its VIPs."""
    live_flows: int | None
    reals_left: int | None
    revision: int | None
    why: str


def node_plans(answers: Sequence[Answered]) -> list[NodePlan]:
    return [_node_plan(answered) for answered in answers]


def _node_plan(answered: Answered) -> NodePlan:
    answer = answered.answer
    if answer is None:
        return NodePlan(answered.address, answered.node, SILENT, None, None, None, None, "")
    state = {"planned": WOULD, "unchanged": SAME}.get(answer.status, NO)
    changes = answer.changes
    return NodePlan(
        key=answered.address,
        node=answered.node,
        state=state,
        moved=plan.largest_move([answered]) if changes else None,
        live_flows=sum(change.live_flows for change in changes) if changes else None,
        reals_left=min((c.reals_left for c in changes if c.real), default=None),
        revision=answer.revision,
        why=f"{answer.guard} {answer.error}".strip(),
    )


def _number(value: int | None) -> Cell:
    return Cell(fmt.count(value))


PLANS: tuple[Column[NodePlan], ...] = (
    Column("NODE", 10, lambda r: Cell(r.node), lambda r: r.node, grows="name"),
    Column("ANSWER", 13, lambda r: Cell(r.state.text, r.state.tone), lambda r: r.state.urgency),
    Column("MOVES", 6, lambda r: Cell(fmt.percent(r.moved)), lambda r: r.moved, 1, right=True),
    Column("FLOWS", 7, lambda r: _number(r.live_flows), lambda r: r.live_flows, 1, right=True),
    Column("LEFT", 4, lambda r: _number(r.reals_left), lambda r: r.reals_left, 2, right=True),
    Column("REV", 6, lambda r: _number(r.revision), lambda r: r.revision, 4, right=True),
    Column("WHY", 60, lambda r: Cell(r.why, "bad"), lambda r: r.why, 3, grows="prose"),
)
