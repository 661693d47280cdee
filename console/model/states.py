# SPDX-License-Identifier: Apache-2.0
"""The one word that a table has for a node, a VIP or a real, as one node or several have it.  Pure.

The worst that any node says of it is the word; that nodes differ is one of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from console.model.records import DENIED, FOREIGN, SILENT, STALE, UP, State
from console.model.store import Liveness
from shared.messages import NodeSnapshot, RealRow, VipRow
from shared.model import Admin, Health

OF_NODES = {
    Admin.DRAINING: State("◐ drain", "warn", 2),
    Admin.DISABLED: State("○ off", "dim", 2),
    Admin.ENABLED: UP,
}


WITHDRAWN = State("○ withdrawn", "warn", 2)
"""By an operator: its routes are away."""
DRAINED = State("○ drained", "dim", 1)


def node_state(liveness: Liveness, snapshot: NodeSnapshot | None) -> State:
    if liveness is Liveness.FOREIGN:
        return FOREIGN
    if liveness is Liveness.DENIED:
        return DENIED
    if liveness is Liveness.SILENT or snapshot is None:
        return SILENT
    if liveness is Liveness.STALE:
        return STALE
    if snapshot.withdrawn and snapshot.admin is Admin.ENABLED:
        return WITHDRAWN
    return DRAINED if snapshot.phase == "drained" else OF_NODES[snapshot.admin]


def vip_state(shown: Sequence[VipRow], *, canary: bool) -> State:
    fewest = min(shown, key=lambda row: row.reals_up - row.quorum)
    if fewest.reals_up == 0:
        return State("✕ no real", "bad", 8)
    if fewest.reals_up < fewest.quorum:
        return State("✕ no quorum", "bad", 8)
    if any(row.phase for row in shown):
        return _leaving(shown)
    if away := sum(row.withdrawn is not None for row in shown):
        few = State(f"◐ wd {away}/{len(shown)}", "warn", 2)
        return WITHDRAWN if away == len(shown) else few
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


def real_state(shown: Sequence[RealRow]) -> State:
    """One word for a real as several nodes have it; where they differ, that is the word."""
    count = len(shown)
    admin = [row.admin for row in shown]
    told = [row.health for row in shown]
    if told.count(Health.UP) == admin.count(Admin.ENABLED) == count:
        return UP  # as most are: enums are slow in sets, and this is asked for every real and node
    health = set(told)
    draining, disabled = admin.count(Admin.DRAINING), admin.count(Admin.DISABLED)
    if health == {Health.DOWN}:
        return State("✕ down", "bad", 6)
    if Health.DOWN in health:
        return State("▲ split", "warn", 5)
    if 0 < draining < count:
        return State(f"◐ drn {draining}/{count}", "warn", 4)
    if draining:
        left = any(row.live_flows or may_have_more(row) for row in shown)
        return State("◐ drain", "warn", 2) if left else DRAINED
    if disabled:
        return State("○ off" if disabled == count else f"○ off {disabled}/{count}", "dim", 3)
    if Health.UNKNOWN in health:
        return State("· unchecked", "stale", 3)
    return UP


def may_have_more(row: RealRow) -> bool:
    """It drains, and has flows perhaps that have no entry yet: empty is what its agent calls so."""
    return row.emptying is not None and not row.live_flows and not row.emptying.empty_at
