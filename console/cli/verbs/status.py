# SPDX-License-Identifier: Apache-2.0
"""`status`: what is wrong, in a line, a page or JSON; exit 0 only when nothing is.

What an operator withdrew is told beside it, by whom and why: it is no failure.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import TypeVar

from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import labels, objects, rows
from console.model.objects import Object
from console.model.selectors import Selector, selector
from console.views import items, tables
from console.views.columns import labels_match
from console.views.problems import ABSENT, Problem, problems
from console.views.withdrawals import in_force, item
from console.views.written import now_text

R = TypeVar("R")
AGAIN = 1.0
"""Seconds between two looks with --wait-for."""


def status(session: Session, arguments: Namespace) -> int:
    """Exit 0 only when nothing is wrong with the object (default: with anything), 5 when that was
    waited for and did not come."""
    found = _waited(session, arguments) if arguments.wait_for else _look(session, arguments)
    if arguments.output == "json":
        session.write(_json(session, found))
    elif arguments.short:
        session.write(_short(session, found))
    else:
        tables_ = (
            _of_object(session, arguments) if arguments.object else _of_all(session, arguments)
        )
        session.write("\n".join([*_head(session, found, arguments.object), "", tables_]))
    if arguments.labels and (unknown := _unknown(session)):
        session.say(f"remora: {', '.join(unknown)}: whether -l means it is not known")
        return Exit.FAILED
    if found and arguments.wait_for:
        session.say(f"remora: not {arguments.wait_for} after {arguments.timeout:.0f} s")
        return Exit.TIMED_OUT
    return Exit.FAILED if found else Exit.DONE


def _waited(session: Session, arguments: Namespace) -> list[Problem]:
    """Agents that are not there yet are waited for, too.  Raises VerbError as `_look`."""
    deadline = time.monotonic() + arguments.timeout
    while True:
        over = time.monotonic() >= deadline
        try:
            found = _look(session, arguments)
        except VerbError as error:
            if over or error.code != Exit.NO_AGENT:
                raise
        else:
            if over or not found:
                return found
        session.pause(min(AGAIN, max(0.0, deadline - time.monotonic())))


def _look(session: Session, arguments: Namespace) -> list[Problem]:
    session.look()
    found = problems(session.agents, time.monotonic())
    if arguments.labels:
        if arguments.object:
            raise VerbError(f"{arguments.object}: an object, or -l; not both")
        meant = _labelled(session, arguments)
        return [problem for problem in found if problem.subject in meant]
    if not arguments.object:
        return list(found)
    target = _target(session, arguments)
    return [problem for problem in found if _about(problem, target)]


def _target(session: Session, arguments: Namespace) -> Object:
    return objects.parse(arguments.object, session.agents, kinds=(*objects.PLACED, "peer"))


def _labelled(session: Session, arguments: Namespace) -> frozenset[str]:
    """Names of the objects that are meant.  Raises VerbError when none is."""
    now, wanted = time.monotonic(), selector(arguments.labels)
    agents = session.agents
    nodes = {f"node/{row.name}": row for row in rows.nodes(agents, now)}
    vips = {row.key: row for row in rows.vips(agents, now)}
    reals = {row.key: row for row in rows.reals(agents, now)}
    named = (*nodes.items(), *vips.items(), *reals.items())
    meant = frozenset(name for name, row in named if labels_match(row, wanted))
    if not meant:
        raise VerbError(f"nothing matches -l '{wanted}'")
    return meant


def _unknown(session: Session) -> list[str]:
    """Nodes that do not answer, or do not say their labels."""
    absent, silent = session.absent(), labels.silent_of_labels(session.agents)
    return [a.name for a in session.agents if a.address in absent or a in silent]


def _about(problem: Problem, target: Object) -> bool:
    if target.kind == "real" and not target.vip:
        return problem.subject.startswith(f"{target}@")
    if target.kind == "peer":
        node, _, address = target.name.partition("/")
        whose = problem.with_whom == address if problem.kind == "peer" else problem.kind in _MUTE
        return whose and problem.subject == f"node/{node}"
    return problem.subject == str(target)


_MUTE = frozenset(ABSENT.values())
"""Of a node that says nothing of its sessions, either."""


def _summary(session: Session) -> str:
    live, all_ = len(session.agents) - len(session.absent()), len(session.agents)
    simulated = any(a.node is not None and a.node.simulated for a in session.agents)
    return f"{'SIMULATED ' if simulated else ''}{session.cluster} {live}/{all_} nodes"


def _short(session: Session, found: list[Problem]) -> str:
    worst = f", {found[0].subject}: {found[0].text}" if found else ", healthy"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    away = [each.subject for each in in_force(session.agents, time.monotonic())]
    withdrawn = f", withdrawn {', '.join(away)}" if away else ""
    return _summary(session) + worst + more + withdrawn


def _head(session: Session, found: list[Problem], about: str | None) -> list[str]:
    paint, now = session.paint, time.monotonic()
    count = f"{len(found)} problem{'s' if found[1:] else ''}" if found else "healthy"
    return [
        f"{_summary(session)}, {f'{about}: ' if about else ''}{count}",
        *(
            f"  {paint('CRIT', 'bad') if p.critical else paint('warn', 'warn')} "
            f"{p.subject}: {p.text}"
            for p in found
        ),
        *(f"  note {away.subject}: {away.text}" for away in in_force(session.agents, now)),
    ]


def _of_all(session: Session, arguments: Namespace) -> str:
    now, wanted = time.monotonic(), selector(arguments.labels)
    nodes = [c for c in tables.NODES if not c.wide]
    vips = [c for c in tables.VIPS if not c.wide and c.title != "AGE"]
    parts = [session.table(_meant(rows.nodes(session.agents, now), wanted), nodes)]
    if vip_rows := _meant(rows.vips(session.agents, now), wanted):
        parts.append(session.table(vip_rows, vips))
    return "\n\n".join(parts)


def _of_object(session: Session, arguments: Namespace) -> str:
    from console.views.lists import KINDS

    target = _target(session, arguments)
    kind = KINDS[target.kind]
    names = str(target), f"{target}@"
    found = [
        row
        for row in kind.rows(session.agents, time.monotonic())
        if kind.label(row) == names[0] or kind.label(row).startswith(names[1])
    ]
    return session.table(found, [column for column in kind.columns if not column.wide])


def _meant(found: Sequence[R], wanted: Selector) -> list[R]:
    return [row for row in found if labels_match(row, wanted)]


def _json(session: Session, found: list[Problem]) -> str:
    problems_ = [
        {"severity": "critical" if p.critical else "warning", "object": p.subject, "text": p.text}
        for p in found
    ]
    wrapped = items.listing("Status", problems_, at=now_text(), missing=session.absent())
    away = [item(each) for each in in_force(session.agents, time.monotonic())]
    more = {"cluster": session.cluster, "healthy": not found, "withdrawn": away}
    return json.dumps({**wrapped, **more}, indent=2)
