# SPDX-License-Identifier: Apache-2.0
"""`drain`, `undrain`, `maint`, `weight`: plan, show, ask, apply, tell.

The agents plan and guard (K2).  The command carries the revision that the plan was made at, so that
what was shown is what happens or nothing does (exit 7).
"""

from __future__ import annotations

import json
import uuid
from argparse import Namespace
from collections.abc import Sequence
from typing import TypedDict

from msgspec.structs import replace

from console.cli.verbs import waiting
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.model.objects import Object
from console.planning import plan
from console.planning.plan import Answered
from console.planning.wish import Target, Wish, wish
from console.views.items import listing
from console.views.written import now_text
from console.wire.client import ANSWER_TIMEOUT
from shared.messages import Action, Batch, Drain


class Conditions(TypedDict):
    """What a command says besides its action."""

    allow: tuple[str, ...]
    expires: float
    confirm: float


def change(session: Session, arguments: Namespace) -> int:
    """Exit codes as in `plan.Exit`.  Raises VerbError and ObjectError."""
    weight = getattr(arguments, "weight", 0)
    if arguments.verb == "weight" and weight == 0:
        given = " ".join(arguments.object)
        raise VerbError(f"weight 0 is a drain: remora drain {given}", Exit.USAGE)
    session.look()
    targets = [
        objects.parse(text, session.agents, kinds=("real", "vip", "node"))
        for text in arguments.object
    ]
    wanted = wish(arguments.verb, [_target(session, t, arguments.node) for t in targets], weight)
    if getattr(arguments, "deadline", None):
        orders = tuple(o._replace(action=_by(o.action, arguments)) for o in wanted.orders)
        wanted = wanted._replace(orders=orders)
    return carry_out(session, wanted, arguments, targets)


def carry_out(
    session: Session, wanted: Wish, arguments: Namespace, targets: Sequence[Object] = ()
) -> int:
    """Plan, show, ask, apply, tell; then wait for the targets if that was asked for."""
    planned = _planned(session, wanted, arguments)
    _show(session, wanted, planned, arguments)
    code, done = _verdict(session, wanted, planned, arguments), planned
    if code is None:
        done = _apply(session, wanted, planned, arguments)
        _report(session, planned, done, arguments)
        code = plan.outcome(done)
    # What is already so is waited for too: the same words again go on with the wait.
    waits = targets and arguments.wait and not arguments.dry_run
    if waits and code in (Exit.DONE, Exit.PARTIAL):
        reached = [a.address for a in done if a.answer is not None]
        return waiting.wait(session, targets, reached, arguments) or code
    return code


def _by(action: Action, arguments: Namespace) -> Action:
    """The drains of reals with their deadline."""
    match action:
        case Drain() if action.real:
            return replace(action, deadline=arguments.deadline, then=arguments.then)
        case Batch(actions):
            return Batch(tuple(_by(each, arguments) for each in actions))  # type: ignore[misc]
    raise VerbError("--deadline is of reals; nodes and VIPs have the one of their config")


def _target(session: Session, target: Object, names: list[str]) -> Target:
    """The agents that carry it, and those of which nobody knows."""
    known = {agent.name for agent in session.agents}
    unknown = sorted(set(names) - known)
    if unknown:
        raise VerbError(
            f"--node {unknown[0]}: no such node; there is {', '.join(sorted(known))}", Exit.USAGE
        )
    absent = session.absent()
    silent = [a for a in session.agents if a.address in absent and target.kind != "node"]
    carriers = [a for a in objects.carriers(target, session.agents) if a not in silent]
    chosen = [a for a in carriers + silent if not names or a.name in names]
    if not [a for a in chosen if a.address not in absent]:
        raise VerbError(f"{target}: no node that answers carries it", Exit.USAGE)
    agents = tuple((agent.address, agent.name) for agent in chosen)
    return Target(target.kind, target.name, target.vip, agents, 0)


def _planned(session: Session, wanted: Wish, arguments: Namespace) -> list[Answered]:
    """One action per node: several objects are one change there, planned and guarded as such."""
    absent = session.absent()
    answers = session.ask(
        {o.address: o.action for o in wanted.orders if o.address not in absent},
        timeout=session.connect_timeout,
        dry_run=True,
        why=arguments.reason,
        expect_revision=arguments.expect_revision,
        **_conditions(arguments),
    )
    silent = {o.address: None for o in wanted.orders if o.address in absent}
    return session.answered({**answers, **silent})


def _conditions(arguments: Namespace) -> Conditions:
    return {
        "allow": tuple(arguments.allow),
        "expires": getattr(arguments, "expires", None) or 0.0,
        "confirm": getattr(arguments, "confirm", None) or 0.0,
    }


def _show(session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace) -> None:
    heading = f"plan: {wanted.lines[0]}"
    text = "\n".join([heading, *(f"  {label:<11} {line}" for label, line in plan.lines(planned))])
    if arguments.output == "json":
        session.say(text)
    else:
        session.write(text)


