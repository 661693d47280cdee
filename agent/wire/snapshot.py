# SPDX-License-Identifier: Apache-2.0
"""State and counters -> telemetry.  Pure: totals are read by others and passed in.

What is said of VIPs and reals apart from counters is worked out in agent/wire/standing.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from agent.config.tree import Wire
from agent.core import rollouts, wording
from agent.core.pending import Due
from agent.core.state import NodeState, PeerState
from agent.dataplane import abi
from agent.wire import labelling
from agent.wire.form import Head
from agent.wire.pace import EVERY
from agent.wire.standing import RealForm, Standing, Standings, VipForm, withdrawn
from shared.codec import telemetry_frames, telemetry_of
from shared.messages import (
    Counters,
    CpuSnapshot,
    DropRow,
    DropSnapshot,
    FlowtableSnapshot,
    NodeSnapshot,
    Peer,
    PendingRow,
    ProgramTotals,
    Snapshot,
)
from shared.model import is_loopback
from shared.reasons import REASONS

Totals = NDArray[Any]
Total = Callable[[str], int]
"""A field's name -> its sum over the CPUs."""
PACKETS, BYTES, FLOWS, DROPS = range(4)
"""Columns of the per-VIP and per-real totals."""


class DiskHealth(NamedTuple):
    """Of the state directory's disk, as NodeSnapshot has it."""

    silent: float = 0.0
    lost: int = 0


class Reading(Struct, frozen=True):
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
    """What became of the checks' packets (agent/dataplane/tunnel.py)."""
    attached: str = ""
    """As NodeSnapshot.xdp_attached."""
    softirq: tuple[int, ...] = ()
    """As CpuSnapshot.softirq."""
    disk: DiskHealth = DiskHealth()
    overruns: int = 0
    """As NodeSnapshot.overruns."""


class Origin(Struct, frozen=True):
    """What does not change while the agent runs."""

    boot: str
    version: str
    started: float
    program: str


