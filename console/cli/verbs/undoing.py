# SPDX-License-Identifier: Apache-2.0
"""`undo`: what the agents said takes an operation back, planned and asked as any other change."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from console.cli.verbs import carrying
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.planning import wish
from console.views.operations import Operation, named, operations
from shared.messages import Replay


def undo(session: Session, arguments: Namespace) -> int:
    """Of an operation by its name or the start of it; without one the operator's own last.  Exit 7
    when the same was changed again since.  Raises VerbError."""
    there = session.look()
    asked = dict.fromkeys([agent.address for agent in there], Replay(0))
    session.ask(asked, timeout=session.connect_timeout)
    found = _named(operations(session.agents, time.monotonic()), arguments.operation, session.who)
    if found.overtaken:
        raise VerbError(
            f"op/{found.key}: {found.what}: the same was changed again by {found.overtaken}",
            Exit.CONFLICT,
        )
    wanted = wish.as_told(found.undo, f"undo {found.what}")
    return carrying.carry_out(session, wanted, arguments)


def _named(known: Sequence[Operation], name: str, who: str) -> Operation:
    """Newest first, as `known` is.  Raises VerbError."""
    if not name:
        mine = [op for op in known if op.who == who and op.undo]
        if not mine:
            raise VerbError(f"{who} has done nothing to take back; remora get op lists all")
        return mine[0]
    found = named(known, name)
    if not found.undo:
        raise VerbError(f"op/{found.key}: {found.what}: there is nothing to take back")
    return found
