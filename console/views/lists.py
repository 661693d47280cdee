# SPDX-License-Identifier: Apache-2.0
"""Every kind of list, once: rows, columns, JSON; `get`, `top` and `watch` show these.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from console.model import rows
from console.model.store import Agent
from console.views import bgp, cpus, everywhere, flow_ages, items, operations, placing, tables
from console.views.columns import Column
from console.views.items import Item

Rows = Sequence[Any]


def is_called(label: str, name: str) -> bool:
    """`10.3.1.2@web/lb1` is called so, and `10.3.1.2@web`, and `10.3.1.2`."""
    return label == name or label.startswith((f"{name}@", f"{name}/"))


class Kind(NamedTuple):
    name: str
    """Of the JSON object: `NodeList`."""
    rows: Callable[[Sequence[Agent], float], Rows]
    columns: Sequence[Column[Any]]
    item: Callable[[Any], Item]
    label: Callable[[Any], str]
    """One line of `-o name`."""
    busiest: str = ""
    """Title of the column by which `top` sorts; empty: not for `top`."""
    called: Callable[[str, str], bool] = is_called
    """(label without its kind, what was typed) -> whether that is meant."""


def _key(row: Any) -> str:  # noqa: ANN401  # any record with a key
    return str(row.key)


KINDS: Mapping[str, Kind] = {
    "node": Kind(
        "NodeList", rows.nodes, tables.NODES, items.node, lambda row: f"node/{row.name}", "PPS"
    ),
    "vip": Kind("VipList", rows.vips, tables.VIPS, items.vip, _key, "PPS"),
    "real": Kind("RealList", rows.reals, tables.REALS, items.real, _key, "PPS"),
    "each": Kind(
        "RealOnNodeList",
        everywhere.every,
        everywhere.EVERY,
        lambda row: {"node": row.node, **items.real(row.real)},
        lambda row: f"{row.real.key}/{row.node}",
        "PPS",
    ),
    "drop": Kind("DropList", rows.drops, tables.DROPS, items.drop, _key, "DROP/S"),
    "cpu": Kind("CpuList", cpus.every, cpus.CPUS, cpus.item, _key, "PPS"),
    "flow": Kind(
        "FlowAgesList",
        flow_ages.every,
        flow_ages.FLOWS,
        flow_ages.item,
        lambda row: f"{row.on.real.key}/{row.on.node}",
        "FLOWS",
    ),
    "peer": Kind(
        "PeerList",
        bgp.sessions,
        bgp.SESSIONS,
        bgp.session_item,
        lambda row: f"peer/{row.node}/{row.peer}",
    ),
    "check": Kind("CheckList", bgp.checks, bgp.CHECKS, bgp.check_item, _key),
    "op": Kind(
        "OperationList",
        operations.operations,
        operations.OPERATIONS,
        operations.item,
        lambda row: f"op/{row.key}",
        called=str.startswith,
    ),
}


def with_flow_tables(
    made: Sequence[Item], found: Rows, agents: Sequence[Agent], now: float
) -> list[Item]:
    """Items of nodes with the state of each node's flow table."""
    by_address = {agent.address: agent for agent in agents}
    return [
        {**each, "flow_table": placing.item(placing.flow_table(by_address[row.address], now))}
        for each, row in zip(made, found, strict=True)
    ]
