# SPDX-License-Identifier: Apache-2.0
"""Events as rows of a table, newest last, and one of them in full.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from console import format as fmt
from console.model.eventlog import Line
from console.model.store import Agent
from console.views import packet
from console.views.cells import Cell, TextLine, cut, line, rule
from console.views.columns import Column
from console.views.details import reason_lines
from console.views.event_filter import address_of
from console.views.tail import in_words, tone
from shared.messages import DropEvent, Event, EventBody, HealthEvent, PeerEvent, RouteEvent

SHOWN, RARE = 500, 200
"""Newest events that the tail looks through; of older ones so many that are no dropped packets."""


class EventPlace(NamedTuple):
    """Where an event is found again: (agent, run, sequence)."""

    address: str
    run: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.address} {self.run} {self.sequence}"

    @staticmethod
    def of(text: str) -> EventPlace:
        address, run, sequence = text.rsplit(" ", 2)
        return EventPlace(address, int(run), int(sequence))


class TailRow(msgspec.Struct, frozen=True):
    key: str
    """An EventPlace; a gap's ends in `gap`."""
    line: Line

    @property
    def body(self) -> EventBody | None:
        return self.line.event.body if self.line.event else None


def flow_of(body: EventBody | None) -> str:
    """`192.0.2.1:53 10.200.0.1:80/udp`: the flow of a dropped packet; empty: it is of none, or
    shows no ports (a later fragment)."""
    if not isinstance(body, DropEvent) or body.protocol not in ("tcp", "udp"):
        return ""
    if not (_with_port(body.source) and _with_port(body.destination)):
        return ""
    return f"{body.source} {body.destination}/{body.protocol}"


def _with_port(place: str) -> bool:
    return address_of(place) != place


def tail_rows(agents: Sequence[Agent]) -> list[TailRow]:
    """Oldest first; gaps are rows too."""
    newest = [_row(agent.address, line) for agent in agents for line in agent.log.lines(SHOWN)]
    newest = sorted(newest, key=_wall)[-SHOWN:]
    known = {row.key for row in newest}
    rare = [_row(agent.address, line) for agent in agents for line in agent.log.rare(RARE)]
    older = sorted([row for row in rare if row.key not in known], key=_wall)[-RARE:]
    return sorted([*older, *newest], key=_wall)


def _row(address: str, line: Line) -> TailRow:
    return TailRow(f"{EventPlace(address, *line.place)}{'' if line.event else ' gap'}", line)


def _wall(row: TailRow) -> float:
    return row.line.wall


MOST = 3
"""Sources and VIPs that are named."""


def who_lines(rows: Sequence[TailRow], reason: int, width: int) -> list[TextLine]:
    """Of the packets that were told of: from where they came, to which VIPs, since when."""
    bodies = [r.body for r in rows if isinstance(r.body, DropEvent) and r.body.reason == reason]
    if not bodies:
        return [line(" from    no packet of it was told of yet", "dim")]
    sources = Counter(address_of(body.source) for body in bodies)
    vips = Counter(body.vip or "no VIP" for body in bodies)
    told = f"of {len(bodies)} that were told of lately"
    parts = (("from", _most(sources, len(bodies), told)), ("to", _most(vips, len(bodies), "")))
    return [cut((Cell(f" {label:<8}", "dim"), Cell(text)), width) for label, text in parts]


def _most(found: Counter[str], of: int, told: str) -> str:
    words = [f"{name} {fmt.percent(n / of, digits=0)}" for name, n in found.most_common(MOST)]
    rest = len(found) - MOST
    words += [f"{rest} others"] if rest > 0 else []
    return f"{', '.join(words)}   {told}".rstrip()


def _text(row: TailRow) -> str:
    if row.body is None:
        return f"-- lost {row.line.lost} events before this --"
    return in_words(row.body)


def _time(row: TailRow) -> Cell:
    return Cell(fmt.clock(row.line.wall, digits=2), "dim")


TAIL: tuple[Column[TailRow], ...] = (
    Column("TIME", 11, _time, lambda r: r.line.wall),
    Column("NODE", 10, lambda r: Cell(r.line.node, "dim"), lambda r: r.line.node, grows="name"),
    Column("WHAT", 55, lambda r: Cell(_text(r), tone(r.line)), _text, grows="prose"),
)


def opens(row: TailRow) -> tuple[str, str] | None:
    """(place, name) of what the event is about; a packet: itself."""
    match row.body:
        case DropEvent():
            return "packet", row.key
        case HealthEvent(vip=vip, real=real):
            return "real", f"{real}@{vip}"
        case PeerEvent() | RouteEvent():
            return "node", row.key.partition(" ")[0]
    return None


def packet_lines(event: Event, width: int) -> list[TextLine]:
    """A dropped packet: why, header by header, and its bytes."""
    body = event.body
    if not isinstance(body, DropEvent):
        return [(Cell(f" {in_words(body)}"),)]
    lines: list[TextLine] = [
        (
            Cell(f" {body.name} ", "bad"),
            Cell(f" on {event.node} cpu {body.cpu} queue {body.rx_queue}"),
            Cell(f"  at {fmt.stamp(event.wall, digits=2)}   {body.length} bytes   VIP "),
            Cell(body.vip or "-", "strong"),
        ),
        *reason_lines(body.reason, width),
        rule("headers", width),
    ]
    lines += [
        (
            Cell(f" {'  ' * header.depth}{header.name:<6}", "strong"),
            Cell(f" {header.text}"),
            Cell("   inner" if header.depth else "", "dim"),
        )
        for header in packet.headers(body.head)
    ]
    lines.append(rule(f"the first {len(body.head)} bytes", width))
    size = 32 if width >= 150 else 16
    lines += [(Cell(f" {text}", "dim"),) for text in packet.hex_lines(body.head, width=size)]
    return lines
