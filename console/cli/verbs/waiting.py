# SPDX-License-Identifier: Apache-2.0
"""`--wait=drained`: looks until the nodes' telemetry shows it.

A real is drained when no live flow is left on it.  A node, or a VIP on it, is drained when its
agent says so: the route is away and nothing comes any more.  Flows that its table still counts then
live on at the nodes that the routers moved them to.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import NamedTuple

from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.objects import Object
from console.model.states import may_have_more
from console.model.store import Agent
from shared.messages import RealRow

STEP = 0.5
"""Seconds between two looks."""
TIMEOUT = 1800.0


EMPTIES = ("drain", "maint")


def check(verb: str, until: str) -> None:
    """Raises VerbError for a wait that would never end."""
    if until not in ("applied", "verified") and verb not in EMPTIES:
        raise VerbError(f"--wait={until}: {verb} empties nothing; wait for applied or verified")


class Progress(NamedTuple):
    """How far the drain of one object is."""

    done: bool
    said: str


def wait(
    session: Session, targets: Sequence[Object], addresses: Sequence[str], arguments: Namespace
) -> int | None:
    """None when it is so on all the agents at `addresses`; exit 5 when the time is over first, 130
    when the operator stops waiting: the change stands either way."""
    try:
        return _wait(session, targets, addresses, arguments)
    except KeyboardInterrupt:
        session.say(
            "remora: no longer waiting; the change stands, look again with: "
            f"remora get {_all(targets)}"
        )
        return Exit.INTERRUPTED


def _wait(
    session: Session, targets: Sequence[Object], addresses: Sequence[str], arguments: Namespace
) -> int | None:
    started = time.monotonic()
    named = ", ".join(map(str, targets))
    told = ""
    quiet = int(arguments.wait.partition(":")[2] or 0)
    limit = TIMEOUT if arguments.timeout is None else arguments.timeout
    while not told or time.monotonic() - started < limit:
        session.look()
        agents = [session.store.agents[address] for address in addresses]
        reached = [progress(target, agents, quiet) for target in targets]
        told, before = ", ".join(p.said for p in reached), told
        if all(p.done for p in reached):
            session.tell(f"{named}: {told}, after {time.monotonic() - started:.0f} s")
            return None
        if told != before:
            session.tell(f"{named}: {told}")
        session.client.wait(STEP)
    session.say(
        f"remora: {named}: {told or 'no look'} when the time was over; "
        f"the change stands, look again with: remora get {_all(targets)}"
    )
    return Exit.TIMED_OUT


def _all(targets: Sequence[Object]) -> str:
    """Words of `get` that list them; it lists one kind at a time."""
    first = targets[0]
    return " ".join(str(target) for target in targets if target.kind == first.kind)


def progress(target: Object, agents: Sequence[Agent], quiet: int = 0) -> Progress:
    """What is not known is not done.  `quiet`: live flows that may be left on a real."""
    if target.kind == "real":
        return _of_real(target, agents, quiet)
    phases = [_phase(target, agent) for agent in agents]
    at = ", ".join(f"{a.name} {p or '?'}" for a, p in zip(agents, phases, strict=True) if p != "")
    return Progress(all(p == "drained" for p in phases), at or "in service")


def _phase(target: Object, agent: Agent) -> str | None:
    """The step of the node's or the VIP's drain there, "" without one; None: not known."""
    if target.kind == "node":
        return agent.node.phase if agent.node else None
    rows = agent.vips.vips if agent.vips else ()
    return next((row.phase for row in rows if row.name == target.name), None)


def _of_real(target: Object, agents: Sequence[Agent], quiet: int) -> Progress:
    unknown = [agent.name for agent in agents if agent.reals is None]
    found = [
        (agent.reals.at, row)
        for agent in agents
        if agent.reals
        for row in agent.reals.reals
        if row.address == target.name and target.vip in ("", row.vip)
    ]
    rows = [row for _, row in found]
    flows = sum(row.live_flows for row in rows)
    missing = f" and ? on {', '.join(unknown)}" if unknown else ""
    unheard = any(map(may_have_more, rows))
    why = _unheard(found) if unheard else ""
    said = f"{flows} live flows{missing}"
    if flows or unheard:
        said += why if why and not flows else _estimate(rows) + why
    return Progress(flows <= quiet and not unknown and not unheard, said)


def _unheard(found: Sequence[tuple[float, RealRow]]) -> str:
    """Why none counted is not none left, by the node that says so for longest."""
    drains = [
        (row.emptying.unknown_until - at, row.emptying.unknown_why)
        for at, row in found
        if row.emptying
    ]
    seconds, why = max(drains, default=(0.0, ""))
    return f"; flows may be unknown for {seconds:.0f} s more: {why}" if seconds > 0 else ""


def _estimate(rows: Sequence[RealRow]) -> str:
    """The slowest node's, and how alive those are that last."""
    found = [row.emptying for row in rows if row.emptying]
    if not found:
        return ""
    left = [each.left for each in found]
    said = f"empty in about {max(left):.0f} s" if min(left) >= 0 else "no estimate yet"
    if lasting := [each for each in found if each.silent >= 0]:
        heard, silent = min(e.heard for e in lasting), max(e.silent for e in lasting)
        said += f"; heard of {heard:.0f} s ago, the quietest {silent:.0f} s ago"
    return f" ({said})"
