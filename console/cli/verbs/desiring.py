# SPDX-License-Identifier: Apache-2.0
"""`apply` of a file of desired states: what is not so yet becomes one change on each node.

Planned, shown, guarded and asked as any other, at the revision that was planned for (exit 7 when
somebody was faster); a second run says that nothing is to do.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from console.cli.verbs import carrying, telling
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.model.objects import Object
from console.model.selectors import selector
from console.model.store import Agent
from console.planning import desired
from console.planning.chosen import kept
from console.planning.desired import Desired, DesiredError, Step
from console.planning.wish import Order, Wish, together
from console.views import selecting
from shared.model import Admin

Pair = tuple[Desired, Object]
Steps = dict[str, list[Step]]
"""Address -> what is left to do there."""


def apply(session: Session, text: str, name: str, arguments: Namespace) -> int:
    """Exit 0 when all is as the file says, or has become so.  Raises VerbError."""
    wanted = desired.read(text, name)
    session.look()
    pairs = _meant(session, wanted, name, arguments)
    found, named = _left(session, pairs, arguments.node)
    absent = _absent(session, pairs, arguments.node)
    if not any(found.values()):
        return _nothing(session, f"{name}: nothing to do", len(pairs), absent, arguments)
    silent = [session.store.agents[address] for address in absent]
    orders = [
        Order(address, session.store.agents[address].name, together([s.action for s in steps]))
        for address, steps in found.items()
        if steps
    ]
    some = orders[0].action
    orders += [Order(agent.address, agent.name, some) for agent in silent]  # said, never sent
    lines = dict.fromkeys(step.line for steps in found.values() for step in steps)
    wish = Wish("apply", f"apply {name}", tuple(named), tuple(orders), tuple(lines))
    draining = [target for each, target in pairs if each.admin is Admin.DRAINING]
    return carrying.carry_out(session, wish, arguments, draining)


def _meant(
    session: Session, wanted: tuple[Desired, ...], name: str, arguments: Namespace
) -> list[Pair]:
    """What of the file -l, --vip and --node leave.  Raises VerbError when nothing is left."""
    agents = selecting.nodes(session.agents, arguments.node)
    by, vip = selector(arguments.labels), objects.vip_named(arguments.vip, session.agents)
    found = [
        (each, part)
        for each in wanted
        for part in kept(_target(session, each), agents, by, vip=vip, absent=session.absent())
        if _carried(session, each, part, agents)
    ]
    if not found and (by or vip or arguments.node):
        flags = [*(f"-l '{by}'" for _ in arguments.labels[:1]), *(f"--vip {vip}" for _ in vip[:1])]
        flags += [f"--node {node}" for node in arguments.node]
        raise VerbError(f"{name}: nothing in it is meant by {' '.join(flags)}")
    return found or [(each, _target(session, each)) for each in wanted]


def _target(session: Session, each: Desired) -> Object:
    return objects.parse(each.object, session.agents, kinds=("real", "vip", "node"))


def _carried(session: Session, each: Desired, part: Object, agents: list[Agent]) -> bool:
    """Whether one of the nodes that are meant has it."""
    own = selecting.nodes(session.agents, each.nodes)
    return any(agent in own for agent in objects.carriers(part, agents))


def _left(session: Session, pairs: list[Pair], nodes: Sequence[str]) -> tuple[Steps, list[str]]:
    """(what is to do on each live node, the objects that it is about).  Raises DesiredError for
    two tables that want the same object otherwise."""
    absent, meant = session.absent(), selecting.nodes(session.agents, nodes)
    found: Steps = {}
    named: list[str] = []
    lines: dict[tuple[str, str], str] = {}
    for each, target in pairs:
        chosen = selecting.nodes(session.agents, each.nodes)
        for agent in objects.carriers(target, meant):
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


def _absent(session: Session, pairs: Sequence[Pair], nodes: Sequence[str]) -> list[str]:
    """Addresses of those that do not answer and are meant, or may be."""
    absent = selecting.absent_of(session.agents, nodes, session.absent())
    return [
        address
        for address in absent
        if any(_may_mean(session, each, target, address) for each, target in pairs)
    ]


def _may_mean(session: Session, each: Desired, target: Object, address: str) -> bool:
    """A directory is called as its node is; what is behind a silent HOST:PORT nobody knows."""
    agent = session.store.agents[address]
    if target.kind == "node":
        return agent.name == target.name
    known = agent.node is not None or not address.startswith("tcp://")
    return not known or bool(selecting.absent_of(session.agents, each.nodes, [address]))


def _nothing(
    session: Session, what: str, count: int, silent: Sequence[str], arguments: Namespace
) -> int:
    telling.as_json(session, [], arguments)
    so = "1 object is" if count == 1 else f"{count} objects are"
    session.tell(f"{what}, {so} as it says")
    if silent:
        session.say(f"remora: no answer from {', '.join(silent)}: not compared")
    return Exit.PARTIAL if silent else Exit.DONE
