# SPDX-License-Identifier: Apache-2.0
"""What a plan says and what became of it, node by node: as text, or as one JSON object."""

from __future__ import annotations

import json
from argparse import Namespace

from console.cli.verbs.session import Session
from console.planning import plan
from console.planning.plan import Answered
from console.planning.wish import Wish
from console.views.items import Item, listing
from console.views.written import now_text


def show(session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace) -> None:
    heading = f"plan: {wanted.lines[0]}"
    text = "\n".join([heading, *(f"  {label:<11} {line}" for label, line in plan.lines(planned))])
    if arguments.output == "json":
        session.say(text)
    else:
        session.write(text)


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
    session.write(f"applied {good}/{len(done)}{_undone_by(done, operation)}")


def _undone_by(done: list[Answered], operation: str) -> str:
    applied = any(a.answer is not None and a.answer.status == "applied" for a in done)
    return f"   undo: remora undo {operation}" if operation and applied else ""


def _of_config(arguments: Namespace) -> bool:
    return arguments.verb in ("reload", "rollback")


def as_json(session: Session, answers: list[Answered], arguments: Namespace) -> None:
    if arguments.output != "json":
        return
    silent = [a.address for a in answers if a.answer is None]
    found = [item(answered) for answered in answers]
    session.write(json.dumps(listing("ChangeList", found, at=now_text(), missing=silent), indent=2))


def item(answered: Answered) -> Item:
    answer = answered.answer
    return {
        "node": answered.node,
        "address": answered.address,
        "result": answer.status if answer else "no answer",
        "revision": answer.revision if answer else None,
        "guard": (answer.guard or None) if answer else None,
        "error": (answer.error or None) if answer else None,
        "changes": [
            {field: getattr(change, field) for field in change.__struct_fields__}
            for change in (answer.changes if answer else ())
        ],
    }
