# SPDX-License-Identifier: Apache-2.0
"""Every CPU of every node as a row: what `top cpu` lists.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from console import format as fmt
from console.model import cpus
from console.model.cpus import Cpu
from console.model.store import Agent
from console.views.cells import Cell
from console.views.columns import Column
from console.views.items import Item, rounded


class CpuRow(msgspec.Struct, frozen=True):
    key: str
    """`cpu/lb1/3`"""
    node: str
    cpu: Cpu


def every(agents: Sequence[Agent], now: float) -> list[CpuRow]:
    """Of the nodes that are live; a CPU that never took a packet is left out."""
    return [
        CpuRow(f"cpu/{agent.name}/{cpu.number}", agent.name, cpu)
        for agent in agents
        if agent.fresh(now, "cpu")
        for cpu in cpus.cpus(agent)
        if cpu.taking
    ]


def item(row: CpuRow) -> Item:
    return {
        "name": f"{row.node}/{row.cpu.number}",
        "node": row.node,
        "cpu": row.cpu.number,
        "rx_packets_per_s": rounded(row.cpu.pps),
        "share_of_node": row.cpu.share,
        "flow_table_miss_share": row.cpu.misses,
        "softirq_share": row.cpu.softirq,
        "drop_packets_per_s": rounded(row.cpu.drop_pps),
        "queues": [{"queue": queue, "share": part} for queue, part in row.cpu.queues],
    }


def _queues(row: CpuRow) -> str:
    return " ".join(f"q{queue} {fmt.percent(part)}" for queue, part in row.cpu.queues)


CPUS: tuple[Column[CpuRow], ...] = (
    Column("NODE", 10, lambda r: Cell(r.node), lambda r: r.node),
    Column("CPU", 3, lambda r: Cell(str(r.cpu.number)), lambda r: -r.cpu.number, right=True),
    Column("PPS", 6, lambda r: Cell(fmt.si(r.cpu.pps)), lambda r: r.cpu.pps, right=True),
    Column("SHARE", 6, lambda r: Cell(fmt.percent(r.cpu.share)), lambda r: r.cpu.share, 1, True),
    Column(
        "SOFTIRQ", 7, lambda r: Cell(fmt.percent(r.cpu.softirq)), lambda r: r.cpu.softirq, 1, True
    ),
    Column("MISS", 6, lambda r: Cell(fmt.percent(r.cpu.misses)), lambda r: r.cpu.misses, 1, True),
    Column("DROP/S", 6, lambda r: Cell(fmt.si(r.cpu.drop_pps)), lambda r: r.cpu.drop_pps, 1, True),
    Column("QUEUES", 20, lambda r: Cell(_queues(r), "dim"), lambda r: r.node, 2),
)
