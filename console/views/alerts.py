# SPDX-License-Identifier: Apache-2.0
"""The problems with their age: since the agents say so, or since this console saw them.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

import msgspec

from console import format as fmt
from console.model.records import State
from console.views.cells import Cell, TextLine, line
from console.views.columns import Column
from console.views.problems import Kind, Problem

CRITICAL = State("! crit", "bad", 9)
WARNING = State("▲ warn", "warn", 3)
ACKNOWLEDGED = State("· ack", "dim", 1)
NEXT: Mapping[Kind, str] = {
    "silent": "there: systemctl status remora-agent; its packets may well go on without the agent",
    "stale": "its packets may well go on without the agent: look at the node before you act",
    "foreign": "`remora version` and `remora-agent version` there say which side is older",
    "denied": "have your public key (FILE.pub) added there; `remora keys` makes one",
    "insecure": "make keys (`remora keys`) and take `insecure = true` out of its config",
    "disk": "look at that disk or mount (dmesg); packets, checks and BGP go on meanwhile",
    "wire": "agent and console are of different versions, or something else writes to that socket",
    "name": "give each node a name of its own: node.name in its agent's config",
    "xdp": "`remora-agent preflight` there says whose program it is and what its driver can do",
    "ring": "d compares it slot by slot; drains and weights must be the same on all nodes",
    "peer": "look at the router; the node takes no traffic through it (6)",
    "quorum": "the VIP is being withdrawn: bring reals back, or undrain some (Enter)",
    "announce": "its own node keeps it back: reals, quorum and sessions are on 6",
    "health": "Enter shows what each node's check last said",
    "mixed": "drain it on the other nodes too, or undrain it: flows that change node may break",
    "limit": "a limit of your own (`[alerts]` in the config); Enter shows the row",
    "held": "9: R goes on with it, K takes back what it did; until then nobody else may",
}
"""What to do next, by kind of problem."""


class Acknowledged(NamedTuple):
    """By this console's operator.  Agents keep no such thing, so no other console knows."""

    who: str
    at: float
    """Unix time."""
    why: str


class Alert(msgspec.Struct, frozen=True):
    key: str
    state: State
    problem: Problem
    age: float
    """Seconds that it has lasted."""
    at_least: bool
    """It may have begun earlier: that is when this console first saw it."""
    seen: Acknowledged | None = None


class Watch:
    """Remembers when each problem was first seen; one that went away and came back is new.

    What was acknowledged is the problem as bad as it was then: one that got worse is to be seen
    again.
    """

    def __init__(self) -> None:
        self._first: dict[str, float] = {}
        self._seen: dict[str, tuple[Acknowledged, tuple[bool, bool]]] = {}
        """With its badness when it was acknowledged."""
        self._present: dict[str, tuple[bool, bool]] = {}
        """Badness of each at the last frame."""

    def take(self, problems: Sequence[Problem], now: float) -> tuple[Alert, ...]:
        """To be called at every frame; worst first, as the problems are, then those acknowledged:
        for as long as they last and get no worse; one that comes back is new."""
        present = self._present = {problem.key: problem.badness for problem in problems}
        self._first = {k: at for k, at in self._first.items() if k in present}
        self._seen = {
            k: (seen, bad)
            for k, (seen, bad) in self._seen.items()
            if k in present and present[k] <= bad
        }
        made = [self._alert(problem, now) for problem in problems]
        return tuple(sorted(made, key=lambda alert: alert.seen is not None))

    def acknowledge(self, keys: Sequence[str], seen: Acknowledged | None) -> None:
        """Of those of the last frame; None: no more."""
        for key in keys:
            self._seen.pop(key, None)
            if seen is not None and key in self._present:
                self._seen[key] = seen, self._present[key]

    def _alert(self, problem: Problem, now: float) -> Alert:
        first = self._first.setdefault(problem.key, now)
        at_least = problem.at_least or problem.age is None
        seen, _ = self._seen.get(problem.key, (None, None))
        return Alert(
            key=problem.key,
            state=ACKNOWLEDGED if seen else CRITICAL if problem.critical else WARNING,
            problem=problem,
            age=max(now - first, problem.age or 0.0) if at_least else problem.age or 0.0,
            at_least=at_least,
            seen=seen,
        )


