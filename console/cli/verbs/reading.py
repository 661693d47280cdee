# SPDX-License-Identifier: Apache-2.0
"""`status` and `get`: one look at the agents, nothing is changed."""

from __future__ import annotations

import json
import time
from argparse import Namespace

from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model import objects, rows
from console.model.store import Agent
from console.views import items, placing, tables
from console.views.problems import Problem, problems
from console.views.written import now_text, records, table


def status(session: Session, arguments: Namespace) -> int:
    """Exit 0 only when nothing is wrong with the object (default: with anything)."""
    session.look()
    now = time.monotonic()
    found = problems(session.agents, now)
    if arguments.object:
        target = objects.parse(arguments.object, session.agents, kinds=("node", "vip", "real"))
        found = [p for p in found if _about(p, target)]
    if arguments.output == "json":
        session.write(_status_json(session, found))
    elif arguments.short:
        session.write(_short(session, found))
    else:
        session.write(_long(session, found, now))
    return Exit.FAILED if found else Exit.DONE


def _about(problem: Problem, target: objects.Object) -> bool:
    if target.kind == "real" and not target.vip:
        return problem.subject.startswith(f"{target}@")
    return problem.subject == str(target)


def _summary(session: Session) -> str:
    live, all_ = len(session.agents) - len(session.absent()), len(session.agents)
    simulated = any(a.node is not None and a.node.simulated for a in session.agents)
    return f"{'SIMULATED ' if simulated else ''}{session.cluster} {live}/{all_} nodes"


def _short(session: Session, found: list[Problem]) -> str:
    worst = f", {found[0].subject}: {found[0].text}" if found else ", healthy"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return _summary(session) + worst + more


def _long(session: Session, found: list[Problem], now: float) -> str:
    nodes = [c for c in tables.NODES if not c.wide]
    vips = [c for c in tables.VIPS if not c.wide and c.title != "AGE"]
    parts = [
        _summary(session) + (f", {len(found)} problems" if found else ", healthy"),
        *(f"  {'CRIT' if p.critical else 'warn'} {p.subject}: {p.text}" for p in found),
        "",
        table(rows.nodes(session.agents, now), nodes),
    ]
    vip_rows = rows.vips(session.agents, now)
    return "\n".join([*parts, "", table(vip_rows, vips)] if vip_rows else parts)


def _status_json(session: Session, found: list[Problem]) -> str:
    problems_ = [
        {"severity": "critical" if p.critical else "warning", "object": p.subject, "text": p.text}
        for p in found
    ]
    wrapped = items.listing("Status", problems_, at=now_text(), missing=session.absent())
    return json.dumps({**wrapped, "cluster": session.cluster, "healthy": not found}, indent=2)


def get(session: Session, arguments: Namespace) -> int:
    """Exit 0, or 3 when some agents are missing from the list."""
    wide = arguments.output == "wide"
    session.look(rates=arguments.rates or wide)
    agents = _of_nodes(session.agents, arguments.node)
    text = _listed(session, agents, arguments)
    if text:
        session.write(text)
    absent = session.absent()
    if not absent:
        return Exit.DONE
    session.say(f"remora: no answer from {', '.join(absent)}: not in this list")
    return Exit.PARTIAL


def _of_nodes(agents: list[Agent], names: list[str]) -> list[Agent]:
    unknown = sorted(set(names) - {agent.name for agent in agents})
    if unknown:
        known = ", ".join(agent.name for agent in agents)
        raise VerbError(f"--node {unknown[0]}: no such node; there is {known}", Exit.USAGE)
    return [agent for agent in agents if not names or agent.name in names]


def _listed(session: Session, agents: list[Agent], arguments: Namespace) -> str:
    now, absent, output = time.monotonic(), session.absent(), arguments.output
    match arguments.kind:
        case "node":
            return records(
                rows.nodes(agents, now),
                tables.NODES,
                kind="NodeList",
                item=lambda row: {
                    **items.node(row),
                    "flow_table": placing.item(
                        placing.flow_table(session.store.agents[row.address], now)
                    ),
                },
                name=lambda row: f"node/{row.name}",
                missing=absent,
                output=output,
            )
        case "vip":
            return records(
                rows.vips(agents, now),
                tables.VIPS,
                kind="VipList",
                item=items.vip,
                name=lambda row: row.key,
                missing=absent,
                output=output,
            )
        case "real":
            return records(
                rows.reals(agents, now, vip=arguments.vip or ""),
                tables.REALS,
                kind="RealList",
                item=items.real,
                name=lambda row: row.key,
                missing=absent,
                output=output,
            )
    return records(
        rows.drops(agents, now),
        tables.DROPS,
        kind="DropList",
        item=items.drop,
        name=lambda row: row.key,
        missing=absent,
        output=output,
    )
