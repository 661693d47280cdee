# SPDX-License-Identifier: Apache-2.0
"""A change that comes to its nodes one after the other, steered by a verb until it is over.

An interrupt holds it, and so does a session that breaks: any console can go on, or take it back.
"""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import suppress

from console import format as fmt
from console.cli.verbs import telling
from console.cli.verbs.ending import ended_as_by_ctrl_c
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.planning.plan import Answered
from console.planning.rollout import Phase, Rollout, Start
from console.planning.staging import Staging, staging

STEP = 0.2
"""Seconds between two looks."""
PARTING = 3.0
"""Seconds for the nodes to hear the last of it."""
FOLLOWED = frozenset({"node", "vip"})


def how(arguments: Namespace) -> Staging | None:
    """None: all nodes at once.  Raises ObjectError and VerbError."""
    names = ("canary", "soak", "batch", "stop_on")
    found = staging(*(getattr(arguments, name, "") for name in names))
    if found is not None and getattr(arguments, "confirm", None):
        raise VerbError(
            "--confirm-within is of a change that comes to all its nodes at once: with --canary "
            "take --for (and --stop-on)"
        )
    return found


def roll(session: Session, start: Start, arguments: Namespace) -> int:
    """Exit 3 when it is HELD, 4 when no node was changed.  Raises ObjectError."""
    session.client.follow(FOLLOWED)
    rollout = Rollout(
        session.client,
        start,
        lambda text: session.tell(f"  {fmt.clock(time.time())} {text}"),
    )
    _pass(session, rollout, until=time.monotonic() + 1.1)  # rates, to compare with
    try:
        with ended_as_by_ctrl_c():
            rollout.begin(time.monotonic(), session.store.agents)
            while not rollout.ended:
                _pass(session, rollout, until=0.0)
    except (KeyboardInterrupt, OSError):
        # Its terminal or its reader may be gone: the nodes must hear of it all the same.
        with suppress(OSError):
            rollout.hold("interrupted: who steered it left")
        with suppress(OSError):
            _part(session, rollout)
        with suppress(OSError):
            session.say(_how_to_go_on(start))
        return Exit.INTERRUPTED
    _part(session, rollout)
    return _told(session, rollout, start, arguments)


def _pass(session: Session, rollout: Rollout, *, until: float) -> None:
    while True:
        inbox = session.client.wait(STEP)
        session.take(inbox)
        now = time.monotonic()
        for reply in inbox.replies:
            rollout.take(reply, now)
        if until <= now:
            break
    if rollout.begun:
        rollout.tick(now, session.store.agents)


def _part(session: Session, rollout: Rollout) -> None:
    deadline = time.monotonic() + PARTING
    while not rollout.parted and time.monotonic() < deadline:
        _pass(session, rollout, until=0.0)


def _told(session: Session, rollout: Rollout, start: Start, arguments: Namespace) -> int:
    done = [Answered(o.address, o.node, rollout.answers.get(o.address)) for o in start.orders]
    telling.as_json(session, done, arguments)
    if rollout.said and session.quiet:
        session.say(f"remora: op/{start.operation}: {rollout.said}")
    if rollout.taken:
        return Exit.CONFLICT
    if rollout.phase is Phase.HELD:
        session.say(_how_to_go_on(start))
        return Exit.PARTIAL
    if len(rollout.answers) < len(start.orders):
        return Exit.REFUSED
    if arguments.output != "json":
        session.write(f"applied {len(done)}/{len(done)}   undo: remora undo {start.operation}")
    return Exit.DONE


def _how_to_go_on(start: Start) -> str:
    name = start.operation
    return f"op/{name} is HELD: remora op resume {name}, or remora op revert {name}"
