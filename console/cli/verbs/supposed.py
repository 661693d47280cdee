# SPDX-License-Identifier: Apache-2.0
"""`--if 'drain real/10.3.1.2@web'`: a change that is asked about and not done."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from typing import NamedTuple

from console.cli.grammar.top import parser
from console.cli.verbs import changing
from console.cli.verbs.session import Session
from console.exits import VerbError
from console.planning import plan
from console.planning.spread import completed
from shared.messages import Supposed

VERBS = ("drain", "undrain", "maint", "weight", "withdraw", "announce")


class Change(NamedTuple):
    """What is supposed."""

    lines: tuple[str, ...]
    """As CLI."""
    actions: Mapping[str, Supposed]
    """By address of the agent; the others are not touched by it."""


def change(session: Session, text: str) -> Change:
    """After a look at the agents.  Raises VerbError; leaves with 2 for flags that are none."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise VerbError(f"--if {text}: {error}".lower()) from error
    words = words[1:] if words[:1] == ["remora"] else words
    if not words or words[0] not in VERBS:
        raise VerbError(
            f"--if {text!r}: must be a change as the CLI has it: {', '.join(VERBS)} OBJECT"
        )
    arguments = parser(words).parse_args(words)
    changing.check(arguments)
    wanted, _ = changing.wished(session, arguments)
    wanted = completed(wanted, session.agents, time.monotonic())
    actions = {o.address: o.action for o in wanted.orders if isinstance(o.action, Supposed)}
    return Change(wanted.lines, actions)


def guards(session: Session, supposed: Change) -> list[str]:
    """What the guards of the nodes say to it: their own plans (a dry run)."""
    there = {a: action for a, action in supposed.actions.items() if a not in session.absent()}
    answers = session.ask(there, timeout=session.connect_timeout, dry_run=True)
    return [text for label, text in plan.lines(session.answered(answers))
            if label in ("guards", "already so", "no answer")]  # fmt: skip
