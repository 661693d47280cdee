# SPDX-License-Identifier: Apache-2.0
"""How the packets of each node are spread over its CPUs, in one metric at a time.  Pure.

A receive queue is served by one CPU: where one has much more than the others, a few large flows
or too few queues are the reason, and it is the first to drop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from console import format as fmt
from console.model import rows
from console.model.cpus import Cpu, cpus
from console.model.labels import UNKNOWN, Said
from console.model.rates import HISTORY_SECONDS
from console.model.records import Node, State
from console.model.store import Agent
from console.model.tracks import added
from console.views.cells import Cell, TextLine, line
from console.views.columns import Column

SHADES = "░▒▓█"
TONES = ("dim", "", "hot", "warn")
NUMBER, NAME_ROOM, AGE_ROOM = 6, 10, 7
"""Columns of a CPU's number; of the node's name (more where names are longer) and of its age."""


class Metric(NamedTuple):
    name: str
    value: Callable[[Cpu], float | None]
    write: Callable[[float | None], str]
    scale: str
    """What the bounds are in: `busiest` of all CPUs shown, `even` share of the node, or `one`."""
    bounds: tuple[float, float, float]
    legend: str
    always: bool = False
    """Of CPUs that take no packet, too."""


METRICS = (
    Metric(
        "packets/s",
        lambda cpu: cpu.pps,
        fmt.si,
        "busiest",
        (0.25, 0.5, 0.75),
        "of the busiest CPU: ░ <25 %  ▒ <50 %  ▓ <75 %  █ more",
    ),
    Metric(
        "share of the node",
        lambda cpu: cpu.share,
        fmt.percent,
        "even",
        (0.5, 1.5, 2.5),
        "of an even share: ░ <0.5x  ▒ <1.5x  ▓ <2.5x  █ more",
    ),
    Metric(
        "softirq",
        lambda cpu: cpu.softirq,
        fmt.percent,
        "one",
        (0.25, 0.5, 0.75),
        "of its time, all that the kernel does there: ░ <25 %  ▒ <50 %  ▓ <75 %  █ more",
        always=True,
    ),
    Metric(
        "flow-table misses",
        lambda cpu: cpu.misses,
        fmt.percent,
        "one",
        (0.01, 0.05, 0.2),
        "of its lookups: ░ <1 %  ▒ <5 %  ▓ <20 %  █ more",
    ),
    Metric(
        "drops/s",
        lambda cpu: cpu.drop_pps,
        fmt.si,
        "busiest",
        (0.25, 0.5, 0.75),
        "of the most of any CPU: ░ <25 %  ▒ <50 %  ▓ <75 %  █ more",
    ),
)


class Heat(msgspec.Struct, frozen=True):
    """One node's CPUs."""

    key: str
    name: str
    state: State
    age: float | None
    fresh: bool
    cpus: tuple[Cpu, ...]
    cells: tuple[Cell, ...]
    """The metric of each CPU: shade and number."""
    pps: float | None
    skew: float | None
    """Packets of the busiest CPU over the mean of those that take any."""
    hottest: Cpu | None
    labels: Said = UNKNOWN


def heat(agents: Sequence[Agent], now: float, metric: Metric) -> list[Heat]:
    """One record per node, those that never answered too."""
    nodes = rows.nodes(agents, now)
    by_node = [cpus(agent) for agent in agents]
    live = [agent.fresh(now, "cpu") for agent in agents]
    known = [
        value
        for found, fresh in zip(by_node, live, strict=True)
        for cpu in found
        if fresh and (value := metric.value(cpu)) is not None
    ]
    top = max(known, default=0.0)
    return [
        _node(node, found, agent.age(now, "cpu"), metric, top=top, fresh=fresh)
        for node, agent, found, fresh in zip(nodes, agents, by_node, live, strict=True)
    ]


def _node(
    node: Node,
    found: tuple[Cpu, ...],
    age: float | None,
    metric: Metric,
    *,
    top: float,
    fresh: bool,
) -> Heat:
    rates = [cpu.pps for cpu in found if cpu.taking and cpu.pps is not None] if fresh else []
    whole = sum(rates)
    taking = sum(cpu.taking for cpu in found)
    unit = {"busiest": top, "even": 1 / max(1, taking), "one": 1.0}[metric.scale]
    return Heat(
        key=node.key,
        name=node.name,
        state=node.state,
        age=age,
        fresh=fresh,
        cpus=found,
        cells=tuple(_cell(cpu, metric, unit, fresh=fresh) for cpu in found),
        pps=whole if rates else None,
        skew=max(rates) * len(rates) / whole if whole else None,
        hottest=_hottest(found, metric) if fresh else None,
        labels=node.labels,
    )


def _hottest(found: tuple[Cpu, ...], metric: Metric) -> Cpu | None:
    known = [cpu for cpu in found if metric.value(cpu)]
    return max(known, key=lambda cpu: metric.value(cpu) or 0.0, default=None)


def _cell(cpu: Cpu, metric: Metric, unit: float, *, fresh: bool) -> Cell:
    if not fresh:
        return Cell("?", "stale")
    value = metric.value(cpu)
    if not cpu.taking and not metric.always:
        return Cell("·", "dim")
    if value is None:
        return Cell(fmt.UNKNOWN, "dim")
    level = sum(value >= bound * unit for bound in metric.bounds) if value else 0
    return Cell(f"{SHADES[level]}{metric.write(value):>5}", TONES[level])


