# SPDX-License-Identifier: Apache-2.0
"""A wish carried out: plan, show, ask, apply, tell, wait.

The agents plan and guard (K2).  The command carries the revision that the plan was made at, so that
what was shown is what happens or nothing does (exit 7).
"""

from __future__ import annotations

import hashlib
import time
import uuid
from argparse import Namespace
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from msgspec.structs import replace

from console.cli.verbs import rolling, telling, waiting
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.objects import Object
from console.planning import plan
from console.planning.asking import Terms
from console.planning.plan import Answered
from console.planning.rollout import Start
from console.planning.spread import completed
from console.planning.staging import Staging
from console.planning.wish import Wish
from console.wire.client import ANSWER_TIMEOUT
from shared.messages import Answer


class Part(NamedTuple):
    """Of an operation that is there already."""

    name: str = ""
    how: Staging | None = None
    go_on: bool = False
    others: tuple[str, ...] = ()
    """Addresses of its nodes that are not in it."""


ALL = Part()


class Conditions(TypedDict):
    """What a command says besides its action."""

    allow: tuple[str, ...]
    expires: float
    confirm: float
    idempotency_key: str


def carry_out(
    session: Session,
    wanted: Wish,
    arguments: Namespace,
    targets: Sequence[Object] = (),
    *,
    planned: list[Answered] | None = None,
    part: Part = ALL,
) -> int:
    """Plan (or take the one that was `planned`), show, ask, apply, tell; then wait for the targets
    if that was asked for.  `part`: of which operation it is.  Raises VerbError."""
    permit(session, arguments)
    wanted = completed(wanted, session.agents, time.monotonic())
    how = part.how or rolling.how(arguments)
    if arguments.dry_run == "plan":
        return telling.unasked(session, wanted, arguments)
    planned = ask(session, wanted, arguments, part.name) if planned is None else planned
    telling.show(session, wanted, planned, arguments)
    _understood(arguments, planned)
    code, done = _verdict(session, wanted, planned, arguments), planned
    if code is None:
        wanted = _of_now(session, wanted)
        operation = part.name or _operation(arguments)
        if how is not None:
            start = _start(wanted, planned, arguments, how=how, operation=operation, part=part)
            return rolling.roll(session, start, arguments)
        done = _apply(session, wanted, planned, arguments, operation)
        undoable = arguments.verb not in ("reload", "rollback")
        telling.report(session, planned, done, arguments, operation if undoable else "")
        code = plan.outcome(done)
    # What is already so is waited for too: the same words again go on with the wait.
    waits = targets and arguments.wait not in ("applied", "verified") and not arguments.dry_run
    if waits and code in (Exit.DONE, Exit.PARTIAL):
        reached = [a.address for a in done if a.answer is not None]
        return waiting.wait(session, targets, reached, arguments) or code
    return code


def _start(
    wanted: Wish,
    planned: list[Answered],
    arguments: Namespace,
    *,
    how: Staging,
    operation: str,
    part: Part,
) -> Start:
    """Of a rollout: the orders of the nodes on which there is something to do."""
    meant = {a.address for a in plan.to_do(planned)}
    return Start(
        operation,
        wanted.lines,
        tuple(order for order in wanted.orders if order.address in meant),
        plan.revisions(planned),
        how,
        arguments.reason,
        _terms(arguments),
        part.go_on,
        part.others,
        steers=uuid.uuid4().hex[:12],
    )


def _of_now(session: Session, wanted: Wish) -> Wish:
    """A question may have waited for hours: the nodes must not be told of one that announced then.
    Raises VerbError when nobody answers any more."""
    if not wanted.withdraws:
        return wanted
    session.look()
    return completed(wanted, session.agents, time.monotonic())


def _operation(arguments: Namespace) -> str:
    """A new name; of an idempotency key always the same."""
    key = getattr(arguments, "idempotency_key", None) or ""
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else uuid.uuid4().hex[:12]


def _terms(arguments: Namespace) -> Terms:
    given = _conditions(arguments)
    return Terms(given["allow"], given["expires"], given["idempotency_key"])


