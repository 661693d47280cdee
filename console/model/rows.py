# SPDX-License-Identifier: Apache-2.0
"""The store -> what a table shows: one record per node, VIP, real or drop reason.  Pure.

Values over several nodes are sums of what is known; what is too old is left out, and counted.
`columns.py` says how a record is written, `get -o json` takes it as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar, cast

from console.model.rates import Sum, rate, share, total
from console.model.records import (
    DENIED,
    FOREIGN,
    SILENT,
    STALE,
    UP,
    Drop,
    Emptied,
    Node,
    Real,
    State,
    Vip,
)
from console.model.store import Agent, Liveness
from console.model.underway import as_expected, explained, had_its_turn
from shared.messages import DropRow, Emptying, NodeSnapshot, RealRow, VipRow
from shared.model import RING_SLOTS, Admin, Health, host_port
from shared.reasons import name_of

Sight = tuple[Agent, Any, Any, float]
"""One agent's view of an object: (agent, its row now, its row before or None, seconds between)."""


R = TypeVar("R", Vip, Real, Drop)


# ---- nodes


def nodes(agents: Iterable[Agent], now: float) -> list[Node]:
    """One record per agent, also for those that never answered."""
    found = list(agents)
    common = common_digest(found, now)
    known = explained(found, now)
    return [
        _node(agent, common, now, expected=bool(known) and as_expected(agent, found, known, now))
        for agent in found
    ]


def common_digest(agents: Sequence[Agent], now: float) -> str:
    """The ring digest of more than half of the live nodes; empty when there is none."""
    seen = Counter(a.node.ring_digest for a in agents if a.node and a.fresh(now, "node"))
    most, count = seen.most_common(1)[0] if seen else ("", 0)
    return most if 2 * count > seen.total() else ""


def _node(agent: Agent, common: str, now: float, *, expected: bool) -> Node:
    snapshot = agent.node
    before, span = agent.pair("node")
    liveness = agent.liveness(now)

    def per_second(total: Callable[[NodeSnapshot], int]) -> float | None:
        if snapshot is None or before is None:
            return None
        return rate(total(before), total(snapshot), span)

    misses = per_second(lambda n: n.flow_misses)
    hits = per_second(lambda n: n.flow_hits)
    cpu = per_second(lambda n: int(n.cpu_seconds * 1e6))
    lookups = None if misses is None or hits is None else misses + hits
    differs = bool(snapshot and liveness is Liveness.LIVE and snapshot.ring_digest != common)
    return Node(
        key=agent.address,
        address=agent.address,
        name=agent.name,
        state=_node_state(liveness, snapshot),
        liveness=liveness,
        age=agent.age(now),
        snapshot=snapshot,
        pps=per_second(lambda n: n.rx_packets),
        bytes_per_second=per_second(lambda n: n.rx_bytes),
        tx_pps=per_second(lambda n: n.tx_packets),
        pass_pps=per_second(lambda n: n.pass_packets),
        drop_pps=per_second(lambda n: n.drop_packets),
        new_flows_per_second=per_second(lambda n: n.new_flows),
        misses=share(misses, lookups),
        cpu=None if cpu is None else cpu / 1e6,
        ring_expected=differs and expected and had_its_turn(agent),
        ring_differs=differs and not expected,
        history=tuple(agent.history.get("node", ())),
    )


def _node_state(liveness: Liveness, snapshot: NodeSnapshot | None) -> State:
    if liveness is Liveness.FOREIGN:
        return FOREIGN
    if liveness is Liveness.DENIED:
        return DENIED
    if liveness is Liveness.SILENT or snapshot is None:
        return SILENT
    if liveness is Liveness.STALE:
        return STALE
    match snapshot.admin:
        case Admin.DRAINING:
            return State("◐ drain", "warn", 2)
        case Admin.DISABLED:
            return State("○ off", "dim", 2)
        case Admin.ENABLED:
            return UP


# ---- VIPs


def vips(agents: Iterable[Agent], now: float, *, name: str = "") -> list[Vip]:
    """One record per VIP (or of one name) over these agents."""
    sights = _sights(
        agents, "vip", lambda snapshot: {r.name: r for r in snapshot.vips if name in ("", r.name)}
    )
    known = explained([view[0] for views in sights.values() for view in views], now)
    records = [_vip(found, views, now, canary=found in known) for found, views in sights.items()]
    everything = sum(r.pps.value or 0 for r in records)
    return [_with_share(record, everything) for record in records]


def _with_share(record: R, everything: float) -> R:
    return replace(record, share=share(record.pps.value, everything))


