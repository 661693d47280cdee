# SPDX-License-Identifier: Apache-2.0
"""A verb that asks agents: its client, its session, and what is kept of it for the next Tab."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from console.cli.who import who
from console.exits import VerbError

if TYPE_CHECKING:
    from console.cli.verbs.session import Session
    from console.settings import Settings
    from console.wire.archive import Archive
    from console.wire.client import Client

VERBS = {
    "status": "status.status",
    "get": "listing.get",
    "top": "listing.top",
    "events": "following.events",
    "watch": "watching.watch",
    "diff": "differing.diff",
    "flow": "flow.flow",
    "audit": "audit.audit",
    "trace": "tracing.trace",
    "drain": "changing.change",
    "undrain": "changing.change",
    "maint": "changing.change",
    "weight": "changing.change",
    "withdraw": "changing.change",
    "announce": "changing.change",
    "reload": "enforcing.enforce",
    "rollback": "enforcing.enforce",
    "confirm": "enforcing.confirm",
    "doctor": "doctor.doctor",
    "plan": "planned.make",
    "apply": "planned.apply",
    "undo": "undoing.undo",
    "op": "operating.operate",
}
"""Verb -> module of console.cli.verbs and function: only what is done is imported."""


def _verb(name: str) -> Callable[[Session, Namespace], int]:
    module, _, function = VERBS[name].partition(".")
    found: Callable[[Session, Namespace], int]
    found = getattr(importlib.import_module(f"console.cli.verbs.{module}"), function)
    return found


def ask(arguments: Namespace, settings: Settings, verb: str) -> int:
    """Does the verb of that name and returns its exit code.  Raises VerbError."""
    # The sockets connect while the rest is imported.
    client = _client(arguments, settings)
    from console.cli.verbs.session import Session
    from console.model.store import Store
    from console.views.written import coloured, plain

    session = Session(
        client=client,
        who=who(),
        store=Store(client.addresses, arguments.max_age),
        cluster=settings.cluster,
        out=sys.stdout,
        err=sys.stderr,
        questions=_questions(no_input=arguments.no_input),
        connect_timeout=arguments.connect_timeout,
        worded=arguments.plain,
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        max_age=arguments.max_age,
        view_only=settings.view_only,
        require_reason=settings.require_reason,
        paint=coloured if _in_colour(arguments.color) and not arguments.plain else plain,
    )
    session.detail(f"{settings.cluster}: {', '.join(client.addresses)}")
    try:
        return _verb(verb)(session, arguments)
    finally:
        from console.cli import names
        from console.model import labels, objects

        kinds: tuple[objects.Kind, ...] = ("node", "vip", "real", "peer")
        known = {str(kind): objects.names(kind, session.agents) for kind in kinds}
        if known["vip"]:
            nodes = [agent.node for agent in session.agents if agent.node]
            under_way = {row.operation for node in nodes for row in node.rollouts}
            pairs = labels.known_pairs(session.agents)
            names.keep({**known, "label": pairs, "op": sorted(under_way)})
        client.close()


def _client(arguments: Namespace, settings: Settings) -> Client | Archive:
    """Raises VerbError."""
    if getattr(arguments, "recording", None) or getattr(arguments, "at", None):
        given = vars(arguments)
        now = {"--watch": given.get("watch"), "-f": given.get("follow"),
               "--wait-for": given.get("wait_for")}  # fmt: skip
        if flags := [flag for flag, value in now.items() if value]:
            raise VerbError(f"{flags[0]} is about what is now: not with --at or --from")
    if getattr(arguments, "recording", None):
        from console.cli.verbs import past

        return past.from_file(Path(arguments.recording), arguments.at)
    if getattr(arguments, "at", None):
        from console.cli.verbs import past

        return past.from_agents(settings, who(), arguments)
    from console.wire.client import Client

    return Client(settings.agents, who(), trust=settings.trust, relay=settings.relay)


def _questions(*, no_input: bool) -> TextIO | None:
    return sys.stdin if sys.stdin.isatty() and not no_input else None


def _in_colour(wanted: str) -> bool:
    """NO_COLOR as no-color.org has it: any value but an empty one."""
    shows = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return wanted == "always" or (wanted == "auto" and shows and not os.environ.get("NO_COLOR"))
