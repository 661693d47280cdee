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
from console.cli.verbs.session import Session
from console.exits import Exit
from console.model import rows
from console.model.store import Agent
from console.views import bgp, everywhere, operations, tables
from console.views.alerts import Watch
from console.views.alerts import columns as alert_columns
from console.views.columns import Column, matching
from console.views.problems import problems
from console.views.written import table
from shared.messages import Look

HOME = "\x1b[H\x1b[2J"
FOLLOWED = frozenset({"node", "vip", "real", "drop", "cpu", "event"})
Rows = tuple[Sequence[Any], Sequence[Column[Any]]]


def watch(session: Session, arguments: Namespace) -> int:
    """Until interrupted, or --count blocks; exit 3 when some agent was missing at the end."""
    addresses = list(session.store.agents)
    session.client.follow(FOLLOWED)
    answers = session.ask(dict.fromkeys(addresses, Look()), timeout=session.connect_timeout)
    if not any(answers.values()):
        raise session.nobody()
    alerts = Watch()
    clear = session.out.isatty() and not arguments.plain
    left = arguments.count
    while True:
        session.pause(arguments.every)
        block = _block(session, arguments, alerts)
        session.write(f"{HOME}{block}" if clear else f"{block}\n")
        left = left - 1 if left else 0
        if arguments.count and not left:
            return Exit.PARTIAL if session.absent() else Exit.DONE


def _block(session: Session, arguments: Namespace, watch: Watch) -> str:
    now = time.monotonic()
    found, shown = VIEWS[arguments.view](session.agents, now, watch)
    live, all_ = len(session.store.live(now)), len(session.agents)
    heading = f"{fmt.clock(time.time())}Z {session.cluster} {arguments.view} {live}/{all_} nodes"
    if live < all_:
        missing = [agent.name for agent in session.agents if agent not in session.store.live(now)]
        heading += f", not live: {' '.join(missing)}"
    words = " ".join(arguments.filter)
    # A sparkline says nothing to a screen reader, and a line of a log is no place for one.
    shown = [column for column in shown if column.title != "60s"]
    lines = matching(found, shown, words)
    return f"{heading}\n{table(lines, shown) if lines else 'nothing to show'}"


def _alerts(agents: list[Agent], now: float, watch: Watch) -> Rows:
    return watch.take(problems(agents, now), now), alert_columns(160)


VIEWS: Mapping[str, Callable[[list[Agent], float, Watch], Rows]] = {
    "fleet": lambda agents, now, _: (rows.nodes(agents, now), tables.NODES),
    "vips": lambda agents, now, _: (rows.vips(agents, now), tables.VIPS),
    "reals": lambda agents, now, _: (rows.reals(agents, now), tables.REALS),
    "nodes": lambda agents, now, _: (everywhere.every(agents, now), everywhere.EVERY),
    "drops": lambda agents, now, _: (rows.drops(agents, now), tables.DROPS),
    "bgp": lambda agents, now, _: (bgp.sessions(agents, now), bgp.SESSIONS),
    "checks": lambda agents, now, _: (bgp.checks(agents, now), bgp.CHECKS),
    "alerts": _alerts,
    "operations": lambda agents, now, _: (
        operations.operations(agents, now),
        operations.OPERATIONS,
    ),
}
