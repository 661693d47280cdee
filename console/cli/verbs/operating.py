# SPDX-License-Identifier: Apache-2.0
"""`op wait|hold|resume|revert`: of operations that come to their nodes one after the other.

All that is needed the nodes keep: it does not matter who began it, or whether he is still there.
"""

from __future__ import annotations

import time
from argparse import Namespace

from console.cli.verbs import awaiting, carrying, rolling
from console.cli.verbs.carrying import Part
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.underway import Underway, underway
from console.planning import plan
from console.planning.operating import going_on, taking_back
from console.planning.staging import Staging, expires_of, of_terms
from shared.messages import Action
from shared.messages import Rollout as Told


def operate(session: Session, arguments: Namespace) -> int:
    """Exit codes as those of a change.  Raises VerbError."""
    _check(arguments)
    if arguments.order == "wait":
        return awaiting.wait(session, arguments, _hold)
    session.look()
    each = _named(underway(session.agents, time.monotonic()), arguments.operation)
    arguments.reason = arguments.reason or each.why
    match arguments.order:
        case "hold":
            carrying.permit(session, arguments, reason=False)
            return _hold(session, each)
        case "resume":
            return _resume(session, each, arguments)
    return _revert(session, each, arguments)


def _check(arguments: Namespace) -> None:
    """Flags that mean nothing here would be taken for obeyed.  Raises VerbError."""
    if arguments.order != "wait" and arguments.timeout is not None:
        raise VerbError("--timeout is of op wait")
    if arguments.order in ("resume", "revert"):
        return
    given = [name for name in ("canary", "soak", "batch", "stop_on", "allow", "expect_revision",
             "idempotency_key", "dry_run") if getattr(arguments, name)]  # fmt: skip
    if given:
        flag = given[0].replace("_", "-")
        raise VerbError(f"--{flag}: op {arguments.order} changes nothing on a node; it takes none")


def _named(known: list[Underway], name: str) -> Underway:
    found = [each for each in known if each.operation.startswith(name.removeprefix("op/"))]
    if len(found) == 1:
        return found[0]
    there = ", ".join(each.operation for each in known) or "none"
    raise VerbError(
        f"{name}: {len(found) or 'no'} operation under way is called so; there is {there}"
    )


def _hold(session: Session, each: Underway) -> int:
    return _tell(session, each, Told("held", said=f"held by {session.who}"), "held")


def _resume(session: Session, each: Underway, arguments: Namespace) -> int:
    if not each.held:
        by = f"{each.steered_by} steers it" if each.steered_by else "it goes on already"
        raise VerbError(
            f"op/{each.operation} is not held: {by}; remora op hold {each.operation} stops it",
            Exit.CONFLICT,
        )
    wanted = going_on(each)
    usual = of_terms(each.terms) or Staging("1")
    for name, text in zip(("canary", "soak", "batch", "stop_on"), usual.words, strict=True):
        setattr(arguments, name, getattr(arguments, name) or text)
    how = rolling.how(arguments)
    arguments.expires = expires_of(each.terms)
    todo = {order.address for order in wanted.orders}
    others = tuple(seat.address for seat in each.seats if seat.address not in todo)
    part = Part(each.operation, how, bool(each.done), others)
    return carrying.carry_out(session, wanted, arguments, part=part)


def _revert(session: Session, each: Underway, arguments: Namespace) -> int:
    if not each.held:
        raise VerbError(f"op/{each.operation} is not held: remora op hold first", Exit.CONFLICT)
    wanted = taking_back(each)
    if wanted is None:
        return _tell(session, each, Told("over"), "over: no node had anything to take back")
    part = Part(f"{each.operation}/revert")
    code = carrying.carry_out(session, wanted, arguments, part=part)
    if code == Exit.DONE and not arguments.dry_run:
        return _tell(session, each, Told("over"), "over")
    return code


def _tell(session: Session, each: Underway, told: Told, word: str) -> int:
    addresses: dict[str, Action] = dict.fromkeys([seat.address for seat in each.seats], told)
    answers = session.ask(addresses, timeout=session.connect_timeout, operation=each.operation)
    answered = session.answered(answers)
    code = plan.outcome(answered)
    if code != Exit.DONE:
        word = f"not {word} everywhere"
    for address, node, answer in answered:
        if not plan.in_force(answer):
            said = f"{answer.guard} {answer.error}" if answer else f"no answer at {address}"
            session.say(f"remora: {node}: {said}")
    session.write(f"op/{each.operation}: {word}")
    return code
