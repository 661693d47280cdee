# SPDX-License-Identifier: Apache-2.0
"""`reload`, `rollback`, `confirm`: of whole nodes; planned, asked and answered as a drain is."""

from __future__ import annotations

from argparse import Namespace

from console.cli.verbs import carrying
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.model.objects import Object
from console.model.selectors import selector
from console.planning import plan
from console.planning.chosen import chosen
from console.planning.plan import Answered
from console.planning.wish import Order, Wish
from shared.messages import Action, Confirm, Reload, Rollback


def enforce(session: Session, arguments: Namespace) -> int:
    """`reload NODE...`, `rollback NODE [GENERATION]`."""
    session.look()
    return carrying.carry_out(session, wished(session, arguments), arguments)


def wished(session: Session, arguments: Namespace) -> Wish:
    """After a look at the agents.  Raises ObjectError."""
    rollback = arguments.verb == "rollback"
    action: Action = Rollback(arguments.generation) if rollback else Reload()
    names = arguments.object if isinstance(arguments.object, list) else [arguments.object]
    labels = getattr(arguments, "labels", [])
    everywhere = getattr(arguments, "all_nodes", False)
    if bool(labels) + bool(names) + everywhere > 1:
        raise VerbError(f"{arguments.verb}: names of nodes, -l or --all-nodes; one of these")
    if everywhere:
        targets = [Object("node", agent.name) for agent in session.agents]
        return _wish_of(session, arguments.verb, targets, action)
    if labels:
        absent = session.absent()
        targets = chosen(session.agents, selector(labels), ("node",), absent=absent)
        return _wish_of(session, arguments.verb, targets, action)
    if not names:
        raise VerbError(f"{arguments.verb}: of which nodes? NODE..., -l SELECTOR, or --all-nodes")
    return _wish(session, arguments.verb, names, action)


def _wish(session: Session, verb: str, names: list[str], action: Action) -> Wish:
    targets = [objects.parse(name, session.agents, kinds=("node",)) for name in names]
    return _wish_of(session, verb, targets, action)


def _wish_of(session: Session, verb: str, targets: list[Object], action: Action) -> Wish:
    orders = tuple(
        Order(agent.address, agent.name, action)
        for target in targets
        for agent in objects.carriers(target, session.agents)
    )
    said = tuple(map(str, targets))
    number = f" {action.generation}" if isinstance(action, Rollback) and action.generation else ""
    return Wish(
        verb, f"{verb} {', '.join(said)}", said, orders, (f"{verb} {' '.join(said)}{number}",)
    )


def confirm(session: Session, arguments: Namespace) -> int:
    """On every node that answers; what is confirmed is what this operator has pending there."""
    carrying.permit(session, arguments, reason=False)
    there = session.look()
    answers = session.ask(
        dict.fromkeys([agent.address for agent in there], Confirm(arguments.operation)),
        timeout=session.connect_timeout,
        why=arguments.reason,
    )
    answered = session.answered(answers)
    for each in answered:
        session.write(f"  {each.node}: {_said(each)}")
    known = [each.answer for each in answered if each.answer is not None]
    if known and all(answer.status == "unchanged" for answer in known):
        raise VerbError("nothing of yours waits to be confirmed", Exit.FAILED)
    return plan.outcome(answered)


def _said(answered: Answered) -> str:
    if answered.answer is None:
        return "no answer"
    status = answered.answer.status
    return {"applied": "it stays", "unchanged": "nothing pending"}.get(
        status, f"{status}: {answered.answer.error}"
    )
