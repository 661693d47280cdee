# SPDX-License-Identifier: Apache-2.0
"""Columns of what the nodes have counted so far, each in the place of a rate (`z`).  Pure.

A total is what an agent said, since its node began to count; over nodes it is the sum over those
that are live, with a `?` where others are not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from console import format as fmt
from console.model.records import Node, Real, Vip
from console.views.columns import Column
from console.views.tables import of_snapshot, summed
from shared.messages import NodeSnapshot

R = TypeVar("R", Vip, Real)


def _of_node(
    of: str,
    title: str,
    value: Callable[[NodeSnapshot], float],
    priority: int,
    write: Callable[[float | None], str] = fmt.si,
) -> Column[Node]:
    made = of_snapshot(title, 7, value, priority, lambda snapshot: write(value(snapshot)))
    return made._replace(of=of)


def _of_nodes(of: str, title: str, counter: str, priority: int) -> Column[R]:
    made: Column[R] = summed(title, lambda row: row.counted.total(counter), priority)
    return made._replace(width=7, of=of)


NODES: tuple[Column[Node], ...] = (
    _of_node("PPS", "PACKETS", lambda n: n.rx_packets, 1),
    _of_node("BIT/S", "BYTES", lambda n: n.rx_bytes, 4),
    _of_node("NEW/S", "NEW", lambda n: n.new_flows, 3),
    _of_node("MISS", "MISSES", lambda n: n.flow_misses, 7),
    _of_node("DROP/S", "DROPS", lambda n: n.drop_packets, 2),
    _of_node("CPU", "CPUTIME", lambda n: n.cpu_seconds, 8, fmt.age),
)

VIPS: tuple[Column[Vip], ...] = (
    _of_nodes("PPS", "PACKETS", "packets", 1),
    _of_nodes("BIT/S", "BYTES", "bytes", 4),
    _of_nodes("NEW/S", "NEW", "new_flows", 3),
    _of_nodes("DROP/S", "DROPS", "drops", 7),
)

REALS: tuple[Column[Real], ...] = (
    _of_nodes("PPS", "PACKETS", "packets", 1),
    _of_nodes("BIT/S", "BYTES", "bytes", 7),
    _of_nodes("NEW/S", "NEW", "new_flows", 3),
)
