# SPDX-License-Identifier: Apache-2.0
"""`diff ring`: do all nodes place flows alike, and from which slot on not?  Exits as diff(1)."""

from __future__ import annotations

import json
import time
from argparse import Namespace

from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.views import rings
from console.views.items import Item, listing
from console.views.written import now_text
from shared.messages import RingOf

TROUBLE = 2


def diff(session: Session, arguments: Namespace) -> int:
    """Exit 0: equal; 1: some differ; 2: some agent did not answer.  Raises VerbError."""
    if arguments.what == "config":
        from console.cli.verbs import config_diff

        return config_diff.diff(session, arguments)
    if len(arguments.about) > 1 or arguments.file is not None or arguments.disk or arguments.all:
        raise VerbError("diff ring takes one VIP, or none for all; the flags are of diff config")
    vip = arguments.about[0].removeprefix("vip/") if arguments.about else ""
    session.look()
    now = time.monotonic()
    names = dict.fromkeys(row.name for a in session.agents if a.vips for row in a.vips.vips)
    if vip and vip not in names:
        raise VerbError(f"{vip}: no such VIP; there is {', '.join(names)}", Exit.USAGE)
    ask_for_rings(session, now)
    found = [
        (name, row)
        for name in ([vip] if vip else names)
        for row in rings.node_rings(name, session.agents, now, session.store.rings)
    ]
    if arguments.output == "json":
        items = [_item(name, row) for name, row in found]
        wrapped = listing("RingDiff", items, at=now_text(), missing=session.absent())
        session.write(json.dumps(wrapped, indent=2))
    else:
        for each in dict.fromkeys(name for name, _ in found):
            session.write(each)
            session.write(session.table([row for name, row in found if name == each], rings.RINGS))
    return _code(session, [row for _, row in found])


def ask_for_rings(session: Session, now: float) -> None:
    by_vip: dict[str, list[str]] = {}
    for address, vip in rings.wanted(session.agents, now, {}):
        by_vip.setdefault(vip, []).append(address)
    for vip, addresses in by_vip.items():
        actions = dict.fromkeys(addresses, RingOf(vip))
        session.ask(actions, timeout=session.connect_timeout)


def _code(session: Session, found: list[rings.NodeRing]) -> int:
    absent = session.absent()
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