def _verdict(
    session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace
) -> int | None:
    """An exit code when there is nothing (more) to do."""
    if plan.refused(planned):
        code = plan.outcome([a for a in planned if a.answer and a.answer.status != "planned"])
        _answer_json(session, planned, arguments)
        session.say(f"remora: refused, nothing was changed: {_first_refusal(planned)}")
        return Exit.REFUSED if code in (Exit.DONE, Exit.PARTIAL) else code
    if not plan.to_do(planned):
        _answer_json(session, planned, arguments)
        nobody = all(a.answer is None for a in planned)
        if nobody:
            session.say("remora: no agent answered the plan")
            return Exit.NO_AGENT
        session.say(f"{', '.join(wanted.objects)}: {_already(arguments)}")
        return Exit.DONE if all(a.answer for a in planned) else Exit.PARTIAL
    if arguments.dry_run:
        _answer_json(session, planned, arguments)
        return Exit.DONE
    if not arguments.yes:
        _confirm(session, wanted, planned)
    return None


def _first_refusal(planned: list[Answered]) -> str:
    for answered in planned:
        answer = answered.answer
        if answer is not None and answer.status in ("refused", "failed"):
            return f"{answered.node}: {answer.guard or answer.status}: {answer.error}"
    return ""


def _already(arguments: Namespace) -> str:
    match arguments.verb:
        case "drain":
            return "already drained"
        case "undrain":
            return "already in service"
        case "maint":
            return "already disabled"
        case "weight":
            return f"already has weight {arguments.weight}"
    return "already so"


def _confirm(session: Session, wish: Wish, planned: list[Answered]) -> None:
    """Asks in proportion: more than 2 % of a ring, or a node, wants the name typed; several
    objects their number."""
    if session.questions is None:
        raise VerbError(
            "nobody is there to ask: give --yes to go ahead, or --dry-run to look only", Exit.USAGE
        )
    wanted = wish.confirm if plan.wants_typing(wish, planned) else "y"
    prompt = f"type {wanted} to go on: " if wanted != "y" else "go on? [y/N] "
    session.err.write(prompt)
    session.err.flush()
    given = session.questions.readline().strip()
    if given != wanted and not (wanted == "y" and given.lower() in ("y", "yes")):
        raise VerbError(f"{wish.lines[0]}: not confirmed, nothing was sent", Exit.USAGE)


def _apply(
    session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace
) -> list[Answered]:
    """Sends the command where the plan changes something; each node expects its plan's revision."""
    revisions = plan.revisions(planned)
    operation = uuid.uuid4().hex[:12]
    actions = {order.address: order.action for order in wanted.orders}
    pending = {
        session.client.send(
            answered.address,
            actions[answered.address],
            why=arguments.reason,
            expect_revision=revisions[answered.address],
            operation=operation,
            timeout=ANSWER_TIMEOUT,
            **_conditions(arguments),
        ): answered
        for answered in plan.to_do(planned)
    }
    done = [a for a in planned if a not in pending.values()]
    while pending:
        inbox = session.client.wait(ANSWER_TIMEOUT)
        session.take(inbox)
        for reply in inbox.replies:
            answered = pending.pop(reply.id, None)
            if answered is not None:
                done.append(answered._replace(answer=reply.answer))
    order = [answered.address for answered in planned]
    return sorted(done, key=lambda answered: order.index(answered.address))


def _report(
    session: Session, planned: list[Answered], done: list[Answered], arguments: Namespace
) -> None:
    if arguments.output == "json":
        _answer_json(session, done, arguments)
        return
    asked = {a.address for a in plan.to_do(planned)}
    for address, node, answer in done:
        if answer is None:
            why = "no answer; it may still take effect: look again" if address in asked else ""
            session.say(f"  {node}: {why or 'no answer, nothing was sent'}")
        elif answer.status == "applied":
            number = f", generation {answer.generation}" if _of_config(arguments) else ""
            session.write(f"  {node}: applied, revision {answer.revision}{number}")
            if answer.note:
                session.say(f"  {node}: {answer.note}")
        elif answer.status == "unchanged":
            session.write(f"  {node}: already so")
        else:
            session.say(f"  {node}: {answer.status}: {answer.guard} {answer.error}".rstrip())
    good = sum(a.answer is not None and a.answer.status in ("applied", "unchanged") for a in done)
    session.write(f"applied {good}/{len(done)}")


def _of_config(arguments: Namespace) -> bool:
    return arguments.verb in ("reload", "rollback")


def _answer_json(session: Session, answers: list[Answered], arguments: Namespace) -> None:
    if arguments.output != "json":
        return
    silent = [a.address for a in answers if a.answer is None]
    found = [
        {
            "node": a.node,
            "address": a.address,
            "result": a.answer.status if a.answer else "no answer",
            "revision": a.answer.revision if a.answer else None,
            "guard": (a.answer.guard or None) if a.answer else None,
            "error": (a.answer.error or None) if a.answer else None,
            "changes": [
                {field: getattr(c, field) for field in c.__struct_fields__}
                for c in (a.answer.changes if a.answer else ())
            ],
        }
        for a in answers
    ]
    session.write(json.dumps(listing("ChangeList", found, at=now_text(), missing=silent), indent=2))