# ---- columns


def columns(agents: Sequence[Heat], metric: Metric, width: int) -> tuple[Column[Heat], ...]:
    """A number per CPU where all fit, else a shade per CPU, else one for the worst of several."""
    count = max((len(node.cpus) for node in agents), default=0)
    name = max([NAME_ROOM, *(min(len(node.name), width // 3) for node in agents)])
    room = name + AGE_ROOM
    numbers = room + count * (NUMBER + 1) <= width
    folded = 1
    while not numbers and room + -(-count // folded) + 1 > width:
        folded *= 2
    return _columns(metric, count, 0 if numbers else folded, name)


@lru_cache(maxsize=32)
def _columns(metric: Metric, count: int, folded: int, name: int) -> tuple[Column[Heat], ...]:
    """Cached: a table sorts by a column, which must stay the same one over frames."""
    middle = [_number(i, metric) for i in range(count)] if folded == 0 else [_strip(count, folded)]
    return (
        Column("NODE", name, lambda r: Cell(r.name), lambda r: r.name),
        Column("STATE", 11, lambda r: Cell(r.state.text, r.state.tone), _urgency, 5),
        Column("AGE", 4, _age, lambda r: r.age, 0, right=True),
        Column("PPS", 6, lambda r: _known(r, fmt.si(r.pps)), lambda r: r.pps, 4, right=True),
        *middle,
        Column("SKEW", 5, lambda r: _known(r, _times(r.skew)), lambda r: r.skew, 2, right=True),
        Column("HOTTEST", 12, lambda r: _known(r, _name(r.hottest, metric)), _of(metric), 3),
    )


def _urgency(row: Heat) -> int:
    return row.state.urgency


def _age(row: Heat) -> Cell:
    return Cell(fmt.age(row.age), "dim" if row.fresh else "stale")


def _known(row: Heat, text: str) -> Cell:
    return Cell(text) if row.fresh else Cell("?", "stale")


def _times(value: float | None) -> str:
    return fmt.UNKNOWN if value is None else f"{value:.1f}x"


def _name(cpu: Cpu | None, metric: Metric) -> str:
    return fmt.UNKNOWN if cpu is None else f"cpu{cpu.number} {metric.write(metric.value(cpu))}"


def _of(metric: Metric) -> Callable[[Heat], float | None]:
    return lambda row: metric.value(row.hottest) if row.hottest else None


def _number(index: int, metric: Metric) -> Column[Heat]:
    return Column(
        f"cpu{index}",
        NUMBER,
        lambda row: row.cells[index] if index < len(row.cells) else Cell(""),
        lambda row: metric.value(row.cpus[index]) if index < len(row.cpus) else None,
        right=True,
    )


def _strip(count: int, folded: int) -> Column[Heat]:
    each = "" if folded == 1 else f", worst of {folded}"

    def shades(row: Heat) -> Cell:
        glyphs = [cell.text[0] for cell in row.cells]
        parts = [glyphs[i : i + folded] for i in range(0, len(glyphs), folded)]
        return Cell("".join(max(part, key=_shade) for part in parts))

    title = f"cpu 0-{count - 1}{each}"
    return Column(title, -(-count // folded), shades, lambda row: row.skew)


def _shade(glyph: str) -> int:
    return SHADES.find(glyph)


# ---- the node under the cursor


def cpu_lines(row: Heat, room: int, width: int) -> list[TextLine]:
    """Its CPUs, busiest first; those that never took a packet are counted."""
    taking = [cpu for cpu in row.cpus if cpu.taking]
    idle = len(row.cpus) - len(taking)
    if not row.cpus:
        return [line(" its CPUs are not known yet", "dim")]
    taking.sort(key=lambda cpu: cpu.pps or 0.0, reverse=True)
    ends = [f"{idle} took no packet"] if idle else []
    space = room - bool(ends)
    if len(taking) > space:
        space = room - 1
        ends.insert(0, f"{len(taking) - space} more that take less")
    lines = [_cpu_line(row, cpu, len(taking), width) for cpu in taking[:space]]
    return [*lines, line(f" {', '.join(ends)}", "dim")] if ends else lines


def _cpu_line(row: Heat, cpu: Cpu, taking: int, width: int) -> TextLine:
    old = "" if row.fresh else "?"
    even = None if cpu.share is None else cpu.share * taking
    cells: TextLine = (
        Cell(f" cpu{cpu.number:<4}", "strong"),
        Cell(f"{fmt.si(cpu.pps) + old:>6} pps "),
        Cell(f"{fmt.percent(cpu.share):>6}", "warn" if even and even >= 2.5 else ""),
        Cell(f"  softirq {fmt.percent(cpu.softirq):>5}"),
        Cell(f"  miss {fmt.percent(cpu.misses):>5}  drop {fmt.si(cpu.drop_pps):>4}/s "),
        Cell(fmt.sparkline(added([cpu.track]), 12, HISTORY_SECONDS), "hot"),
    )
    queues = "".join(f"  q{queue} {fmt.percent(part)}" for queue, part in cpu.queues)
    fits = sum(len(cell.text) for cell in cells) + len(queues) <= width
    return (*cells, Cell(queues, "dim")) if queues and fits else cells
