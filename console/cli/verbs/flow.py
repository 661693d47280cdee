# SPDX-License-Identifier: Apache-2.0
"""`flow`: where a flow goes, on each node.

The agents look into their rings and flow tables; nothing is sent, counted or stored.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from msgspec.structs import asdict

from console import format as fmt
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.store import Agent
from console.views import selecting
from console.views.cells import Cell
from console.views.columns import Column
from console.views.items import listing
from console.views.written import now_text, table
from shared.messages import Answer, FlowOf, FlowPlace
from shared.model import AddressError, host_and_port, host_port

WORDS = {
    "stored": "by its entry",
    "slot": "by the slot's earlier real",
    "ring": "as a new one",
    "none": "dropped: no_real",
}
Found = tuple[str, FlowPlace]
"""Node, and what it says."""


def flow(session: Session, arguments: Namespace) -> int:
    """Exit 0 when all nodes send it to one real; 1 when they do not, or drop it; 3 when some did
    not answer.  Raises VerbError."""
    session.look()
    wanted = _wanted(session.agents, arguments.source, arguments.destination)
    chosen = [agent.address for agent in selecting.nodes(session.agents, arguments.node)]
    answers = session.ask(
        {address: wanted for address in chosen if address not in session.absent()},
        timeout=session.connect_timeout,
    )
    answered = session.answered(answers)
    wrong = [(a.node, a.answer) for a in answered if a.answer and a.answer.flow is None]
    if wrong:
        raise _no(*wrong[0])
    found = [(a.node, a.answer.flow) for a in answered if a.answer and a.answer.flow]
    silent = [address for address in chosen if answers.get(address) is None]
    if found and not any(place.vip for _, place in found):
        raise VerbError(f"{_said(wanted)}: no VIP: each node passes it to its own host")
    if arguments.output == "json":
        items = [{"node": node, **asdict(place)} for node, place in found]
        for each in items:
            each["stored"] = [asdict(entry) for entry in each["stored"]]
        wrapped = listing("FlowList", items, at=now_text(), missing=silent)
        session.write(json.dumps(wrapped, indent=2))
    else:
        _show(session, wanted, found)
    if silent:
        session.say(f"remora: no answer from {', '.join(silent)}")
        return Exit.PARTIAL
    return Exit.DONE if _alike(found) else Exit.FAILED


def _no(node: str, answer: Answer) -> VerbError:
    code = Exit.NOT_ALLOWED if answer.guard in ("role", "key") else Exit.FAILED
    return VerbError(f"{node}: {answer.error or 'cannot say; upgrade its agent'}", code)


def _alike(found: Sequence[Found]) -> bool:
    goals = {(place.real, place.going_on) for _, place in found}
    return len(goals) == 1 and all(place.real for _, place in found)


def _said(wanted: FlowOf) -> str:
    return (
        f"{host_port(wanted.source, wanted.source_port)} -> "
        f"{host_port(wanted.destination, wanted.destination_port)}/{wanted.protocol}"
    )


def _wanted(agents: Sequence[Agent], source: str, destination: str) -> FlowOf:
    """Raises VerbError."""
    rest, _, protocol = destination.partition("/")
    if rest == "vip":
        destination = _of_vip(agents, protocol)
        rest, _, protocol = destination.partition("/")
    if protocol not in ("", "tcp", "udp"):
        raise VerbError(f"{destination}: the protocol must be tcp or udp, got {protocol!r}")
    try:
        (client, client_port), (to, port) = host_and_port(source), host_and_port(rest)
    except AddressError as error:
        raise VerbError(f"flow: {str(error).partition(': ')[0]}: must be ADDRESS:PORT") from error
    return FlowOf(client, client_port, to, port, "udp" if protocol == "udp" else "tcp")


def _of_vip(agents: Sequence[Agent], name: str) -> str:
    """`web`, or `quic:4433` of a VIP with many ports.  Raises VerbError."""
    name, _, port = name.partition(":")
    rows = [row for a in agents if a.vips for row in a.vips.vips if row.name == name]
    if not rows:
        known = ", ".join(sorted({r.name for a in agents if a.vips for r in a.vips.vips}))
        raise VerbError(f"vip/{name}: there is none; there is {known}")
    if not rows[0].port and not port:
        raise VerbError(f"vip/{name} has all ports: say which, vip/{name}:443")
    address = rows[0].address.partition("/")[0]
    return (
        f"{host_port(address, int(port) if port.isdecimal() else rows[0].port)}/{rows[0].protocol}"
    )


def _show(session: Session, wanted: FlowOf, found: Sequence[Found]) -> None:
    vips = dict.fromkeys(place.vip or "(passed to the host)" for _, place in found)
    session.write(f"{_said(wanted)}  {', '.join(vips)}")
    session.write(table(found, COLUMNS, paint=session.paint))
    if any(place.quic for _, place in found):
        session.tell("of QUIC: a packet whose connection id names a real goes there")


def _stored(found: Found) -> str:
    return (
        ", ".join(
            f"{e.real or '(of another time)'} {e.state}, silent {fmt.age(e.silent)}, CPU {e.cpu}"
            for e in found[1].stored
        )
        or fmt.UNKNOWN
    )


COLUMNS: Sequence[Column[Found]] = (
    Column("NODE", 10, lambda f: Cell(f[0]), lambda f: f[0]),
    Column("NEW FLOW", 15, lambda f: _goal(f[1].real), lambda f: f[1].real),
    Column("SLOT", 6, lambda f: Cell(str(f[1].slot) if f[1].slot >= 0 else fmt.UNKNOWN),
           lambda f: f[1].slot, right=True),
    Column("GOING ON", 15, lambda f: _goal(f[1].going_on), lambda f: f[1].going_on),
    Column("FOUND", 26, lambda f: Cell(WORDS[f[1].by] if f[1].vip else fmt.UNKNOWN),
           lambda f: f[1].by),
    Column("ENTRY", 30, lambda f: Cell(_stored(f)), lambda f: len(f[1].stored)),
)  # fmt: skip


def _goal(real: str) -> Cell:
    return Cell(real) if real else Cell("-", "bad")
