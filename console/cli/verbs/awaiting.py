# SPDX-License-Identifier: Apache-2.0
"""`op wait`: looks until an operation has ended, whoever steers it, and says how it ended.

One that comes to its nodes one after the other has ended when none of them knows it any more, one
with --confirm-within when that is decided.  All others ended with their answers.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable

from console.cli.verbs.session import Session
from console.cli.verbs.waiting import STEP, TIMEOUT
from console.exits import Exit, VerbError
from console.model.underway import Underway, underway
from console.views.items import listing, word
from console.views.operations import BACK, Operation, item, named, operations
from console.views.written import now_text
from shared.messages import Replay

AGAIN = 2.0
"""Seconds after an interrupt in which a second one holds the operation."""
Hold = Callable[[Session, Underway], int]


def wait(session: Session, arguments: Namespace, hold: Hold) -> int:
    """Exit 0: it ended, done; 1: it failed or was taken back; 3: it is HELD, or some nodes did not,
    or do not answer; 5: it goes on when the time is over; 6: nobody answers then.

    Raises VerbError.
    """
    session.look()
    _ask_for_events(session)
    key = named(operations(session.agents, time.monotonic()), arguments.operation).key
    try:
        return _wait(session, key, arguments)
    except KeyboardInterrupt:
        return _interrupted(session, key, hold)


def _ask_for_events(session: Session) -> None:
    there = [agent.address for agent in session.agents if agent.address not in session.absent()]
    session.ask(dict.fromkeys(there, Replay(0)), timeout=session.connect_timeout)


def _wait(session: Session, key: str, arguments: Namespace) -> int:
    limit = TIMEOUT if arguments.timeout is None else arguments.timeout
    deadline = time.monotonic() + limit
    told = ""
    while True:
        now = time.monotonic()
        going = _going(session, key)
        if going is not None and going.held:
            return _held(session, going, arguments)
        said = going.count if going else _unconfirmed(session, key)
        if not said:
            return _ended(session, key, arguments)
        if said != told:
            session.tell(f"op/{key}: {said}")
            told = said
        if now >= deadline:
            return _timed_out(session, key, told)
        session.client.wait(min(STEP, max(0.0, deadline - now)))
        _look(session)


def _look(session: Session) -> None:
    """Agents that are away for a while are waited for."""
    try:
        session.look()
    except VerbError as error:
        if error.code != Exit.NO_AGENT:
            raise


def _going(session: Session, key: str) -> Underway | None:
    found = underway(session.agents, time.monotonic())
    return next((each for each in found if each.operation == key), None)


def _unconfirmed(session: Session, key: str) -> str:
    """Where it waits for somebody to confirm it; empty: nowhere."""
    nodes = [
        agent.name
        for agent in session.agents
        for row in (agent.node.pending if agent.node else ())
        if row.kind == "confirm" and row.operation == key
    ]
    return f"waits for `remora confirm` on {', '.join(nodes)}" if nodes else ""


def _held(session: Session, going: Underway, arguments: Namespace) -> int:
    name = going.operation
    _write(session, name, f"HELD at {going.count}: {going.said}", arguments)
    session.say(f"op/{name} is HELD: remora op resume {name}, or remora op revert {name}")
    return Exit.PARTIAL


def _ended(session: Session, key: str, arguments: Namespace) -> int:
    _ask_for_events(session)
    known = {each.key: each for each in operations(session.agents, time.monotonic())}
    found, back = known.get(key), known.get(f"{key}/revert")
    if back is not None:
        _write(session, key, "taken back", arguments)
        return Exit.FAILED
    if found is None:
        _write(session, key, "over; no node remembers what came of it: remora audit", arguments)
        return Exit.FAILED
    _write(session, key, word(found.state), arguments)
    return _code(session, found)


def _code(session: Session, found: Operation) -> int:
    if any(step.result == BACK[1] for step in found.steps):
        return Exit.FAILED
    asked = [step for step in found.steps if not step.later] or found.steps
    bad = [step for step in asked if not step.good]
    for step in bad:
        session.say(f"remora: {step.node}: {step.result}")
    absent = session.absent()
    if absent:
        who = ", ".join(absent)
        session.say(f"remora: no answer from {who}: what came of it there is not known")
    if not bad:
        return Exit.PARTIAL if absent else Exit.DONE
    return Exit.FAILED if len(bad) == len(asked) else Exit.PARTIAL


def _write(session: Session, key: str, said: str, arguments: Namespace) -> None:
    if arguments.output != "json":
        session.write(f"op/{key}: {said}")
        return
    known = operations(session.agents, time.monotonic())
    found = [item(each) for each in known if each.key in (key, f"{key}/revert")]
    made = listing("OperationList", found, at=now_text(), missing=session.absent())
    session.write(json.dumps(made, indent=2))


def _timed_out(session: Session, key: str, told: str) -> int:
    nobody = len(session.absent()) == len(session.agents)
    session.say(
        f"remora: op/{key}: {told} when the time was over; it goes on: remora op wait {key}"
    )
    return Exit.NO_AGENT if nobody else Exit.TIMED_OUT


def _interrupted(session: Session, key: str, hold: Hold) -> int:
    """The wait ends, the operation does not; a second interrupt holds it."""
    again = f"look again with: remora op wait {key}"
    going = _going(session, key)
    if going is None or going.held or session.view_only or not session.err.isatty():
        session.say(f"remora: no longer waiting; the operation is as it was, {again}")
        return Exit.INTERRUPTED
    session.say(f"remora: no longer waiting; op/{key} goes on, {again}")
    session.say(f"Ctrl-C again within {AGAIN:.0f} s holds it")
    try:
        session.pause(AGAIN)
    except KeyboardInterrupt:
        hold(session, going)
    return Exit.INTERRUPTED
