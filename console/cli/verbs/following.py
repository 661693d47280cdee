# SPDX-License-Identifier: Apache-2.0
"""`events`: what the agents remember, and with -f what happens from now on.  Gaps are lines."""

from __future__ import annotations

import json
import time
from argparse import Namespace

from console.cli.verbs.session import Session
from console.exits import Exit
from console.model.eventlog import Line
from console.views.items import Item
from console.views.tail import kind_of, written
from shared import jsonl
from shared.messages import Replay

SETTLE = 2.0
"""Seconds that a gap may take to be filled before it is printed as lost."""


def events(session: Session, arguments: Namespace) -> int:
    """Exit 0; 3 when some agent's events are missing.  Raises VerbError when all are."""
    addresses = list(session.store.agents)
    if arguments.follow:
        session.client.follow({"event"})
    answers = session.ask(dict.fromkeys(addresses, Replay(0)), timeout=session.connect_timeout)
    absent = [address for address, answer in answers.items() if answer is None]
    if len(absent) == len(addresses) and not arguments.follow:
        raise session.nobody()
    for address in absent:
        session.say(f"remora: no answer from {address}: its events are missing")
    printer = _Printer(session, arguments)
    printer.print_new(last=arguments.last)
    while arguments.follow:
        session.take(session.client.wait(1.0))
        printer.print_new(last=None)
    return Exit.PARTIAL if absent else Exit.DONE


class _Printer:
    """Writes every line once."""

    def __init__(self, session: Session, arguments: Namespace) -> None:
        self._session = session
        self._arguments = arguments
        self._written: set[tuple[str, tuple[int, int]]] = set()
        self._gaps: dict[tuple[str, tuple[int, int]], float] = {}

    def print_new(self, *, last: int | None) -> None:
        lines = [
            line
            for line in self._session.store.lines(1_000_000)
            if (line.node, line.place) not in self._written and self._settled(line)
        ]
        self._written.update((line.node, line.place) for line in lines)
        shown = [
            line
            for line in lines
            if kind_of(line) in (None, self._arguments.kind) or not self._arguments.kind
        ]
        for line in shown if last is None else shown[len(shown) - min(last, len(shown)) :]:
            as_table = self._arguments.output == "table"
            self._session.write(written(line) if as_table else json.dumps(_item(line)))

    def _settled(self, line: Line) -> bool:
        if line.event is not None:
            return True
        seen = self._gaps.setdefault((line.node, line.place), time.monotonic())
        return time.monotonic() - seen >= SETTLE


def _item(line: Line) -> Item:
    if line.event is not None:
        return {"lost": None, **jsonl.fields(line.event)}
    return {
        "at": round(line.wall, 3),
        "node": line.node,
        "sequence": line.place[1],
        "type": "gap",
        "lost": line.lost,
    }