class Snapshots:
    """Makes them, and remembers what has not changed since the last ones."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._standings = Standings()
        self._vips, self._reals = VipForm(), RealForm()
        self._digested: tuple[object, str] = (None, "")
        self._labels = labelling.Digest()

    def published(
        self,
        state: NodeState,
        reading: Reading,
        sequences: Mapping[str, int],
        topics: Container[str],
    ) -> list[list[bytes]]:
        """The frames of one complete snapshot of each of these topics."""
        standings, total = self._standings.of(state), _sums(reading.totals)
        make: dict[str, Callable[[Head], list[bytes]]] = {
            "node": lambda head: telemetry_frames(
                self._node(state, standings, reading, total, head)
            ),
            "vip": lambda head: self._vips.frames(standings, reading.vips, head),
            "real": lambda head: self._reals.frames(standings, reading.reals, state, head),
            "cpu": lambda head: telemetry_frames(_cpu(reading, head)),
            "flowtable": lambda head: telemetry_frames(_flowtable(reading, total, head)),
            "drop": lambda head: telemetry_frames(_drop(reading, total, head)),
            "label": lambda head: telemetry_frames(labelling.snapshot(state.listed, head)),
        }
        return [
            made(self._head(state, reading, sequences[topic]))
            for topic, made in make.items()
            if topic in topics
        ]

    def _head(self, state: NodeState, reading: Reading, sequence: int) -> Head:
        return {
            "node": state.listed.node.name,
            "boot": self._origin.boot,
            "sequence": sequence,
            "at": reading.at,
        }

    def _node(
        self,
        state: NodeState,
        standings: tuple[Standing, ...],
        reading: Reading,
        total: Total,
        head: Head,
    ) -> NodeSnapshot:
        rings = [vip.ring_digest for vip in state.vips.values()], list(state.vips)
        if self._digested[0] != rings:
            self._digested = rings, ring_digest(state)
        digests = {"digest": self._digested[1], "labels": self._labels.of(state.listed)}
        return _node(state, standings, reading, self._origin, head, total=total, **digests)


def snapshots(
    state: NodeState, reading: Reading, origin: Origin, sequence: int
) -> tuple[Snapshot, ...]:
    """One complete snapshot of every topic, as a reader gets it."""
    made = Snapshots(origin).published(state, reading, dict.fromkeys(EVERY, sequence), EVERY)
    return tuple(telemetry_of(frames) for frames in made)  # type: ignore[misc]  # no others


def ring_digest(state: NodeState) -> str:
    """One digest over all rings: equal on all nodes that place every flow alike."""
    rings = sorted((str(vip.listed.key), vip.ring_digest) for vip in state.vips.values())
    return hashlib.blake2b(repr(rings).encode(), digest_size=6).hexdigest()


def _sums(totals: Totals) -> Total:
    """All of them in one step (every field is 64 bits)."""
    words = totals.view(np.uint64).reshape(len(totals), -1).sum(axis=0).tolist()
    return lambda name: int(words[_WORD[name]])


_WORD = {name: where[1] // 8 for name, where in (np.dtype(abi.Totals).fields or {}).items()}


def _node(
    state: NodeState,
    standings: tuple[Standing, ...],
    reading: Reading,
    origin: Origin,
    head: Head,
    *,
    total: Total,
    digest: str,
    labels: str,
) -> NodeSnapshot:
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
        ring_digest=digest,
        rx_packets=total("rx_packets"),
        rx_bytes=total("rx_bytes"),
        tx_packets=total("tx_packets"),
        tx_bytes=total("tx_bytes"),
        pass_packets=total("pass_packets"),
        drop_packets=total("drop_packets"),
        flow_hits=total("flow_hits"),
        flow_misses=sum(total(f"flow_miss_{cause}") for cause in ("syn", "udp", "other")),
        # Of VIPs that are gone, too (number 0).  The misses are not all: a VIP may store no flows.
        new_flows=int(reading.vips[:, FLOWS].sum()),
        vips=len(standings),
        vips_announced=sum([one.announced for one in standings]),
        reals=sum([len(one.real_nums) for one in standings]),
        reals_up=sum([one.reals_up for one in standings]),
        live_flows=reading.live,
        peers=tuple(_peer(address, peer) for address, peer in state.peers.items()),
        cpu_seconds=reading.cpu_seconds,
        rss_bytes=reading.rss_bytes,
        insecure=_insecure(state.listed.wire),
        generation=state.generation,
        pending=tuple(_pending(due) for due in state.pending),
        xdp_attached=reading.attached,
        rollouts=tuple(rollouts.row(part) for part in state.rollouts),
        labels=labels,
        disk_silent=reading.disk.silent,
        disk_lost=reading.disk.lost,
        overruns=reading.overruns,
        withdrawn=withdrawn(state.withdrawn),
        **_phase(state),
    )


def _peer(address: str, peer: PeerState) -> Peer:
    return Peer(
        address,
        peer.asn,
        peer.state,
        peer.since,
        peer.detail,
        peer.error,
        peer.failed,
        withdrawn(peer.withdrawn),
    )


def _phase(state: NodeState) -> Head:
    at = state.shutdown
    return {"phase": at.phase.value, "phase_since": at.since, "phase_why": at.why} if at else {}


def _pending(due: Due) -> PendingRow:
    pending = due.pending
    what = ", ".join(
        f"routes of {wording.object_of(o, '')}" if o.route else wording.object_of(o, "").rstrip("/")
        for o in pending.back
    )
    return PendingRow(pending.kind, what, pending.who, due.at, pending.operation)


def _insecure(wire: Wire | None) -> bool:
    return wire is not None and not wire.keyed and not is_loopback(wire.host)


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


def _flowtable(reading: Reading, total: Total, head: Head) -> FlowtableSnapshot:
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
        program=_program(reading, total),
    )


_PROBES = "probes_"


def _program(reading: Reading, total: Total) -> ProgramTotals:
    """Each field is named as the program's counter, or `probes_` and what became of a check."""
    names = ProgramTotals.__struct_fields__
    counted = {name: total(name) for name in names if not name.startswith(_PROBES)}
    probes = {f"{_PROBES}{name}": number for name, number in reading.probes.items()}
    return ProgramTotals(**counted, **probes)


def _drop(reading: Reading, total: Total, head: Head) -> DropSnapshot:
    by_reason = reading.totals["drops"].sum(axis=0)
    return DropSnapshot(
        **head,
        drops=tuple(DropRow(r.number, r.name, int(by_reason[r.number])) for r in REASONS),
        events=total("events"),
        suppressed=total("events_suppressed"),
        lost=total("events_lost"),
    )