def permit(session: Session, arguments: Namespace, *, reason: bool = True) -> None:
    """What the config file says of its cluster holds for verbs as it does for the console; not
    `reason`: of an order about a change that has one.  Raises VerbError."""
    if getattr(arguments, "dry_run", False):
        return
    if session.view_only:
        raise VerbError(
            f"{session.cluster} is view_only in the config file: --dry-run shows the plan",
            Exit.NOT_ALLOWED,
        )
    if reason and session.require_reason and not arguments.reason:
        raise VerbError(f"{session.cluster} wants a --reason (require_reason in the config file)")


def ask(
    session: Session, wanted: Wish, arguments: Namespace, operation: str = ""
) -> list[Answered]:
    """One action per node: several objects are one change there, planned and guarded as such."""
    absent = session.absent()
    answers = session.ask(
        {o.address: o.action for o in wanted.orders if o.address not in absent},
        timeout=session.connect_timeout,
        dry_run=True,
        operation=operation,
        why=arguments.reason,
        expect_revision=arguments.expect_revision,
        **_conditions(arguments),
    )
    silent = {o.address: None for o in wanted.orders if o.address in absent}
    return session.answered({**answers, **silent})


def _understood(arguments: Namespace, planned: list[Answered]) -> None:
    """An older agent would do it again.  Raises VerbError."""
    if not getattr(arguments, "idempotency_key", None):
        return
    older = [a.node for a in planned if a.answer is not None and not a.answer.keyed]
    if older:
        raise VerbError(
            f"{', '.join(older)}: knows no idempotency keys, nothing was sent; upgrade its agent",
            Exit.FAILED,
        )


def _conditions(arguments: Namespace) -> Conditions:
    return {
        "allow": tuple(arguments.allow),
        "expires": getattr(arguments, "expires", None) or 0.0,
        "confirm": getattr(arguments, "confirm", None) or 0.0,
        "idempotency_key": getattr(arguments, "idempotency_key", None) or "",
    }


def _verdict(
    session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace
) -> int | None:
    """An exit code when there is nothing (more) to do."""
    if plan.refused(planned):
        code = plan.outcome([a for a in planned if a.answer and a.answer.status != "planned"])
        telling.as_json(session, planned, arguments)
        session.say(f"remora: refused, nothing was changed: {_first_refusal(planned)}")
        return Exit.REFUSED if code in (Exit.DONE, Exit.PARTIAL) else code
    if not plan.to_do(planned):
        telling.as_json(session, planned, arguments)
        nobody = all(a.answer is None for a in planned)
        if nobody:
            session.say("remora: no agent answered the plan")
            return Exit.NO_AGENT
        notes = {f"{a.node}: {a.answer.note}" for a in planned if a.answer and a.answer.note}
        for said in sorted(notes) or [f"{', '.join(wanted.objects)}: {_already(arguments)}"]:
            session.tell(said)
        return Exit.DONE if all(a.answer for a in planned) else Exit.PARTIAL
    if arguments.dry_run:
        telling.as_json(session, planned, arguments)
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
    session: Session, wanted: Wish, planned: list[Answered], arguments: Namespace, operation: str
) -> list[Answered]:
    """Sends the command where the plan changes something; each node expects its plan's revision.

    Each step is told as it comes; with `--wait applied` nobody waits for the one after that.
    """
    revisions = plan.revisions(planned)
    actions = {order.address: order.action for order in wanted.orders}
    pending = {
        session.client.send(
            answered.address,
            actions[answered.address],
            why=arguments.reason,
            expect_revision=revisions[answered.address],
            operation=operation,
            steps=True,
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
            if reply.id in pending:
                answered = pending[reply.id]._replace(answer=_enough(reply.answer, arguments))
                if reply.last or not (answered.answer and answered.answer.more):
                    del pending[reply.id]
                    done.append(answered)
                else:
                    telling.step(session, answered)
    order = [answered.address for answered in planned]
    return sorted(done, key=lambda answered: order.index(answered.address))


def _enough(answer: Answer | None, arguments: Namespace) -> Answer | None:
    """A step that is all that was waited for is the last one."""
    applied = answer is not None and answer.status == "applied"
    if answer is not None and applied and getattr(arguments, "wait", "") == "applied":
        return replace(answer, more=False)
    return answer
