# SPDX-License-Identifier: Apache-2.0
"""Events in words: one line each, the same in the console's tail and in `remora events`.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never

from console import format as fmt
from console.model.eventlog import EventLog, Line
from console.views.cells import Cell, TextLine
from shared.messages import (
    ChangeEvent,
    DropEvent,
    EventBody,
    HealthEvent,
    LostEvent,
    PeerEvent,
    RouteEvent,
)
from shared.model import Health

Kind = Literal["drops", "health", "bgp", "changes"]
KINDS: tuple[Kind, ...] = ("drops", "health", "bgp", "changes")
_KIND: Mapping[type, Kind] = {
    DropEvent: "drops",
    LostEvent: "drops",
    HealthEvent: "health",
    RouteEvent: "bgp",
    PeerEvent: "bgp",
    ChangeEvent: "changes",
}


def kind_of(line: Line) -> Kind | None:
    """None: a gap, which belongs to every kind."""
    return _KIND[type(line.event.body)] if line.event else None


def tone(line: Line) -> str:
    body = line.event.body if line.event else None
    match body:
        case HealthEvent(now=Health.DOWN) | PeerEvent(state="down"):
            return "bad"
        case RouteEvent(announced=False) | LostEvent() | None:
            return "warn"
        case HealthEvent(now=Health.UP) | PeerEvent() | RouteEvent():
            return "ok"
        case ChangeEvent():
            return "hot"
    return ""


def written(line: Line) -> str:
    """`14:03:21.99 lb1  drop    fragment  web  udp 192.0.2.1:53 -> 10.200.0.1:80 381 B`"""
    if line.event is None:
        text = f"-- {line.node} lost {line.lost} events before {fmt.clock(line.wall)} --"
    else:
        text = f"{fmt.clock(line.wall, digits=2)} {line.node:<8} {in_words(line.event.body)}"
    return fmt.shown(text)  # no reason that somebody gave makes two lines of one


def recent(log: EventLog, room: int) -> list[TextLine]:
    """What became of one node lately, the newest first; drops have a screen of their own."""
    return [
        (Cell(f" {fmt.clock(one.wall)}  ", "dim"), Cell(in_words(one.event.body), tone(one)))
        for one in log.rare(room)[::-1]
        if one.event
    ]


def in_words(body: EventBody) -> str:
    match body:
        case DropEvent():
            where = f"{body.source} -> {body.destination}"
            vip = body.vip or "-"  # before the addresses: where there is no room these are cut
            return f"drop    {body.name:<12} {vip:<8} {body.protocol:<4} {where} {body.length} B"
        case HealthEvent():
            return f"health  {body.real}@{body.vip} {body.was} -> {body.now}: {body.detail}"
        case RouteEvent():
            verb = "announce" if body.announced else "withdraw"
            return f"route   {verb} {body.address}: {body.why}"
        case PeerEvent():
            return f"peer    {body.peer} {body.state}: {body.detail}"
        case ChangeEvent():
            return f"change  {body.who}: {body.what}: {body.result} (revision {body.revision})"
        case LostEvent():
            return f"lost    {body.count} events: {body.why}"
        case _:
            assert_never(body)
