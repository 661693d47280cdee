# SPDX-License-Identifier: Apache-2.0
"""Snapshots: one struct per topic, each complete."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.counters import Counters
from shared.messages.numbers import Finite
from shared.messages.rows import (
    DropRow,
    Peer,
    PendingRow,
    ProgramTotals,
    RealRow,
    RolloutRow,
    VipRow,
    Withdrawn,
)
from shared.model import Admin


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every telemetry message says of its origin."""

    node: str
    boot: str
    """Changes when the totals start again from zero."""
    sequence: int
    """Goes up by one per message of this topic: a gap is a lost message."""
    at: Finite
    """The agent's CLOCK_MONOTONIC in seconds when the totals were read."""


class NodeSnapshot(Message, frozen=True, kw_only=True, tag="node"):
    """Topic `node`: the node at a glance, a few hundred bytes."""

    version: str
    wall: Finite
    """Unix time at `at`, to show clock skew; never used for rates."""
    started: Finite
    """Agent-monotonic seconds when the agent process started."""
    admin: Admin
    revision: int
    """Goes up with every applied change; commands may expect one."""
    interface: str
    xdp_mode: Literal["native", "generic"]
    """As configured."""
    program: str
    """Tag of the loaded program (8 bytes hex)."""
    ring_digest: str
    """Over all rings of the node: equal on all nodes that place alike."""
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    pass_packets: int
    drop_packets: int
    flow_hits: int
    flow_misses: int
    new_flows: int
    vips: int
    vips_announced: int
    reals: int
    reals_up: int
    live_flows: int
    peers: tuple[Peer, ...]
    cpu_seconds: Finite
    """Processor time that the agent process has used."""
    rss_bytes: int
    generation: int = 0
    """Number of the config in force."""
    phase: str = ""
    """Of a drain of the node: shutting, withdrawn, drained."""
    phase_since: Finite = 0.0
    phase_why: str = ""
    pending: tuple[PendingRow, ...] = ()
    simulated: bool = False
    """Nothing of it is real."""
    insecure: bool = False
    """It listens on a network without keys: anybody there can steer it."""
    xdp_attached: str = ""
    """Read back from the kernel: native, generic, offloaded; none, foreign (somebody else's
    program); empty: not said."""
    rollouts: tuple[RolloutRow, ...] = ()
    """Operations that come to their nodes one after the other and are not over."""
    labels: str = ""
    """Digest of the labels in force, as in topic `label`; empty: an older agent, it has none to
    say."""
    disk_silent: Finite = 0.0
    """Seconds for which the disk of its state directory has not answered: so long it refuses all
    changes; 0: it answers."""
    disk_lost: int = 0
    """Records of the audit and blocks of the last hour that this disk did not take, since the agent
    started."""
    withdrawn: Withdrawn | None = None
    """The node announces nothing."""
    overruns: int = 0
    """Times that a subscriber did not keep up with the telemetry, and began to lose messages, since
    the agent started."""


class VipSnapshot(Message, frozen=True, kw_only=True, tag="vip"):
    """Topic `vip`: every VIP of the node."""

    vips: tuple[VipRow, ...]


class RealSnapshot(Message, frozen=True, kw_only=True, tag="real"):
    """Topic `real`: every real of every VIP of the node."""

    reals: tuple[RealRow, ...]


class CpuSnapshot(Message, frozen=True, kw_only=True, tag="cpu"):
    """Topic `cpu`: one counter per CPU in each field."""

    rx_packets: Counters
    rx_bytes: Counters
    tx_packets: Counters
    pass_packets: Counters
    drop_packets: Counters
    flow_hits: Counters
    flow_misses: Counters
    queues: tuple[Counters, ...] = ()
    """Of each receive queue: its packets per CPU; up to the last queue that had one.  The 64th
    counts those behind it too."""
    softirq: Counters = Counters(())
    """Hundredths of a second in soft interrupts since the machine started, as its kernel has it
    (/proc/stat); empty: not known."""


class FlowtableSnapshot(Message, frozen=True, kw_only=True, tag="flowtable"):
    """Topic `flowtable`: the flow tables of all CPUs together.

    hits + miss_syn + miss_udp + miss_other = lookups; new flows per second give the turnover time.
    """

    capacity: int
    """Entries, over the CPUs that received packets."""
    occupied: int
    live: int
    hits: int
    miss_syn: int
    miss_udp: int
    miss_other: int
    stale: int
    evictions: int
    untracked: int = 0
    """Total since `boot`: packets placed by the ring alone, without a lookup."""
    previous: int = 0
    """Of the misses: placed as before the ring changed."""
    unstored: int = 0
    """Of the misses: the ring would place it alike, and too many came at once."""
    restart: int = 0
    """Of miss_other: while the table is so new that it cannot know."""
    moved: int = 0
    """Fetched from another CPU's flow table, then a hit or stale."""
    program: ProgramTotals = ProgramTotals()
    """What else the program counts."""


class DropSnapshot(Message, frozen=True, kw_only=True, tag="drop"):
    """Topic `drop`: packets dropped, by reason, and what became of their events."""

    drops: tuple[DropRow, ...]
    events: int
    suppressed: int
    """Over the event rate: counted in `drops`, no event."""
    lost: int
    """The ring buffer was full: counted in `drops`, no event."""


Snapshot = (
    NodeSnapshot | VipSnapshot | RealSnapshot | CpuSnapshot | FlowtableSnapshot | DropSnapshot
)
