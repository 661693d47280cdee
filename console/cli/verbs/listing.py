# SPDX-License-Identifier: Apache-2.0
"""`get` and `top`: lists of one kind of thing, once or again and again; nothing is changed."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence

from console import format as fmt
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import labels, objects
from console.model.selectors import Selector, selector
from console.model.store import Agent
from console.views import lists, selecting
from console.views.columns import Column
from console.views.lists import KINDS, Kind
from console.views.selecting import NothingError, Selection
from console.views.written import HOME, items_as, now_text
from shared.messages import Action, FlowAges, Replay

FOLLOWED = frozenset({"node", "vip", "real", "drop", "cpu", "event", "label"})
OF_NODES = ("drop", "cpu", "peer")
"""Lists of things that have no labels: those of their nodes count."""
BESIDES: Mapping[str, Action] = {"op": Replay(0), "flow": FlowAges()}
PATIENCE = 5.0
"""Seconds: a flow table of millions of entries takes a tenth of one to go through."""
WITHOUT = ("60s", "TREND")
"""A history needs a minute of watching, and says nothing to a screen reader or a log."""


def get(session: Session, arguments: Namespace) -> int:
    """Exit 0, or 3 when some agents are missing from the list.  Raises VerbError."""
    watched = arguments.watch is not None
    on_pipe = watched and not session.out.isatty()
    arguments.output = arguments.output or ("jsonl" if on_pipe else "table")
    _check(arguments)
    _look(session, arguments, rates=arguments.rates or arguments.output == "wide" or watched)
    _repeated(session, arguments, wide=arguments.output == "wide")
    return _code(session, arguments)


def top(session: Session, arguments: Namespace) -> int:
    """As `get`, with rates, the busiest first."""
    _check(arguments)
    kind = KINDS[arguments.kind]
    arguments.sort = arguments.sort or kind.busiest
    _look(session, arguments, rates=True)
    _repeated(session, arguments, wide=True)
    return _code(session, arguments)


def _look(session: Session, arguments: Namespace, *, rates: bool) -> None:
    session.look(rates=rates)
    _ask_besides(session, arguments.kind)


def _ask_besides(session: Session, kind: str) -> None:
    """What telemetry does not say."""
    for agent in session.agents if kind == "flow" else ():
        agent.ages = None  # they have no age: whose node does not answer again are not of now
    if kind in BESIDES:
        there = [a for a in session.store.agents if a not in session.absent()]
        session.ask(dict.fromkeys(there, BESIDES[kind]), timeout=PATIENCE)


def _repeated(session: Session, arguments: Namespace, *, wide: bool) -> None:
    """Once, or every --watch seconds: over each other on a terminal, else one below the other."""
    every, shown = arguments.watch, 0
    if every is not None:
        session.client.follow(FOLLOWED)
    while True:
        heading = ""
        try:
            text = _text(session, arguments, wide=wide)
        except NothingError as error:
            if every is None:
                raise
            text = str(error) if arguments.output in ("table", "wide") else ""
        if every is not None and arguments.output in ("table", "wide"):
            heading = f"{fmt.stamp(time.time())} {session.cluster} {arguments.kind}\n"
        over = every is not None and session.clears
        if text or heading:
            gap = "\n" if shown and heading and not over else ""
            session.write(f"{HOME if over else gap}{heading}{text}")
        shown += 1
        if every is None or shown == arguments.count:
            return
        session.pause(every)
        if arguments.kind == "flow":
            _ask_besides(session, arguments.kind)


def _text(session: Session, arguments: Namespace, *, wide: bool) -> str:
    now, kind = time.monotonic(), KINDS[arguments.kind]
    agents = selecting.nodes(session.agents, arguments.node)
    wanted = _selection(session, arguments)
    if arguments.kind in OF_NODES and wanted.labels:
        agents = selecting.labelled(agents, wanted.labels)
        wanted = wanted._replace(labels=Selector())
    found = selecting.select(kind.rows(agents, now), kind, wanted)
    found = found[: arguments.number] if arguments.number else found
    match arguments.output:
        case "name":
            return "\n".join(kind.label(row) for row in found)
        case "table" | "wide":
            columns = _columns(kind, arguments.columns, wide=wide)
            return session.table(found, columns, headers=not arguments.no_headers)
    made = [kind.item(row) for row in found]
    if arguments.kind == "node":
        made = lists.with_flow_tables(made, found, agents, now)
    silent = _silent(session, arguments)
    missing = [*_absent(session, arguments), *(agent.address for agent in silent)]
    return items_as(made, arguments.output, kind=kind.name, missing=missing, at=now_text())


def _selection(session: Session, arguments: Namespace) -> Selection:
    return Selection(
        names=tuple(_name(session, arguments.kind, name) for name in arguments.names),
        states=tuple(arguments.state),
        vip=objects.vip_named(arguments.vip or "", session.agents),
        fields=tuple(arguments.field),
        sort=arguments.sort,
        reverse=arguments.reverse,
        labels=selector(arguments.labels),
    )


def _name(session: Session, kind: str, name: str) -> str:
    """As the list has it."""
    match kind:
        case "vip":
            return objects.vip_named(name, session.agents)
        case "real" | "each" | "check":
            address, at, vip = name.partition("@")
            return objects.canonical(address) + at + objects.vip_named(vip, session.agents)
    return name


def _of_kind(kind: str, name: str) -> str:
    """Without the prefix.  Raises VerbError for one of another kind."""
    prefix, slash, rest = name.partition("/")
    own = (kind, "real") if kind in ("each", "check") else (kind,)
    if slash and prefix in KINDS and prefix not in own:
        raise VerbError(f"{name}: one kind at a time, and this is a list of {kind}")
    if not (rest if slash and prefix in own else name):
        raise VerbError(f"{kind}/: a name is missing after the slash")
    return rest if slash and prefix in own else name


def _columns(kind: Kind, wanted: str, *, wide: bool) -> Sequence[Column[object]]:
    if wanted:
        return selecting.columns(kind, wanted)
    return [c for c in kind.columns if (wide or not c.wide) and c.title not in WITHOUT]


def _code(session: Session, arguments: Namespace) -> int:
    absent = _absent(session, arguments)
    if absent:
        session.say(f"remora: no answer from {', '.join(absent)}: not in this list")
    silent = [agent.name for agent in _silent(session, arguments)]
    if silent:
        session.say(f"remora: {labels.unlabelled(silent)}: not judged by -l")
    mute = _mute(session, arguments, absent)
    if mute:
        why = "does not say (an older agent, or too busy): not in this list"
        session.say(f"remora: {', '.join(mute)}: {why}")
    return Exit.PARTIAL if absent or silent or mute else Exit.DONE


def _mute(session: Session, arguments: Namespace, absent: Sequence[str]) -> list[str]:
    """Who is meant and answers, but does not say how old its flows are."""
    if arguments.kind != "flow":
        return []
    there = selecting.nodes(session.agents, arguments.node)
    return [a.name for a in there if a.ages is None and a.address not in absent]


def _absent(session: Session, arguments: Namespace) -> list[str]:
    """Addresses of those that are meant and do not answer."""
    absent = selecting.absent_of(session.agents, arguments.node, session.absent())
    if arguments.kind == "node" and arguments.names:
        named = {agent.address for agent in session.agents if agent.name in arguments.names}
        return [address for address in absent if address in named]
    return absent


def _silent(session: Session, arguments: Namespace) -> list[Agent]:
    """Who says no labels where those are asked for: whether its things are meant is not known."""
    return labels.silent_of_labels(session.agents) if arguments.labels else []


def _check(arguments: Namespace) -> None:
    """Raises VerbError for what does not go together, before any agent is asked."""
    kind, slash, name = arguments.kind.partition("/")
    given = [name, *arguments.names] if slash else arguments.names
    arguments.kind, arguments.names = kind, [_of_kind(kind, each) for each in given]
    if arguments.columns and arguments.output not in ("table", "wide"):
        raise VerbError(f"--columns is of tables, not of -o {arguments.output}")
    if arguments.kind == "op" and arguments.labels:
        raise VerbError("-l: operations have no labels; -l is of nodes, VIPs and reals")
    selector(arguments.labels)
    if arguments.watch is None and arguments.count:
        raise VerbError("--count is of --watch")
