# SPDX-License-Identifier: Apache-2.0
"""`flow --sample N VIP` and `flow --pcap FILE`: where many flows go, on each node."""

from __future__ import annotations

import json
import random
from argparse import Namespace
from collections.abc import Sequence

from console import format as fmt
from console.cli.verbs import supposed
from console.cli.verbs.session import Session
from console.cli.verbs.supposed import Change
from console.exits import Exit, VerbError
from console.model.store import Agent
from console.planning import flow_words
from console.views import flow_places
from console.views.flow_places import CHANGED, COUNTS, SHARES, THEN, Summary, Told
from console.views.items import listing
from console.views.written import now_text
from console.wire.captures import Asked, of_capture
from shared.flows import Flow, chunks
from shared.messages import Answer, FlowPlaces, FlowsOf

MOST = 100_000
"""Flows at a time."""
PART = 48 * 1024
"""Bytes of flows in one question: agents take 64 KiB from operators."""
PATIENCE = 10.0
"""Seconds for a part: a busy agent does other things first."""


def flows(session: Session, arguments: Namespace, chosen: Sequence[Agent]) -> int:
    """Exit 0 when all nodes place them alike and drop none, 1 when not, 3 when some did not answer.
    Raises VerbError."""
    change = supposed.change(session, arguments.supposed) if arguments.supposed else None
    if arguments.pcap:
        asked = of_capture(arguments.pcap, MOST)
    else:
        asked = by_chance(session.agents, arguments.flow[0], arguments.sample)
    told = _told(session, asked.flows, chosen, change)
    silent = [agent.address for agent in chosen if agent.name not in {t.node for t in told}]
    if not told:
        raise VerbError(
            f"no answer from {', '.join(silent)} about many flows: too old an agent, or too busy",
            Exit.NO_AGENT,
        )
    found = flow_places.summary(told)
    if not any(count.flows for count in found.counts):
        raise VerbError(f"{asked.what}: none is to a VIP of these nodes")
    said = supposed.guards(session, change) if change else []
    if arguments.output == "json":
        made = flow_places.items(found, supposed=change is not None)
        wrapped = listing("FlowCountList", made, at=now_text(), missing=silent)
        about = {"of": asked.what, "flows": found.flows, "not_to_a_vip": found.strange,
                 "if": list(change.lines) if change else None,
                 "guards": said if change else None}  # fmt: skip
        session.write(json.dumps({**wrapped, **about}, indent=2))
    else:
        _show(session, asked.what, found, change, said)
    if silent:
        session.say(f"remora: no answer from {', '.join(silent)}: too old to say, or too busy")
        return Exit.PARTIAL
    return Exit.DONE if all(count.good for count in found.counts) else Exit.FAILED


def _told(
    session: Session, wanted: Sequence[Flow], chosen: Sequence[Agent], change: Change | None
) -> list[Told]:
    """What the nodes say that say it of all flows.  Raises VerbError when one refuses."""
    absent = session.absent()
    asked = {a.address: change.actions.get(a.address) if change else None for a in chosen
             if a.address not in absent}  # fmt: skip
    parts: dict[str, list[FlowPlaces]] = {address: [] for address in asked}
    for part in chunks(wanted, PART):
        questions = {a: FlowsOf(part, action) for a, action in asked.items() if a in parts}
        for address, answer in session.ask(questions, timeout=PATIENCE).items():
            if answer is None:
                del parts[address]
            else:
                parts[address].append(_places(answer))
    names = {agent.address: agent.name for agent in chosen}
    return [flow_places.told(names[address], of) for address, of in parts.items()]


def _places(answer: Answer) -> FlowPlaces:
    """Raises VerbError."""
    if answer.flows is None:
        code = Exit.NOT_ALLOWED if answer.guard in ("role", "key") else Exit.FAILED
        raise VerbError(f"{answer.node}: {answer.error or 'cannot say; upgrade its agent'}", code)
    return answer.flows


def _show(
    session: Session, what: str, found: Summary, change: Change | None, said: Sequence[str]
) -> None:
    session.write(what + (f"  if: {'; '.join(change.lines)}" if change else ""))
    if found.strange:
        session.write(f"{fmt.count(found.strange)} of them are to no VIP: passed to the host")
    changed = change is not None
    session.write(session.table(found.shares, [*SHARES, *(THEN if changed else ())]))
    session.write("")
    session.write(session.table(found.counts, [*COUNTS, *(CHANGED if changed else ())]))
    for text in said:
        session.write(f"guards: {text}")


def by_chance(agents: Sequence[Agent], name: str, count: int) -> Asked:
    """From anywhere to the VIP.  Raises VerbError."""
    row, port = flow_words.vip_of(agents, name)
    found = flow_words.by_chance(row, port, count, random.Random())
    return Asked(f"{fmt.count(count)} flows by chance to vip/{row.name}", found)
