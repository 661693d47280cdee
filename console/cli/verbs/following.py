# SPDX-License-Identifier: Apache-2.0
"""`events`: what the agents remember, and with -f what happens from now on.  Gaps are lines."""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.eventlog import Line
from console.model.labels import silent_of_labels, unlabelled
from console.model.moment import moment
from console.model.selectors import selector
from console.views import pcapng
from console.views.event_filter import Filter, Test, checked
from console.views.event_labels import EventLabels
from console.views.items import Item, listing
from console.views.tail import tone, written
from console.views.written import now_text
from shared import jsonl
from shared.messages import DropEvent, Replay

LAST = 20
"""Lines of the past, when nothing else was asked for."""
SETTLE = 2.0
"""Seconds that a gap may take to be filled before it is printed as lost."""


def events(session: Session, arguments: Namespace) -> int:
    """Exit 0; 3 when some agent's events are missing.  Raises VerbError when all are."""
    wanted = _wanted(arguments)
    if arguments.output == "json" and arguments.follow:
        raise VerbError("-o json is one object, which has no end with -f: give -o jsonl")
    # A span of time is all that was in it, unless --last says how much of it.
    last = arguments.last or (None if arguments.since or arguments.until else LAST)
    addresses = list(session.store.agents)
    labels = selector(arguments.labels)
    if arguments.follow:
        session.client.follow({"event", "node", "label"} if labels else {"event"})
    if labels:
        session.look()
    answers = session.ask(dict.fromkeys(addresses, Replay(0)), timeout=session.connect_timeout)
    absent = [address for address, answer in answers.items() if answer is None]
    if len(absent) == len(addresses) and not arguments.follow:
        raise session.nobody()
    for address in absent:
        session.say(f"remora: no answer from {address}: its events are missing")
    with _file(arguments.pcap) as file:
        about = EventLabels(labels, session.agents)
        printer = _Printer(session, arguments, lambda e: wanted.passes(e) and about.hold(e), file)
        printer.print_new(last=last)
        while arguments.follow:
            session.take(session.client.wait(1.0))
            printer.print_new(last=None)
        printer.finish(absent)
    silent = [agent.name for agent in silent_of_labels(session.agents)] if labels else []
    if silent:
        session.say(f"remora: {unlabelled(silent)}: not judged by -l")
    return Exit.PARTIAL if absent or silent else Exit.DONE


def _wanted(arguments: Namespace) -> Filter:
    now = time.time()
    given = ("--since", arguments.since), ("--until", arguments.until)
    since, until = (moment(text, now, flag) if text else None for flag, text in given)
    return Filter(arguments.kind, checked([Test(*each) for each in arguments.tests]), since, until)


@contextmanager
def _file(path: str | None) -> Iterator[BinaryIO | None]:
    """A new one, for its owner's eyes: what is there already is never written over."""
    if path is None:
        yield None
        return
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        raise VerbError(f"--pcap {path}: is there already; name a new file") from None
    except OSError as error:
        raise VerbError(f"--pcap {path}: {error.strerror}") from error
    with file:
        yield file


class _Printer:
    """Writes every line once."""

    def __init__(
        self,
        session: Session,
        arguments: Namespace,
        wanted: Callable[[Line], bool],
        file: BinaryIO | None,
    ) -> None:
        self._session = session
        self._arguments = arguments
        self._wanted = wanted
        self._file = file
        self._places: dict[str, int] = {}
        """Node -> its place in the file; its events may come before all else that names it."""
        self._items: list[Item] = []
        if file is not None:
            file.write(pcapng.drops_opening())
        self._written: set[tuple[str, tuple[int, int]]] = set()
        self._gaps: dict[tuple[str, tuple[int, int]], float] = {}

    def print_new(self, *, last: int | None) -> None:
        kept = self._session.store.lines(1_000_000)
        # What the logs have let go of does not come back: neither set grows for ever.
        there = {(line.node, line.place) for line in kept}
        self._written &= there
        self._gaps = {gap: seen for gap, seen in self._gaps.items() if gap in there}
        lines = [
            line
            for line in kept
            if (line.node, line.place) not in self._written and self._settled(line)
        ]
        self._written.update((line.node, line.place) for line in lines)
        shown = [line for line in lines if self._wanted(line)]
        for line in shown if last is None else shown[len(shown) - min(last, len(shown)) :]:
            self._print(line)

    def _print(self, line: Line) -> None:
        body = line.event.body if line.event else None
        if self._file is not None and line.event is not None and isinstance(body, DropEvent):
            if line.node not in self._places:
                self._places[line.node] = len(self._places)
                self._file.write(pcapng.drops_interface(line.node))
            place = self._places[line.node]
            self._file.write(pcapng.dropped(line.event, body, node=place))
            self._file.flush()
        match self._arguments.output:
            case "table":
                self._session.write(self._session.paint(written(line), tone(line)))
            case "jsonl":
                self._session.write(json.dumps(_item(line)))
            case _:
                self._items.append(_item(line))

    def finish(self, missing: Sequence[str]) -> None:
        """`-o json` is one object, at the end."""
        if self._arguments.output == "json":
            wrapped = listing("EventList", self._items, at=now_text(), missing=missing)
            self._session.write(json.dumps(wrapped, indent=2))

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
