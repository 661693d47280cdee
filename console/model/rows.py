# SPDX-License-Identifier: Apache-2.0
"""The store -> what a table shows: one record per node, VIP, real or drop reason.  Pure.

Values over several nodes are sums of what is known; what is too old is left out, and counted.
`seen.py` gathers what the nodes say of an object, `states.py` has the word for it, `columns.py` how
a record is written; `get -o json` takes it as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from console.model.labels import Book, Said
from console.model.objects import endpoint
from console.model.rates import share, total
from console.model.records import STALE, Drop, Emptied, Node, Real, Vip
from console.model.seen import Seen, seen_by
from console.model.sights import (
    DROP_COUNTERS,
    NODE_COUNTERS,
    REAL_COUNTERS,
    VIP_COUNTERS,
    Minute,
    Rates,
    Sight,
)
from console.model.states import node_state, real_state, vip_state
from console.model.store import Agent, Liveness
from console.model.underway import as_expected, explained, had_its_turn
from shared.messages import Emptying, RealRow, VipRow
from shared.model import RING_SLOTS, Health
from shared.reasons import name_of

R = TypeVar("R", Vip, Real, Drop)
NODE_UNKNOWN: Rates = (None,) * len(NODE_COUNTERS)

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
    snapshot, sights = agent.node, agent.sights("node")
    liveness = agent.liveness(now)
    rates = NODE_UNKNOWN if snapshot is None else sights.get("").rates
    pps, octets, tx_pps, pass_pps, drop_pps, new_flows, hits, misses, cpu = rates
    lookups = None if misses is None or hits is None else misses + hits
    differs = bool(snapshot and liveness is Liveness.LIVE and snapshot.ring_digest != common)
    return Node(
        key=agent.address,
        address=agent.address,
        name=agent.name,
        state=node_state(liveness, snapshot),
        liveness=liveness,
        age=agent.age(now),
        snapshot=snapshot,
        pps=pps,
        bytes_per_second=octets,
        tx_pps=tx_pps,
        pass_pps=pass_pps,
        drop_pps=drop_pps,
        new_flows_per_second=new_flows,
        misses=share(misses, lookups),
        lookups=lookups,
        cpu=cpu,
        ring_expected=differs and expected and had_its_turn(agent),
        ring_differs=differs and not expected,
        minute=Minute("", (sights,)),
        labels=agent.own_labels,
    )


# ---- VIPs


def vips(agents: Iterable[Agent], now: float, *, name: str = "") -> list[Vip]:
    """One record per VIP (or of one name) over these agents."""
    carrying = [agent for agent in agents if agent.vips is not None]
    seen = seen_by(carrying, "vip", now, lambda found: name in ("", found))
    known, book = explained(carrying, now), Book(carrying)
    records = [
        _vip(found, each, now, book.vip(found), canary=found in known)
        for found, each in seen.items()
    ]
    everything = sum(r.pps.value or 0 for r in records)
    return [_with_share(record, everything) for record in records]


def _with_share(record: R, everything: float) -> R:
    return record._replace(share=share(record.pps.value, everything))


def _vip(name: str, seen: Seen, now: float, labels: Said, *, canary: bool) -> Vip:
    fresh, shown = seen.fresh, [sight.row for sight in seen.shown]
    first: VipRow = shown[0]
    pps, octets, new_flows, drops_ = seen.sums(VIP_COUNTERS)
    return Vip(
        key=f"vip/{name}",
        name=name,
        endpoint=endpoint(first),
        state=vip_state(shown, canary=canary) if fresh else STALE,
        age=seen.age(now),
        stale=not fresh,
        pps=pps,
        bytes_per_second=octets,
        new_flows_per_second=new_flows,
        drop_pps=drops_,
        share=None,
        reals=max([row.reals for row in shown]),
        reals_up=min([row.reals_up for row in shown]),
        quorum=max([row.quorum for row in shown]),
        announced=sum(row.announced for row in shown) if fresh else 0,
        nodes=len(fresh),
        digests=tuple(sorted({row.ring_digest for row in shown})),
        minute=seen.minute,
        labels=labels,
        withdrawn=tuple([(s.node, s.row.withdrawn) for s in fresh if s.row.withdrawn]),
        counted=seen.counted,
    )


# ---- reals


def reals(agents: Iterable[Agent], now: float, *, vip: str = "", address: str = "") -> list[Real]:
    """One record per real of every VIP (or of one; or of one address, then without shares)."""

    def meant(name: tuple[str, str]) -> bool:
        return vip in ("", name[0]) and address in ("", name[1])

    telling = list(agents)
    book = Book(telling)
    records = [
        _real(seen, now, book.real(*name))
        for name, seen in seen_by(telling, "real", now, meant).items()
    ]
    if address:
        return records
    by_vip: dict[str, float] = {}
    for record in records:
        by_vip[record.vip] = by_vip.get(record.vip, 0.0) + (record.pps.value or 0)
    return [_with_share(record, by_vip[record.vip]) for record in records]


def _real(seen: Seen, now: float, labels: Said) -> Real:
    fresh, shown = seen.fresh, [sight.row for sight in seen.shown]
    first: RealRow = shown[0]
    pps, octets, new_flows = seen.sums(REAL_COUNTERS)
    up = [row.health for row in shown].count(Health.UP)
    return Real(
        key=f"real/{first.address}@{first.vip}",
        vip=first.vip,
        address=first.address,
        state=real_state(shown) if fresh else STALE,
        age=seen.age(now),
        stale=not fresh,
        weights=tuple(sorted({row.weight for row in shown})),
        effective_weights=tuple(sorted({row.effective_weight for row in shown})),
        up=up if fresh else 0,
        nodes=len(fresh),
        agents=tuple([sight.address for sight in fresh]),
        slots=sum([row.slots for row in shown]) / len(shown) / RING_SLOTS,
        pps=pps,
        bytes_per_second=octets,
        new_flows_per_second=new_flows,
        live_flows=total([sight.row.live_flows for sight in fresh], len(seen.old)),
        share=None,
        check=first.check if up == len(shown) else _worst(shown).check,
        check_ms=max([row.check_ms for row in shown]),
        changed=_since_change(seen.shown, now),
        minute=seen.minute,
        emptied=_emptied(fresh),
        labels=labels,
        counted=seen.counted,
    )


def _worst(shown: Sequence[RealRow]) -> RealRow:
    return next(row for row in shown if row.health is not Health.UP)


def _emptied(fresh: Sequence[Sight]) -> Emptied | None:
    found: list[tuple[float, Emptying]] = [
        (sight.at, sight.row.emptying) for sight in fresh if sight.row.emptying is not None
    ]
    if not found:
        return None
    drains = [each for _, each in found]
    unknown = min(each.left for each in drains) < 0
    lasting = [each for each in drains if each.silent >= 0]
    unknown_for, why = max((each.unknown_until - at, each.unknown_why) for at, each in found)
    return Emptied(
        seconds=max(at - each.since for at, each in found),
        at_start=sum(each.at_start for each in drains),
        left=None if unknown else max(each.left for each in drains),
        heard=min((each.heard for each in lasting), default=None),
        silent=max((each.silent for each in lasting), default=None),
        unknown=max(0.0, unknown_for),
        unknown_why=why if unknown_for > 0 else "",
    )


def _since_change(sights: Sequence[Sight], now: float) -> float:
    """The agent's clock at its snapshot, plus what has passed here since."""
    least: float = min([sight.at - sight.row.changed - sight.seen for sight in sights])
    return max(0.0, now + least)


# ---- drops


def drops(agents: Iterable[Agent], now: float) -> list[Drop]:
    """One record per reason for which any of these agents ever dropped a packet."""
    seen = seen_by(agents, "drop", now, lambda _: True)
    records = [_drop(reason, each) for reason, each in seen.items()]
    everything = sum(r.pps.value or 0 for r in records)
    return [_with_share(record, everything) for record in records if record.packets]


def _drop(reason: int, seen: Seen) -> Drop:
    sights = [*seen.fresh, *seen.old]
    (pps,) = seen.sums(DROP_COUNTERS)
    return Drop(
        key=f"drop/{reason}",
        reason=reason,
        name=sights[0].row.name or name_of(reason),
        pps=pps,
        packets=sum(sight.row.packets for sight in sights),
        share=None,
        nodes=tuple(sight.node for sight in sights if sight.row.packets),
        minute=seen.minute,
    )
