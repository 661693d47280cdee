# SPDX-License-Identifier: Apache-2.0
"""`apply` of a file of desired states: what is not so yet becomes one change on each node.

Planned, shown, guarded and asked as any other, at the revision that was planned for (exit 7 when
somebody was faster); a second run says that nothing is to do.
"""

from __future__ import annotations

from argparse import Namespace

from console.cli.verbs import carrying, telling
from console.cli.verbs.session import Session
from console.exits import Exit
from console.model import objects
from console.model.objects import Object
from console.planning import desired
from console.planning.desired import Desired, DesiredError, Step
from console.planning.wish import Order, Wish, together
from console.views import selecting
from shared.model import Admin

Steps = dict[str, list[Step]]
"""Address -> what is left to do there."""


def apply(session: Session, text: str, name: str, arguments: Namespace) -> int:
    """Exit 0 when all is as the file says, or has become so.  Raises VerbError."""
    wanted = desired.read(text, name)
    session.look()
    targets = [
        objects.parse(each.object, session.agents, kinds=("real", "vip", "node")) for each in wanted
    ]
    found, named = _left(session, wanted, targets)
    if not any(found.values()):
        return _nothing(session, name, wanted, arguments)
    silent = [agent for agent in session.agents if agent.address in session.absent()]
    orders = [
        Order(address, session.store.agents[address].name, together([s.action for s in steps]))
        for address, steps in found.items()
        if steps
    ]
    some = orders[0].action
    orders += [Order(agent.address, agent.name, some) for agent in silent]  # said, never sent
    lines = dict.fromkeys(step.line for steps in found.values() for step in steps)
    wish = Wish("apply", f"apply {name}", tuple(named), tuple(orders), tuple(lines))
    draining = [
        target for each, target in zip(wanted, targets, strict=True) if each.admin is Admin.DRAINING
    ]
    return carrying.carry_out(session, wish, arguments, draining)


def _left(
    session: Session, wanted: tuple[Desired, ...], targets: list[Object]
) -> tuple[Steps, list[str]]:
    """(what is to do on each live node, the objects that it is about).  Raises DesiredError for
    two tables that want the same object otherwise."""
    absent = session.absent()
    found: Steps = {}
    named: list[str] = []
    lines: dict[tuple[str, str], str] = {}
    for each, target in zip(wanted, targets, strict=True):
        chosen = selecting.nodes(session.agents, each.nodes)
        for agent in objects.carriers(target, session.agents):
            if agent not in chosen or agent.address in absent:
                continue
            steps = desired.left(each, target, agent)
            for step in steps:
                what = agent.address, " ".join(step.line.split()[:2])
                if lines.setdefault(what, step.line) != step.line:
                    raise DesiredError(f"{each.object}: {what[1]} is wanted twice on {agent.name}")
            found.setdefault(agent.address, []).extend(steps)
            named += [str(target)] if steps and str(target) not in named else []
    return found, named


def _nothing(session: Session, name: str, wanted: tuple[Desired, ...], arguments: Namespace) -> int:
    silent = session.absent()
    telling.as_json(session, [], arguments)
    session.tell(f"{name}: nothing to do, {len(wanted)} objects are as it says")
    if silent:
        session.say(f"remora: no answer from {', '.join(silent)}: not compared")
    return Exit.PARTIAL if silent else Exit.DONE