def _vip(name: str, views: list[Sight], now: float, *, canary: bool) -> Vip:
    fresh = [view for view in views if view[0].fresh(now, "vip")]
    shown = [row for _, row, _, _ in fresh or views]
    first: VipRow = shown[0]
    return Vip(
        key=f"vip/{name}",
        name=name,
        endpoint=f"{host_port(first.address, first.port)}/{first.protocol}",
        state=_vip_state(shown, canary=canary) if fresh else STALE,
        age=_age(fresh or views, "vip", now),
        stale=not fresh,
        pps=_rates(views, "packets", "vip", now),
        bytes_per_second=_rates(views, "bytes", "vip", now),
        new_flows_per_second=_rates(views, "new_flows", "vip", now),
        drop_pps=_rates(views, "drops", "vip", now),
        share=None,
        reals=max(row.reals for row in shown),
        reals_up=min(row.reals_up for row in shown),
        quorum=max(row.quorum for row in shown),
        announced=sum(row.announced for row in shown) if fresh else 0,
        nodes=len(fresh),
        digests=tuple(sorted({row.ring_digest for row in shown})),
        history=_history(fresh, f"vip/{name}"),
    )


def _vip_state(shown: Sequence[VipRow], *, canary: bool) -> State:
    fewest = min(shown, key=lambda row: row.reals_up - row.quorum)
    if fewest.reals_up == 0:
        return State("✕ no real", "bad", 8)
    if fewest.reals_up < fewest.quorum:
        return State("✕ no quorum", "bad", 8)
    if any(row.phase for row in shown):
        return _leaving(shown)
    if len({row.ring_digest for row in shown}) > 1:
        return State("◐ canary", "warn", 2) if canary else State("▲ rings differ", "warn", 5)
    if fewest.reals_up == fewest.quorum < fewest.reals:
        return State("▲ at minimum", "warn", 3)
    if fewest.reals_up < fewest.reals:
        return State(f"◐ {fewest.reals_up} of {fewest.reals}", "warn", 2)
    return UP


def _leaving(shown: Sequence[VipRow]) -> State:
    """Drained on some nodes, or on all: then in the words of the one that is furthest behind."""
    phases = [row.phase for row in shown if row.phase]
    if len(phases) < len(shown):
        return State(f"◐ drn {len(phases)}/{len(shown)}", "warn", 2)
    first = min(phases, key=("shutting", "withdrawn", "drained").index)
    return State("◐ drain" if first == "shutting" else f"○ {first}", "warn", 2)


# ---- reals


def reals(agents: Iterable[Agent], now: float, *, vip: str = "", address: str = "") -> list[Real]:
    """One record per real of every VIP (or of one; or of one address, then without shares)."""
    sights = _sights(
        agents,
        "real",
        lambda snapshot: {
            (r.vip, r.address): r
            for r in snapshot.reals
            if vip in ("", r.vip) and address in ("", r.address)
        },
    )
    records = [_real(views, now) for views in sights.values()]
    if address:
        return records
    by_vip: dict[str, float] = {}
    for record in records:
        by_vip[record.vip] = by_vip.get(record.vip, 0.0) + (record.pps.value or 0)
    return [_with_share(record, by_vip[record.vip]) for record in records]


def _real(views: list[Sight], now: float) -> Real:
    fresh = [view for view in views if view[0].fresh(now, "real")]
    shown: list[RealRow] = [row for _, row, _, _ in fresh or views]
    first = shown[0]
    return Real(
        key=f"real/{first.address}@{first.vip}",
        vip=first.vip,
        address=first.address,
        state=real_state(shown) if fresh else STALE,
        age=_age(fresh or views, "real", now),
        stale=not fresh,
        weights=tuple(sorted({row.weight for row in shown})),
        effective_weights=tuple(sorted({row.effective_weight for row in shown})),
        up=sum(row.health is Health.UP for row in shown) if fresh else 0,
        nodes=len(fresh),
        agents=tuple(agent.address for agent, *_ in fresh),
        slots=sum(row.slots for row in shown) / len(shown) / RING_SLOTS,
        pps=_rates(views, "packets", "real", now),
        bytes_per_second=_rates(views, "bytes", "real", now),
        new_flows_per_second=_rates(views, "new_flows", "real", now),
        live_flows=total(
            row.live_flows if agent.fresh(now, "real") else None for agent, row, _, _ in views
        ),
        share=None,
        check=next((row.check for row in shown if row.health is not Health.UP), first.check),
        check_ms=max(row.check_ms for row in shown),
        changed=min(_since_change(agent, row, now) for agent, row, _, _ in fresh or views),
        history=_history(fresh, f"real/{first.address}@{first.vip}"),
        emptied=_emptied(fresh),
    )


