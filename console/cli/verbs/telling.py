# SPDX-License-Identifier: Apache-2.0
"""What a plan says and what became of it, node by node: as text, or as one JSON object."""

from __future__ import annotations

import json
from argparse import Namespace

import msgspec

from console.cli.verbs.session import Session
from console.exits import Exit
from console.planning import plan
from console.planning.plan import Answered
from console.planning.wish import Wish
from console.views.items import Item, listing
from console.views.written import now_text
from shared.messages import Action, Answer, Batch


def show(session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace) -> None:
    if planned and len(plan.done_before(planned)) == len(planned):
        return  # nothing is planned: what became of it then is said instead
    headings = [f"plan: {line}" for line in wanted.lines]
    if getattr(arguments, "labels", None):
        count = len(wanted.objects)
        said = f"{count} object{'' if count == 1 else 's'}: {', '.join(arguments.labels)}"
        headings.append(f"  {'selected':<11} {said}")
    lines = [*wanted.known, *plan.lines(planned)]
    text = "\n".join([*headings, *(f"  {label:<11} {line}" for label, line in lines)])
    if arguments.output == "json":
        session.tell(text)
    else:
        session.write(text)


def unasked(session: Session, wanted: Wish, arguments: Namespace) -> int:
    """What would be sent to which node, of what is known here: none was asked.  Exit 3 when some of
    them do not answer."""
    absent = session.absent()
    silent = [order.address for order in wanted.orders if order.address in absent]
    if arguments.output == "json":
        made = [
            {"node": o.node, "address": o.address, "result": "no answer" if o.address in silent else
             "not asked", "action": msgspec.to_builtins(o.action)} for o in wanted.orders
        ]  # fmt: skip
        session.write(json.dumps(listing("OrderList", made, at=now_text(), missing=silent),
                                 indent=2))  # fmt: skip
    else:
        session.write("\n".join(f"would be sent: {line}" for line in wanted.lines))
        for order in wanted.orders:
            left_out = "no answer: left out" if order.address in silent else ""
            session.write(f"  {order.node}: {left_out or _counted(order.action)}")
        session.tell("no node was asked; --dry-run shows their plans, and what guards say")
    return Exit.PARTIAL if silent else Exit.DONE


def _counted(action: Action) -> str:
    several = len(action.actions) if isinstance(action, Batch) else 1
    return "1 change" if several == 1 else f"{several} changes as one"


def report(
    session: Session,
    planned: list[Answered],
    done: list[Answered],
    arguments: Namespace,
    operation: str = "",
) -> None:
    """`operation`: by what name it can be taken back; empty where it cannot."""
    if arguments.output == "json":
        as_json(session, done, arguments)
        return
    asked = {a.address for a in plan.to_do(planned)}
    for address, node, answer in done:
        if answer is None:
            why = "no answer; it may still take effect: look again" if address in asked else ""
            session.say(f"  {node}: {why or 'no answer, nothing was sent'}")
        elif answer.more:
            session.say(f"  {node}: {plan.step(answer)}; its next step was not seen: look again")
        elif plan.in_force(answer):
            number = f", generation {answer.generation}" if _of_config(arguments) else ""
            session.write(f"  {node}: {_way(answer)}{number}")
            if answer.note:
                session.say(f"  {node}: {answer.note}")
        else:
            session.say(f"  {node}: {answer.status}: {answer.guard} {answer.error}".rstrip())
    good = sum(plan.in_force(a.answer) for a in done)
    verified = sum(a.answer is not None and a.answer.status == "verified" for a in done)
    steps = f"applied {good}/{len(done)}" + (f", verified {verified}" if verified else "")
    session.write(f"{steps}{_undone_by(done, operation)}")


def step(session: Session, answered: Answered) -> None:
    """Progress: for somebody who looks on."""
    if answered.answer is not None and session.err.isatty():
        session.tell(f"  {answered.node}: {plan.step(answered.answer)}")


def _way(answer: Answer) -> str:
    """The steps that a command went through; an older agent answers once."""
    before = {"verified": "accepted -> applied -> "}
    return before.get(answer.status, "") + plan.step(answer)


def _undone_by(done: list[Answered], operation: str) -> str:
    return f"   undo: remora undo {operation}" if operation and any(map(_changed, done)) else ""


def _changed(answered: Answered) -> bool:
    answer = answered.answer
    return answer is not None and answer.status in ("applied", "verified", "unverified")


def _of_config(arguments: Namespace) -> bool:
    return arguments.verb in ("reload", "rollback")


def as_json(session: Session, answers: list[Answered], arguments: Namespace) -> None:
    if arguments.output != "json":
        return
    silent = [a.address for a in answers if a.answer is None]
    found = [item(answered) for answered in answers]
    session.write(json.dumps(listing("ChangeList", found, at=now_text(), missing=silent), indent=2))


def _result(answer: Answer | None) -> str:
    """What was done; whether it was read back is said beside it."""
    if answer is None:
        return "no answer"
    return "applied" if answer.status in ("verified", "unverified") else answer.status


def _verified(answer: Answer | None) -> bool | None:
    """None: nobody looked, or the word of it did not come."""
    status = answer.status if answer else ""
    return {"verified": True, "unverified": False}.get(status)


def item(answered: Answered) -> Item:
    answer = answered.answer
    return {
        "node": answered.node,
        "address": answered.address,
        "result": _result(answer),
        "verified": _verified(answer),
        "revision": answer.revision if answer else None,
        "guard": (answer.guard or None) if answer else None,
        "error": (answer.error or None) if answer else None,
        "changes": [
            {field: getattr(change, field) for field in change.__struct_fields__}
            for change in (answer.changes if answer else ())
        ],
    }
