# SPDX-License-Identifier: Apache-2.0
"""`plan VERB ...` makes a plan that `apply` carries out within its life, as it is or not at all.

A plan is one JSON object.  What it would do is in it, with the revision that each node had: a node
that has moved on since refuses (exit 7), and its guards judge once more.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from console.cli.verbs import carrying, changing, desiring, enforcing, telling
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.planning import desired, plan
from console.planning.plan import Answered
from console.planning.wish import Order, Wish
from console.views.items import API_VERSION, listing
from console.views.written import now_text
from shared.messages import Action, Answer, Change

LIFE = 60.0
"""Seconds in which a plan may be applied."""


def make(session: Session, arguments: Namespace) -> int:
    """Exit 0 when it could be applied, else as the verb itself.  Raises VerbError."""
    of_nodes = arguments.verb in ("reload", "rollback")
    if not of_nodes:
        changing.check(arguments)
    session.look()
    wanted = enforcing.wished(session, arguments) if of_nodes else (
        changing.wished(session, arguments)[0]
    )  # fmt: skip
    planned = carrying.ask(session, wanted, arguments)
    telling.show(session, wanted, planned, arguments)
    if arguments.output == "json":
        session.write(json.dumps(_written(wanted, planned, arguments), indent=2))
    if plan.refused(planned):
        return plan.outcome([a for a in planned if a.answer and a.answer.status != "planned"])
    if not any(answered.answer for answered in planned):
        return Exit.NO_AGENT
    return Exit.DONE if all(answered.answer for answered in planned) else Exit.PARTIAL


def _written(wanted: Wish, planned: list[Answered], arguments: Namespace) -> dict[str, Any]:
    actions = {order.address: msgspec.to_builtins(order.action) for order in wanted.orders}
    items = [{**telling.item(each), "action": actions[each.address]} for each in planned]
    silent = [each.address for each in planned if each.answer is None]
    return {
        **listing("Plan", items, at=now_text(), missing=silent),
        "expiresAt": datetime.fromtimestamp(time.time() + LIFE, UTC).isoformat(timespec="seconds"),
        "verb": wanted.verb,
        "objects": list(wanted.objects),
        "asCli": list(wanted.lines),
        "reason": arguments.reason,
        "allow": list(arguments.allow),
        "expires_s": getattr(arguments, "expires", None) or 0.0,
        "confirm_s": getattr(arguments, "confirm", None) or 0.0,
    }


def apply(session: Session, arguments: Namespace) -> int:
    """A plan, or a file of desired states.  Exit codes as of the verb that was planned; 7 when its
    time is over.  Raises VerbError."""
    text = _text(arguments.file)
    if not _is_plan(text):
        return desiring.apply(session, text, arguments.file, arguments)
    if arguments.allow or arguments.canary:
        raise VerbError(
            f"{arguments.file}: a plan is carried out as it was made; plan anew with that"
        )
    wanted, planned, found = _read(arguments.file, text)
    left = datetime.fromisoformat(found["expiresAt"]).timestamp() - time.time()
    if left <= 0:
        raise VerbError(
            f"{arguments.file}: its time was over {-left:.0f} s ago: plan again", Exit.CONFLICT
        )
    known = set(session.store.agents)
    strange = [each.node for each in planned if each.address not in known]
    if strange:
        raise VerbError(f"{arguments.file}: {strange[0]} is no agent of this context")
    session.look()
    arguments.verb = wanted.verb
    arguments.allow, arguments.reason = found["allow"], arguments.reason or found["reason"]
    arguments.expires, arguments.confirm = found["expires_s"], found["confirm_s"]
    targets = [
        objects.parse(name, session.agents, kinds=("real", "vip", "node"))
        for name in wanted.objects
    ]
    return carrying.carry_out(session, wanted, arguments, targets, planned=planned)


def _text(file: str) -> str:
    """Raises VerbError."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except OSError as error:
        raise VerbError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise VerbError(f"{file}: {error}") from error


def _is_plan(text: str) -> bool:
    """JSON that does not say that it is another thing."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return not isinstance(found, dict) or found.get("kind") != desired.KIND


def _read(file: str, text: str) -> tuple[Wish, list[Answered], Mapping[str, Any]]:
    """Raises VerbError."""
    found = json.loads(text)
    said = (found.get("apiVersion"), found.get("kind")) if isinstance(found, dict) else found
    if said != (API_VERSION, "Plan"):
        raise VerbError(f"{file}: not a plan of this version: make one with remora plan -o json")
    try:
        orders = tuple(
            Order(each["address"], each["node"], msgspec.convert(each["action"], Action))
            for each in found["items"]
        )
        planned = [_answered(each) for each in found["items"]]
        wanted = Wish(found["verb"], "", tuple(found["objects"]), orders, tuple(found["asCli"]))
        return wanted, planned, found
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise VerbError(f"{file}: a damaged plan: {error}") from error


def _answered(item: Mapping[str, Any]) -> Answered:
    if item["revision"] is None:
        return Answered(item["address"], item["node"], None)
    answer = Answer(
        id="",
        node=item["node"],
        status=item["result"],
        revision=item["revision"],
        guard=item["guard"] or "",
        error=item["error"] or "",
        changes=msgspec.convert(item["changes"], tuple[Change, ...]),
    )
    return Answered(item["address"], item["node"], answer)
