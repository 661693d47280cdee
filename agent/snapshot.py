# SPDX-License-Identifier: Apache-2.0
"""State and counters -> telemetry.  Pure: totals are read by others and passed in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent import emptying, rollouts
from agent.config import Wire
from agent.pending import Due
from agent.state import NodeState, VipState
from shared.messages import (
    Ailing,
    Counters,
    CpuSnapshot,
    DropRow,
    DropSnapshot,
    Emptying,
    FlowtableSnapshot,
    NodeSnapshot,
    Peer,
    PendingRow,
    ProgramTotals,
    RealRow,
    RealSnapshot,
    Snapshot,
    VipRow,
    VipSnapshot,
)
from shared.model import Admin, Health, is_loopback
from shared.reasons import REASONS

Totals = NDArray[Any]
Head = dict[str, Any]
"""The keywords that every message takes."""
Deadlines = dict[tuple[str, str], tuple[float, str]]
"""(VIP name, real's address) -> (agent-monotonic seconds, wait or kill)."""
PACKETS, BYTES, FLOWS, DROPS = range(4)
"""Columns of the per-VIP and per-real totals."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was counted, read at one moment."""

    at: float
    """CLOCK_MONOTONIC, seconds."""
    wall: float
    totals: Totals
    """One struct lb_totals per CPU."""
    vips: NDArray[np.uint64]
    """[vip_num, column], summed over the CPUs."""
    reals: NDArray[np.uint64]
    """[real_num, column]."""
    capacity: int
    occupied: int
    live: int
    cpu_seconds: float
    rss_bytes: int
    queues: NDArray[np.uint64] | None = None
    """[cpu, receive queue]: packets."""
    probes: Mapping[str, int] = field(default_factory=dict)
    """What became of the checks' packets (agent/tunnel.py)."""
    attached: str = ""
    """As NodeSnapshot.xdp_attached."""
    softirq: tuple[int, ...] = ()
    """As CpuSnapshot.softirq."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What does not change while the agent runs."""

    boot: str
    version: str
    started: float
    program: str


def snapshots(
    state: NodeState, reading: Reading, origin: Origin, sequence: int
) -> tuple[Snapshot, ...]:
    """One complete snapshot of every topic."""
    head: Head = {
        "node": state.listed.node.name,
        "boot": origin.boot,
        "sequence": sequence,
        "at": reading.at,
    }
    vips = tuple([_vip(state, v, reading) for v in state.vips.values()])
    return (
        _node(state, vips, reading, origin, head),
        VipSnapshot(vips=vips, **head),
        RealSnapshot(
            reals=tuple(
                [
                    row
                    for deadlines in [_deadlines(state)]
                    for v in state.vips.values()
                    for row in _reals(v, reading, deadlines)
                ]
            ),
            **head,
        ),
        _cpu(reading, head),
        _flowtable(reading, head),
        _drop(reading, head),
    )


def ring_digest(state: NodeState) -> str:
    """One digest over all rings: equal on all nodes that place every flow alike."""
    rings = sorted((str(vip.listed.key), vip.ring_digest) for vip in state.vips.values())
    return hashlib.blake2b(repr(rings).encode(), digest_size=6).hexdigest()


def _sums(totals: Totals) -> Callable[[str], int]:
    return lambda name: int(totals[name].sum())


def _node(
    state: NodeState, vips: tuple[VipRow, ...], reading: Reading, origin: Origin, head: Head
) -> NodeSnapshot:
    total = _sums(reading.totals)
    node = state.listed.node
    return NodeSnapshot(
        **head,
        version=origin.version,
        wall=reading.wall,
        started=origin.started,
        admin=state.admin,
        revision=state.revision,
        interface=node.interface,
        xdp_mode=node.xdp_mode,
        program=origin.program,
        ring_digest=ring_digest(state),
        rx_packets=total("rx_packets"),
        rx_bytes=total("rx_bytes"),
        tx_packets=total("tx_packets"),
        tx_bytes=total("tx_bytes"),
        pass_packets=total("pass_packets"),
        drop_packets=total("drop_packets"),
        flow_hits=total("flow_hits"),
        flow_misses=sum(total(f"flow_miss_{cause}") for cause in ("syn", "udp", "other")),
        new_flows=total("flow_miss_syn") + total("flow_miss_udp"),
        vips=len(vips),
        vips_announced=sum(vip.announced for vip in vips),
        reals=sum(vip.reals for vip in vips),
        reals_up=sum(vip.reals_up for vip in vips),
        live_flows=reading.live,
        peers=tuple(
            Peer(address, peer.asn, peer.state, peer.since, peer.detail, peer.error, peer.failed)
            for address, peer in state.peers.items()
        ),
        cpu_seconds=reading.cpu_seconds,
        rss_bytes=reading.rss_bytes,
        insecure=_insecure(state.listed.wire),
        generation=state.generation,
        pending=tuple(_pending(due) for due in state.pending),
        xdp_attached=reading.attached,
        rollouts=tuple(rollouts.row(part) for part in state.rollouts),
        **_phase(state),
    )


def _phase(state: NodeState) -> Head:
    at = state.shutdown
    return {"phase": at.phase.value, "phase_since": at.since, "phase_why": at.why} if at else {}


def _pending(due: Due) -> PendingRow:
    pending = due.pending
    what = ", ".join(
        (f"real/{o.real}@{o.vip}" if o.real else f"vip/{o.vip}") if o.vip else "node"
        for o in pending.back
    )
    return PendingRow(pending.kind, what, pending.who, due.at, pending.operation)


def _insecure(wire: Wire | None) -> bool:
    return wire is not None and not wire.keyed and not is_loopback(wire.host)


def _vip(state: NodeState, vip: VipState, reading: Reading) -> VipRow:
    packets, octets, flows, drops = reading.vips[vip.vip_num].tolist()
    return VipRow(
        name=vip.listed.name,
        address=vip.listed.where,
        port=vip.listed.port,
        protocol=vip.listed.protocol,
        packets=packets,
        bytes=octets,
        new_flows=flows,
        drops=drops,
        reals=len(vip.reals),
        reals_up=vip.serving,
        quorum=vip.listed.leaves_below,
        announced=vip.listed.address in state.announced,
        ring_digest=vip.ring_digest,
        ring_changes=vip.ring_changes,
        flow_table=vip.listed.flow_table,
        pressure=vip.pressure.on,
        pressure_seconds=vip.pressure.seconds,
        ailing=tuple(
            Ailing(real.name, real.verdict.health, real.check, real.changed)
            for real in vip.reals.values()
            if real.verdict.health is not Health.UP
        ),
        drained=tuple(r.name for r in vip.reals.values() if r.admin is Admin.DRAINING),
        phase=vip.shutdown.phase.value if vip.shutdown else "",
    )


def _reals(vip: VipState, reading: Reading, deadlines: Deadlines) -> list[RealRow]:
    name, reals = vip.listed.name, list(vip.reals.values())
    # One step from numpy to Python for all of them, and rows by position, in one expression: of
    # two thousand rows a second each call and each keyword is seen in the agent's processor time.
    counted = reading.reals[[real.number.real_num for real in reals]].tolist()
    return [
        RealRow(
            name,
            real.name,
            real.admin,
            real.verdict.health,
            real.weight,
            real.effective_weight,
            slots,
            row[PACKETS],
            row[BYTES],
            row[FLOWS],
            real.live_flows,
            real.changed,
            real.check,
            real.check_ms,
            _emptying(name, real.name, real.emptying, deadlines) if real.emptying else None,
        )
        for real, slots, row in zip(reals, vip.slots, counted, strict=True)
    ]


def _emptying(vip: str, real: str, found: emptying.Emptying, deadlines: Deadlines) -> Emptying:
    deadline, then = deadlines.get((vip, real), (0.0, ""))
    half, left = emptying.half_life(found), emptying.seconds_left(found)
    return Emptying(
        found.since,
        found.at_start,
        half if math.isfinite(half) else -1,
        left if math.isfinite(left) else -1,
        found.empty_at,
        deadline,
        then,
        *(found.silence or (-1.0, -1.0)),
    )


def _deadlines(state: NodeState) -> Deadlines:
    return {
        (override.vip, override.real): (due.at, due.pending.kind)
        for due in state.pending
        if due.pending.kind in ("wait", "kill")
        for override in due.pending.back
    }


def _cpu(reading: Reading, head: Head) -> CpuSnapshot:
    totals = reading.totals
    misses = totals["flow_miss_syn"] + totals["flow_miss_udp"] + totals["flow_miss_other"]
    fields = ("rx_packets", "rx_bytes", "tx_packets", "pass_packets", "drop_packets", "flow_hits")
    by_cpu: Head = {name: Counters(totals[name].tolist()) for name in fields}
    return CpuSnapshot(
        **head,
        **by_cpu,
        flow_misses=Counters(misses.tolist()),
        queues=_queues(reading.queues),
        softirq=Counters(reading.softirq),
    )


def _queues(packets: NDArray[np.uint64] | None) -> tuple[Counters, ...]:
    if packets is None:
        return ()
    used = np.flatnonzero(packets.any(axis=0))
    last = int(used[-1]) + 1 if used.size else 0
    return tuple(Counters(column) for column in packets.T[:last].tolist())


def _flowtable(reading: Reading, head: Head) -> FlowtableSnapshot:
    total = _sums(reading.totals)
    return FlowtableSnapshot(
        **head,
        capacity=reading.capacity,
        occupied=reading.occupied,
        live=reading.live,
        hits=total("flow_hits"),
        miss_syn=total("flow_miss_syn"),
        miss_udp=total("flow_miss_udp"),
        miss_other=total("flow_miss_other"),
        stale=total("flow_stale"),
        evictions=total("flow_evictions"),
        untracked=total("flow_untracked"),
        previous=total("flow_previous"),
        unstored=total("flow_unstored"),
        restart=total("flow_restart"),
        moved=total("flow_moved"),
        program=_program(reading),
    )


_PROBES = "probes_"


def _program(reading: Reading) -> ProgramTotals:
    """Each field is named as the program's counter, or `probes_` and what became of a check."""
    total = _sums(reading.totals)
    names = ProgramTotals.__struct_fields__
    counted = {name: total(name) for name in names if not name.startswith(_PROBES)}
    probes = {f"{_PROBES}{name}": number for name, number in reading.probes.items()}
    return ProgramTotals(**counted, **probes)


def _drop(reading: Reading, head: Head) -> DropSnapshot:
    total = _sums(reading.totals)
    by_reason = reading.totals["drops"].sum(axis=0)
    return DropSnapshot(
        **head,
        drops=tuple(DropRow(r.number, r.name, int(by_reason[r.number])) for r in REASONS),
        events=total("events"),
        suppressed=total("events_suppressed"),
        lost=total("events_lost"),
    )
