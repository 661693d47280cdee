# SPDX-License-Identifier: Apache-2.0
"""`drain`, `weight`, `withdraw` and the like: what was typed -> what is wanted of which nodes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from msgspec.structs import replace

from console.cli.verbs import carrying, waiting
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects
from console.model.objects import Kind, Object, kinds_of
from console.model.selectors import selector
from console.planning.chosen import chosen
from console.planning.wish import Target, Wish, wish
from console.views import selecting
from shared.messages import Action, Batch, Drain


def change(session: Session, arguments: Namespace) -> int:
    """Exit codes as in `console.exits`.  Raises VerbError and ObjectError."""
    check(arguments)
    session.look()
    wanted, targets = wished(session, arguments)
    return carrying.carry_out(session, wanted, arguments, targets)


def wished(session: Session, arguments: Namespace) -> tuple[Wish, list[Object]]:
    """After a look at the agents.  Raises VerbError and ObjectError."""
    targets = _targets(session, arguments)
    weight = _weight(session, targets, arguments) if arguments.verb == "weight" else 0
    wanted = wish(arguments.verb, [_target(session, t, arguments.node) for t in targets], weight)
    if getattr(arguments, "deadline", None):
        orders = tuple(o._replace(action=_by(o.action, arguments)) for o in wanted.orders)
        wanted = wanted._replace(orders=orders)
    return wanted, targets


def check(arguments: Namespace) -> None:
    """What does not go together, before any agent is asked.  Raises VerbError."""
    waiting.check(arguments.verb, arguments.wait)
    given = arguments.object
    kinds = _kinds(arguments)
    if not given and not arguments.labels:
        named = {"real": "real/ADDRESS[@VIP]", "peer": "peer/NODE/ADDRESS"}
        what = ", ".join(named.get(kind, f"{kind}/NAME") for kind in kinds_of(arguments.verb))
        raise VerbError(f"{arguments.verb}: of what? {what}, or -l SELECTOR")
    waits = arguments.wait not in ("applied", "verified")
    if waits and arguments.verb in ("announce", "withdraw"):
        raise VerbError(f"--wait={arguments.wait} is of drains; a route is there or not at once")
    if not arguments.labels:
        if arguments.vip:
            raise VerbError(f"--vip {arguments.vip}: goes with -l; else write real/ADDRESS@VIP")
        return
    if len(given) > 1 or not kinds:
        said = objects.either(objects.labelled_kinds(arguments.verb))
        raise VerbError(f"{given[-1]}: with -l comes {said}, or nothing; no names")
    if arguments.vip and "real" not in kinds:
        raise VerbError(f"--vip {arguments.vip}: is of reals, not of a {kinds[0]}")
    selector(arguments.labels)


def _kinds(arguments: Namespace) -> tuple[Kind, ...]:
    """That may be meant by labels."""
    given, kinds = arguments.object, objects.labelled_kinds(arguments.verb)
    return tuple(kind for kind in kinds if not given or kind == given[0])


def _targets(session: Session, arguments: Namespace) -> list[Object]:
    """By name, or by labels; never both, and never all of them."""
    if not arguments.labels:
        kinds = kinds_of(arguments.verb)
        return [objects.parse(text, session.agents, kinds=kinds) for text in arguments.object]
    among = selecting.nodes(session.agents, arguments.node)
    kinds = ("real",) if arguments.vip else _kinds(arguments)
    wanted = selector(arguments.labels)
    return chosen(among, wanted, kinds, vip=arguments.vip, absent=session.absent())


def _weight(session: Session, targets: Sequence[Object], arguments: Namespace) -> int:
    """`50`, or from the present weight `50%`, `+10`, `-10`."""
    given = arguments.weight
    if given == "0":
        raise VerbError(f"weight 0 is a drain: remora drain {' '.join(arguments.object)}")
    if given.isdecimal():
        wanted = {int(given)}
    else:
        wanted = {_changed(given, now) for t in targets for now in _weights(session, t)}
    if len(wanted) > 1:
        raise VerbError(f"weight {given}: their weights differ already: give a plain number")
    if not wanted or not 1 <= min(wanted) <= 1000:
        came = f" comes to {min(wanted)}:" if wanted else ":"
        raise VerbError(f"weight {given}{came} must be 1 to 1000; to send none, drain it")
    arguments.weight = min(wanted)
    return min(wanted)


def _weights(session: Session, target: Object) -> list[int]:
    return [
        row.weight
        for agent in objects.carriers(target, session.agents)
        for row in (agent.reals.reals if agent.reals else ())
        if row.address == target.name and target.vip in ("", row.vip)
    ]


def _changed(given: str, now: int) -> int:
    return round(now * int(given[:-1]) / 100) if given.endswith("%") else now + int(given)


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
    named = selecting.nodes(session.agents, names)
    absent = session.absent()
    ours = target.kind in ("node", "peer")
    silent = [a for a in session.agents if a.address in absent and not ours]
    carriers = [a for a in objects.carriers(target, session.agents) if a not in silent]
    chosen = [a for a in carriers + silent if a in named]
    if not [a for a in chosen if a.address not in absent]:
        raise VerbError(f"{target}: no node that answers carries it", Exit.USAGE)
    agents = tuple((agent.address, agent.name) for agent in chosen)
    return Target(target.kind, target.name, target.vip, agents, 0)
