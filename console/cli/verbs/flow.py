# SPDX-License-Identifier: Apache-2.0
"""`flow`: where a flow goes, on each node, and where it would go after a change.

The agents look into their rings and flow tables; nothing is sent, counted or stored.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from msgspec.structs import asdict, replace

from console.cli.verbs import supposed
from console.cli.verbs.session import Session
from console.cli.verbs.supposed import Change
from console.exits import Exit, VerbError
from console.model.selectors import selector
from console.model.store import Agent
from console.planning import flow_words
from console.views import one_flow, selecting
from console.views.items import listing
from console.views.one_flow import Found
from console.views.written import now_text
from shared.messages import Answer


def flow(session: Session, arguments: Namespace) -> int:
    """Exit 0 when all nodes send it to one real; 1 when they do not, or drop it; 3 when some did
    not answer.  Raises VerbError, so when none of those that are meant does (6)."""
    check(arguments)
    session.look()
    chosen = _chosen(session, arguments)
    if arguments.pcap or arguments.sample:
        from console.cli.verbs import flows  # `random` alone takes 3 ms

        return flows.flows(session, arguments, chosen)
    return _of_one(session, arguments, chosen)


def check(arguments: Namespace) -> None:
    """What does not go together, before any agent is asked.  Raises VerbError."""
    given = arguments.flow
    if arguments.pcap and arguments.sample:
        raise VerbError("--pcap and --sample: one of them")
    if arguments.pcap and given:
        raise VerbError(f"{given[0]}: with --pcap the flows are those of the file")
    if arguments.sample and len(given) != 1:
        raise VerbError("--sample N: of which VIP? vip/NAME, or vip/NAME:PORT")
    if not (arguments.pcap or arguments.sample) and len(given) != 2:
        raise VerbError("flow: which one? ADDRESS:PORT VIP; or --sample N VIP, or --pcap FILE")
    selector(arguments.labels)


def _chosen(session: Session, arguments: Namespace) -> list[Agent]:
    """The nodes that are asked.  Raises VerbError."""
    agents = selecting.nodes(session.agents, arguments.node)
    wanted = selector(arguments.labels)
    return selecting.all_labelled(agents, wanted, session.absent()) if wanted else agents


def _of_one(session: Session, arguments: Namespace, chosen: Sequence[Agent]) -> int:
    wanted = flow_words.flow(session.agents, *arguments.flow)
    change = supposed.change(session, arguments.supposed) if arguments.supposed else None
    question = flow_words.asked_as(wanted)
    there = [agent.address for agent in chosen if agent.address not in session.absent()]
    actions = change.actions if change else {}
    answers = session.ask(
        {a: replace(question, change=actions.get(a)) for a in there},
        timeout=session.connect_timeout,
    )
    answered = [(a.node, a.answer) for a in session.answered(answers) if a.answer]
    asked = {session.store.agents[address].name for address in actions}
    for node, answer in answered:
        _understood(node, answer, changed=node in asked)
    found = [Found(node, answer.flow) for node, answer in answered if answer.flow]
    silent = [agent.address for agent in chosen if answers.get(agent.address) is None]
    if not answered:
        raise VerbError(f"no answer from {', '.join(silent)}", Exit.NO_AGENT)
    if found and not any(each.place.vip for each in found):
        raise VerbError(f"{wanted}: no VIP: each node passes it to its own host")
    said = supposed.guards(session, change) if change else []
    if arguments.output == "json":
        _as_json(session, found, change, said, silent)
    else:
        _show(session, str(wanted), found, change, said)
    if silent:
        session.say(f"remora: no answer from {', '.join(silent)}")
        return Exit.PARTIAL
    return Exit.DONE if one_flow.alike(found) else Exit.FAILED


def _understood(node: str, answer: Answer, *, changed: bool) -> None:
    """Raises VerbError."""
    if answer.flow is None:
        code = Exit.NOT_ALLOWED if answer.guard in ("role", "key") else Exit.FAILED
        raise VerbError(f"{node}: {answer.error or 'cannot say; upgrade its agent'}", code)
    if changed and answer.flow.vip and answer.flow.after is None:
        raise VerbError(f"{node}: cannot say of a change; upgrade its agent", Exit.FAILED)


def _as_json(
    session: Session,
    found: Sequence[Found],
    change: Change | None,
    said: Sequence[str],
    silent: Sequence[str],
) -> None:
    items = [{"node": each.node, **asdict(each.place)} for each in found]
    for item, each in zip(items, found, strict=True):
        after = each.place.after
        item["stored"] = [asdict(entry) for entry in each.place.stored]
        item["after"] = asdict(after) if after else None
        item["effect"] = one_flow.effect(each) if change else None
    wrapped = listing("FlowList", items, at=now_text(), missing=silent)
    if change:
        wrapped |= {"if": list(change.lines), "guards": list(said)}
    session.write(json.dumps(wrapped, indent=2))


def _show(
    session: Session, flow_: str, found: Sequence[Found], change: Change | None, said: Sequence[str]
) -> None:
    vips = dict.fromkeys(each.place.vip or "(passed to the host)" for each in found)
    session.write(f"{flow_}  {', '.join(vips)}")
    session.write(session.table(found, one_flow.NOW))
    if change:
        session.write(f"\nif: {'; '.join(change.lines)}")
        session.write(session.table(found, one_flow.THEN))
        for text in said:
            session.write(f"guards: {text}")
    if any(each.place.quic for each in found):
        session.tell("of QUIC: a packet whose connection id names a real goes there")
