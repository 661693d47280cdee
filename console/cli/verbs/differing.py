# SPDX-License-Identifier: Apache-2.0
"""`diff ring`: do all nodes place flows alike, and from which slot on not?  Exits as diff(1)."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Sequence

from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.model.store import Agent
from console.views import rings
from console.views.items import Item, listing
from console.views.written import now_text
from shared.messages import RingOf

TROUBLE = 2


def diff(session: Session, arguments: Namespace) -> int:
    """Exit 0: equal; 1: some differ; 2: some agent did not answer.  Raises VerbError."""
    if arguments.what not in ("ring", "config"):
        arguments.what, arguments.about = "ring", [arguments.what, *arguments.about]
    if arguments.what == "config":
        from console.cli.verbs import config_diff

        return config_diff.diff(session, arguments)
    if arguments.file is not None or arguments.disk or arguments.all:
        raise VerbError("diff ring compares nodes; --file, --disk and --all are of diff config")
    session.look()
    now = time.monotonic()
    vips, agents = _about(session, arguments.about)
    ask_for_rings(session, now)
    found = [
        (name, row)
        for name in vips
        for row in rings.node_rings(name, agents, now, session.store.rings)
    ]
    if arguments.output == "json":
        items = [_item(name, row) for name, row in found]
        wrapped = listing("RingDiff", items, at=now_text(), missing=_absent(session, agents))
        session.write(json.dumps(wrapped, indent=2))
    else:
        for each in dict.fromkeys(name for name, _ in found):
            session.write(each)
            session.write(session.table([row for name, row in found if name == each], rings.RINGS))
    return _code(session, [row for _, row in found], agents)


def _about(session: Session, words: Sequence[str]) -> tuple[list[str], list[Agent]]:
    """(names of VIPs, agents) that are meant; without any of a kind all of it."""
    all_ = session.agents
    named = [objects.parse(word, all_, kinds=("vip", "node")) for word in words]
    known = dict.fromkeys(row.name for a in all_ if a.vips for row in a.vips.vips)
    vips = [target.name for target in named if target.kind == "vip"]
    nodes = {target.name for target in named if target.kind == "node"}
    agents = [agent for agent in all_ if not nodes or agent.name in nodes]
    if nodes and len(agents) < 2:
        raise VerbError(f"{agents[0].name}: one node has none to differ from; name another")
    return vips or list(known), agents


def _absent(session: Session, agents: Sequence[Agent]) -> list[str]:
    absent = session.absent()
    return [agent.address for agent in agents if agent.address in absent]


def ask_for_rings(session: Session, now: float) -> None:
    by_vip: dict[str, list[str]] = {}
    for address, vip in rings.wanted(session.agents, now, {}):
        by_vip.setdefault(vip, []).append(address)
    for vip, addresses in by_vip.items():
        actions = dict.fromkeys(addresses, RingOf(vip))
        session.ask(actions, timeout=session.connect_timeout)


def _code(session: Session, found: list[rings.NodeRing], agents: Sequence[Agent]) -> int:
    absent = _absent(session, agents)
    if absent:
        session.say(f"remora: no answer from {', '.join(absent)}: not compared")
        return TROUBLE
    if old := sorted({row.node for row in found if row.state is rings.OLD}):
        session.say(f"remora: {', '.join(old)}: its rings are not live: not compared")
        return TROUBLE
    return Exit.FAILED if any(row.state is rings.DIFFERS for row in found) else Exit.DONE


def _item(vip: str, row: rings.NodeRing) -> Item:
    found = row.difference
    return {
        "vip": vip,
        "node": row.node,
        "equal": row.state is rings.EQUAL,
        "digest": row.digest,
        "slots_differing": found.slots if found else (0 if row.state is rings.EQUAL else None),
        "first_slot": found.first if found else None,
        "here": found.here if found else None,
        "elsewhere": found.there if found else None,
    }
