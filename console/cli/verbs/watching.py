# SPDX-License-Identifier: Apache-2.0
"""`watch`: the console's views as plain text, for screen readers, pipes and logs.

Blocks are appended, one per interval, and nothing ever moves: on a terminal without --plain the
screen is cleared before each.  Uses the rows and columns of the console, and no Textual.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from console import format as fmt
from console.cli.grammar import looking
from console.cli.verbs import differing
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects, rows
from console.model.objects import Object, ObjectError
from console.model.store import Agent
from console.views import bgp, cpus, everywhere, operations, rings, tables
from console.views.alerts import ALERTS, Watch
from console.views.cells import Cell
from console.views.columns import Column, matching
from console.views.problems import problems
from console.views.tail import written
from console.views.written import HOME
from shared.messages import Look, Replay

LINES, EVENTS = 500, 20
"""Events that are looked at, and shown at once."""
FOLLOWED = frozenset({"node", "vip", "real", "drop", "cpu", "event", "label"})
Rows = tuple[Sequence[Any], Sequence[Column[Any]]]


def watch(session: Session, arguments: Namespace) -> int:
    """Until interrupted, or --count blocks; exit 3 when some agent was missing at the end."""
    addresses = list(session.store.agents)
    session.client.follow(FOLLOWED)
    answers = session.ask(dict.fromkeys(addresses, Look()), timeout=session.connect_timeout)
    if not any(answers.values()):
        raise session.nobody()
    if arguments.view in ("operations", "events"):
        there = [address for address in addresses if answers[address]]
        session.ask(dict.fromkeys(there, Replay(0)), timeout=session.connect_timeout)
    _target(session, arguments.view)
    alerts = Watch()
    clear = session.clears
    left = arguments.count
    while True:
        session.pause(arguments.every)
        if arguments.view == "rings":
            differing.ask_for_rings(session, time.monotonic())
        block = _block(session, arguments, alerts)
        session.write(f"{HOME}{block}" if clear else f"{block}\n")
        left = left - 1 if left else 0
        if arguments.count and not left:
            return Exit.PARTIAL if session.absent() else Exit.DONE


def _block(session: Session, arguments: Namespace, watch: Watch) -> str:
    now = time.monotonic()
    live, all_ = len(session.store.live(now)), len(session.agents)
    heading = f"{fmt.stamp(time.time())} {session.cluster} {arguments.view} {live}/{all_} nodes"
    if live < all_:
        missing = [agent.name for agent in session.agents if agent not in session.store.live(now)]
        heading += f", not live: {' '.join(missing)}"
    if arguments.view == "events":
        parts = ["\n".join(_events(session, arguments))]
    else:
        parts = [
            _part(session, each, arguments) for each in _rows(session, arguments.view, now, watch)
        ]
    return "\n".join([heading, *(part or "nothing to show" for part in parts)])


def _events(session: Session, arguments: Namespace) -> list[str]:
    """The newest that have all the words."""
    lines = [written(line) for line in session.store.lines(LINES)]
    words = [word.lower() for word in arguments.filter]
    return [line for line in lines if all(word in line.lower() for word in words)][-EVENTS:]


def _rows(session: Session, view: str, now: float, watch: Watch) -> list[Rows]:
    if view == "rings":
        return [_rings(session, now)]
    if view in VIEWS:
        return [VIEWS[view](session.agents, now, watch)]
    return _of_object(_target(session, view), session.agents, now)


def _part(session: Session, rows_: Rows, arguments: Namespace) -> str:
    found, shown = rows_
    # A sparkline says nothing to a screen reader, and a line of a log is no place for one.
    shown = [column for column in shown if column.title != "60s"]
    lines = matching(found, shown, " ".join(arguments.filter))
    return session.table(lines, shown) if lines else ""


def _target(session: Session, view: str) -> Object:
    """Of a view of one object; of any other nothing is asked.  Raises VerbError."""
    if view in looking.VIEWS:
        return Object("node", "")
    try:
        return objects.parse(view, session.agents, kinds=("node", "vip", "real"))
    except ObjectError as error:
        raise VerbError(f"{error}; views are {', '.join(looking.VIEWS)}") from None


def _of_object(target: Object, agents: list[Agent], now: float) -> list[Rows]:
    """As the console's screen of it has them: itself, then what is on it."""
    match target.kind:
        case "node":
            one = [agent for agent in agents if agent.name == target.name]
            return [(rows.nodes(one, now), tables.NODES), (rows.vips(one, now), tables.VIPS)]
        case "vip":
            vips = rows.vips(agents, now, name=target.name)
            return [(vips, tables.VIPS), (rows.reals(agents, now, vip=target.name), tables.REALS)]
    found = everywhere.on_nodes(agents, now, target.name)
    shown = [each for each in found if target.vip in ("", each.real.vip)]
    return [(shown, everywhere.EVERY)]


def _rings(session: Session, now: float) -> Rows:
    names = dict.fromkeys(row.name for a in session.agents if a.vips for row in a.vips.vips)
    found = [
        (vip, row)
        for vip in names
        for row in rings.node_rings(vip, session.agents, now, session.store.rings)
    ]
    vip = Column[Any]("VIP", 10, lambda r: Cell(r[0]), lambda r: r[0])
    return found, [vip, *(_of_second(column) for column in rings.RINGS)]


def _of_second(column: Column[Any]) -> Column[Any]:
    cell, order = column.cell, column.order
    return column._replace(cell=lambda r: cell(r[1]), order=lambda r: order(r[1]))


def _alerts(agents: list[Agent], now: float, watch: Watch) -> Rows:
    return watch.take(problems(agents, now), now), ALERTS


VIEWS: Mapping[str, Callable[[list[Agent], float, Watch], Rows]] = {
    "fleet": lambda agents, now, _: (rows.nodes(agents, now), tables.NODES),
    "vips": lambda agents, now, _: (rows.vips(agents, now), tables.VIPS),
    "reals": lambda agents, now, _: (rows.reals(agents, now), tables.REALS),
    "nodes": lambda agents, now, _: (everywhere.every(agents, now), everywhere.EVERY),
    "drops": lambda agents, now, _: (rows.drops(agents, now), tables.DROPS),
    "bgp": lambda agents, now, _: (bgp.sessions(agents, now), bgp.SESSIONS),
    "checks": lambda agents, now, _: (bgp.checks(agents, now), bgp.CHECKS),
    "heat": lambda agents, now, _: (cpus.every(agents, now), cpus.CPUS),
    "alerts": _alerts,
    "operations": lambda agents, now, _: (
        operations.operations(agents, now),
        operations.OPERATIONS,
    ),
}
