# SPDX-License-Identifier: Apache-2.0
"""`doctor`: can this console talk to every agent, which version is it, do the clocks agree?"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from typing import NamedTuple

from console.cli.verbs.session import Session
from console.exits import Exit
from console.model.store import Agent, Liveness
from console.views.written import items_as, now_text
from shared.messages import Look, NodeSnapshot

SKEW = 2.0
"""Seconds between two clocks past which commands and `--at` begin to suffer."""


class Finding(NamedTuple):
    good: bool
    subject: str
    said: str


def doctor(session: Session, arguments: Namespace) -> int:
    """Exit 0 when nothing is found.  Never raises for an agent that is away: that is a finding."""
    found = [_terminal(), *_agents(session)]
    if arguments.output == "json":
        items = [finding._asdict() for finding in found]
        missing = session.absent()
        session.write(items_as(items, "json", kind="Doctor", missing=missing, at=now_text()))
    else:
        for good, subject, said in found:
            mark = session.paint("ok  ", "ok") if good else session.paint("BAD ", "bad")
            session.write(f"{mark} {subject}: {said}")
    return Exit.DONE if all(finding.good for finding in found) else Exit.FAILED


def _terminal() -> Finding:
    term = os.environ.get("TERM", "")
    if term in ("", "dumb"):
        return Finding(False, "terminal", f"TERM is {term or 'not set'}: no console, verbs only")
    return Finding(True, "terminal", f"TERM is {term}")


def _agents(session: Session) -> list[Finding]:
    sent, wall = time.monotonic(), time.time()
    timeout = session.connect_timeout
    ids = {session.client.send(a, Look(), timeout=timeout): a for a in session.store.agents}
    took: dict[str, float] = {}
    found: dict[str, Finding] = {}
    while len(found) < len(ids):
        inbox = session.client.wait(timeout)
        session.take(inbox)
        for reply in inbox.replies:
            if address := ids.get(reply.id):
                agent = session.store.agents[address]
                took[address] = reply.at - sent
                error = reply.answer.error if reply.answer else None
                found[address] = _of(agent, took[address], wall, error, silent=not reply.answer)
    return [found[address] for address in session.store.agents]


def _of(agent: Agent, took: float, wall: float, error: str | None, *, silent: bool) -> Finding:
    if agent.absence is Liveness.DENIED:
        return Finding(False, agent.address, "this console's key is not in its authorised keys")
    if agent.wire_errors:
        return Finding(False, agent.address, "speaks another wire version; upgrade the older side")
    if silent or agent.node is None:
        why = error or "no answer: is it running, may you read its sockets, is the port open?"
        return Finding(False, agent.address, why)
    return _answered(agent, agent.node, took, wall)


def _answered(agent: Agent, node: NodeSnapshot, took: float, wall: float) -> Finding:
    skew = node.wall - (wall + took / 2)
    said = f"{agent.name} {node.version}, answered in {took * 1000:.0f} ms, clock {skew:+z.1f} s"
    if abs(skew) > SKEW + took:
        return Finding(False, agent.address, f"{said}: set the clocks (NTP)")
    return Finding(True, agent.address, said)