def _age(row: Alert) -> Cell:
    return Cell(fmt.age(row.age) + ("+" if row.at_least else ""))


def _text(row: Alert) -> str:
    return row.problem.text


def _subject(row: Alert) -> str:
    return row.problem.subject


ALERTS: tuple[Column[Alert], ...] = (
    Column("LEVEL", 6, lambda r: Cell(r.state.text, r.state.tone), lambda r: r.state.urgency),
    Column("SINCE", 5, _age, lambda r: r.age, right=True),
    Column("OBJECT", 12, lambda r: Cell(_subject(r)), _subject, grows="name"),
    Column("WHAT", 40, lambda r: Cell(_text(r)), _text, grows="prose"),
)


def in_short(found: Sequence[Alert], room: int, width: int) -> list[TextLine]:
    """One line each; where there is room the first ones in full, with what to do, said once."""
    if not found:
        return [line(" nothing is wrong", "ok")]
    shown = found if len(found) <= room else found[: room - 1]
    spare, lines, told = room - len(shown) - (len(shown) < len(found)), [], set()
    for alert in shown:
        whole = _whole(alert, width, told=alert.problem.kind in told)
        told.add(alert.problem.kind)
        fits = len(whole) - 1 <= spare and not alert.seen
        spare -= len(whole) - 1 if fits else 0
        lines += whole if fits else [(*_head(alert), Cell(alert.problem.text))]
    if len(shown) < len(found):
        lines.append(line(f" and {len(found) - len(shown)} more: 8", "dim"))
    return lines


def _head(alert: Alert) -> TextLine:
    mark = alert.state.text.partition(" ")[0]
    return (
        Cell(f" {mark} ", alert.state.tone),
        Cell(f"{_age(alert).text:>4} ", "dim"),
        Cell(f"{alert.problem.subject} ", "strong"),
    )


def _whole(alert: Alert, width: int, *, told: bool) -> list[TextLine]:
    """`told`: what to do stands above already."""
    head, indent = _head(alert), " " * 8
    taken = sum(len(cell.text) for cell in head) - len(indent)
    text = wrap("x" * taken + alert.problem.text, max(20, width - len(indent)))
    first, *others = [text[0][taken:], *text[1:]]
    after = "" if told else f"next: {NEXT[alert.problem.kind]}"
    return [
        (*head, Cell(first)),
        *(line(f"{indent}{part}") for part in others),
        *(line(f"{indent}{part}", "dim") for part in wrap(after, max(20, width - len(indent)))),
    ]


def _seen_lines(alert: Alert, width: int) -> list[TextLine]:
    seen = alert.seen
    if seen is None:
        return []
    level = "crit" if alert.problem.critical else "warn"
    by = f"{fmt.stamp(seen.at)} {seen.who}" + (f": {seen.why}" if seen.why else "")
    text = f" {level}, acknowledged {by}   (no other console knows)"
    return [line(part, "dim") for part in wrap(fmt.shown(text), width - 2, subsequent_indent=" ")]


def alert_lines(alert: Alert, width: int = 80) -> list[tuple[Cell, ...]]:
    """The one under the cursor, in full, and what to do next."""
    return [
        (Cell(f" {alert.problem.subject}", "strong"),),
        *_seen_lines(alert, width),
        *((Cell(f" {part}"),) for part in wrap(alert.problem.text, width - 2)),
        *(
            (Cell(" next    " if part == 0 else " " * 9, "dim"), Cell(words))
            for part, words in enumerate(wrap(NEXT[alert.problem.kind], width - 10))
        ),
    ]
