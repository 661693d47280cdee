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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from console.cli.verbs import carrying, changing, desiring, enforcing, telling, waiting
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.planning import desired, plan, plan_file
from console.planning.plan import Answered
from console.planning.spread import completed
from console.planning.wish import Wish
from console.views.items import listing
from console.views.written import now_text

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
    wanted = completed(wanted, session.agents, time.monotonic())
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
        **listing(plan_file.KIND, items, at=now_text(), missing=silent),
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
    if arguments.allow or arguments.canary or arguments.labels or arguments.vip or arguments.node:
        raise VerbError(
            f"{arguments.file}: a plan is carried out as it was made; plan anew with that"
        )
    found = plan_file.read(text, arguments.file)
    left = found.expires_at.timestamp() - time.time()
    if left <= 0:
        raise VerbError(
            f"{arguments.file}: its time was over {-left:.0f} s ago: plan again", Exit.CONFLICT
        )
    waiting.check(found.verb, arguments.wait)
    planned = [item.answered for item in found.items]
    known = set(session.store.agents)
    strange = [each.node for each in planned if each.address not in known]
    if strange:
        raise VerbError(f"{arguments.file}: {strange[0]} is no agent of this context")
    session.look()
    arguments.verb = found.verb
    arguments.allow, arguments.reason = found.allow, arguments.reason or found.reason
    arguments.expires, arguments.confirm = found.expires, found.confirm
    targets = [
        objects.parse(name, session.agents, kinds=(*objects.PLACED, "peer"))
        for name in found.objects
    ]
    return carrying.carry_out(session, found.wish, arguments, targets, planned=planned)


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
    except (ValueError, RecursionError):
        return False
    return not isinstance(found, dict) or found.get("kind") != desired.KIND