def _emptied(views: Sequence[Sight]) -> Emptied | None:
    found: list[tuple[float, Emptying]] = [
        (agent.reals.at, row.emptying)
        for agent, row, *_ in views
        if agent.reals is not None and row.emptying is not None
    ]
    if not found:
        return None
    drains = [each for _, each in found]
    unknown = min(each.left for each in drains) < 0
    lasting = [each for each in drains if each.silent >= 0]
    return Emptied(
        seconds=max(at - each.since for at, each in found),
        at_start=sum(each.at_start for each in drains),
        left=None if unknown else max(each.left for each in drains),
        heard=min((each.heard for each in lasting), default=None),
        silent=max((each.silent for each in lasting), default=None),
    )


def real_state(shown: Sequence[RealRow]) -> State:
    """One word for a real as several nodes have it; where they differ, that is the word."""
    count = len(shown)
    health = {row.health for row in shown}
    draining = sum(row.admin is Admin.DRAINING for row in shown)
    disabled = sum(row.admin is Admin.DISABLED for row in shown)
    if health == {Health.DOWN}:
        return State("✕ down", "bad", 6)
    if Health.DOWN in health:
        return State("▲ split", "warn", 5)
    if 0 < draining < count:
        return State(f"◐ drn {draining}/{count}", "warn", 4)
    if draining:
        flows = sum(row.live_flows for row in shown)
        return State("◐ drain", "warn", 2) if flows else State("○ drained", "dim", 1)
    if disabled:
        return State("○ off" if disabled == count else f"○ off {disabled}/{count}", "dim", 3)
    if Health.UNKNOWN in health:
        return State("· unchecked", "stale", 3)
    return UP


def _since_change(agent: Agent, row: RealRow, now: float) -> float:
    """The agent's clock at its snapshot, plus what has passed here since."""
    at = agent.reals.at if agent.reals else 0.0
    return max(0.0, at - row.changed + (agent.age(now, "real") or 0.0))


# ---- drops


def drops(agents: Iterable[Agent], now: float) -> list[Drop]:
    """One record per reason for which any of these agents ever dropped a packet."""
    sights = _sights(agents, "drop", lambda snapshot: {r.reason: r for r in snapshot.drops})
    records = [_drop(reason, views, now) for reason, views in sights.items()]
    everything = sum(r.pps.value or 0 for r in records)
    return [_with_share(record, everything) for record in records if record.packets]


def _drop(reason: int, views: list[Sight], now: float) -> Drop:
    fresh = [view for view in views if view[0].fresh(now, "drop")]
    rows: list[tuple[Agent, DropRow]] = [(agent, row) for agent, row, _, _ in views]
    return Drop(
        key=f"drop/{reason}",
        reason=reason,
        name=rows[0][1].name or name_of(reason),
        pps=_rates(views, "packets", "drop", now),
        packets=sum(row.packets for _, row in rows),
        share=None,
        nodes=tuple(agent.name for agent, row in rows if row.packets),
        history=_history(fresh, f"drop/{reason}"),
    )


# ---- over nodes


def _sights(
    agents: Iterable[Agent], topic: str, index: Callable[[Any], dict[Any, Any]]
) -> dict[Any, list[Sight]]:
    """Object -> what each agent that carries it says of it, in the order of the agents."""
    sights: dict[Any, list[Sight]] = {}
    for agent in agents:
        latest = getattr(agent, f"{topic}s")
        if latest is None:
            continue
        before, span = agent.pair(topic)
        old = index(before) if before is not None else {}
        for key, row in index(latest).items():
            sights.setdefault(key, []).append((agent, row, old.get(key), span))
    return sights


def _rates(views: Iterable[Sight], counter: str, topic: str, now: float) -> Sum:
    count = attrgetter(counter)
    return total(
        rate(count(old), count(row), span) if old is not None and agent.fresh(now, topic) else None
        for agent, row, old, span in views
    )


def _age(views: Iterable[Sight], topic: str, now: float) -> float | None:
    """The oldest of what is shown: a row is as old as its oldest part."""
    return max((age for a, *_ in views if (age := a.age(now, topic)) is not None), default=None)


def _history(views: Iterable[Sight], key: str) -> tuple[float | None, ...]:
    """Sparklines of several nodes, added up second by second from the newest back."""
    kept = [list(agent.history[key]) for agent, *_ in views if key in agent.history]
    longest = max((len(values) for values in kept), default=0)
    unknown: list[float | None] = [None]
    padded = [unknown * (longest - len(values)) + values for values in kept]
    columns = cast("Iterable[tuple[float, ...]]", zip(*padded, strict=True))
    return tuple(None if None in column else sum(column) for column in columns)
