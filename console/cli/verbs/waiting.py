# SPDX-License-Identifier: Apache-2.0
"""`--wait`: looks at the nodes until their telemetry shows what was asked for."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from console.cli.verbs.session import Session
from console.exits import Exit
from console.model import rows
from console.model.objects import Object
from console.model.store import Agent
from console.planning.plan import Answered

STEP = 0.5
"""Seconds between two looks while waiting."""
TIMEOUT = 60.0


def wait(
    session: Session, targets: list[Object], done: list[Answered], arguments: Namespace
) -> int | None:
    """Looks until the nodes' telemetry shows it; exit 5 when the time is over first."""
    started = time.monotonic()
    addresses = [a.address for a in done if a.answer is not None]
    named = ", ".join(map(str, targets))
    told = ""
    while time.monotonic() - started < (arguments.timeout or TIMEOUT):
        session.look()
        agents = [session.store.agents[address] for address in addresses]
        flows = sum(_flows_left(target, agents) for target in targets)
        if arguments.wait == "applied" or flows == 0:
            session.say(f"{named}: {flows} live flows, after {time.monotonic() - started:.0f} s")
            return None
        news = f"{named}: {flows} live flows{_outlook(targets, agents)}"
        if news != told:
            session.say(news)
        told = news
        session.client.wait(STEP)
    session.say(
        f"remora: {named}: still {flows} live flows when the time was over; "
        f"the change stands, look again with: remora get real"
    )
    return Exit.TIMED_OUT


def _outlook(targets: Sequence[Object], agents: list[Agent]) -> str:
    """How it goes: the step of a node or VIP, the slowest node's estimate of a real."""
    said = []
    for target in targets:
        if target.kind == "node":
            said += [f"{a.name} {a.node.phase}" for a in agents if a.node and a.node.phase]
        elif target.kind == "vip":
            vips = [(a.name, v) for a in agents if a.vips for v in a.vips.vips]
            said += [f"{n} {v.phase}" for n, v in vips if v.name == target.name and v.phase]
        else:
            found = [r.emptying for a in agents if a.reals for r in a.reals.reals
                     if r.address == target.name and target.vip in ("", r.vip)]  # fmt: skip
            left = [e.left for e in found if e]
            if left and min(left) >= 0:
                said.append(f"empty in about {max(left):.0f} s")
            elif left:
                said.append("no estimate yet")
    return f" ({', '.join(said)})" if said else ""


def _flows_left(target: Object, agents: list[Agent]) -> int:
    if target.kind == "node":
        return sum(a.node.live_flows for a in agents if a.node)
    if target.kind == "vip":
        found = rows.reals(agents, time.monotonic(), vip=target.name)
        return int(sum(r.live_flows.value or 0 for r in found))
    found = rows.reals(agents, time.monotonic(), vip=target.vip)
    return int(sum(r.live_flows.value or 0 for r in found if r.address == target.name))
