# SPDX-License-Identifier: Apache-2.0
"""Everything that crosses the wire: snapshots and their rows, events, traces, commands, answers.

Counters are totals since the maps were made and `at` is the agent's monotonic clock in seconds:
the reader divides.  `boot` changes when those totals restart, so that a reader never subtracts over
a reset.  Snapshots are complete: the newest one replaces all before it.  Unknown fields are ignored
by readers, so a field may be added; none changes its meaning.
"""

from __future__ import annotations

from shared.messages.answers import (
    Ages,
    AgesRow,
    Answer,
    AuditPart,
    Change,
    Configured,
    FlowAfter,
    FlowPlace,
    FlowPlaces,
    Ring,
    StoredFlow,
)
from shared.messages.commands import (
    Action,
    Announce,
    Batch,
    Command,
    ConfigOf,
    Confirm,
    Disable,
    Drain,
    FlowAges,
    FlowOf,
    FlowsOf,
    Look,
    Question,
    ReadAudit,
    ReadHistory,
    Reload,
    Replay,
    RingOf,
    Rollback,
    Rollout,
    Supposed,
    Trace,
    Undrain,
    Untrace,
    Weight,
    Withdraw,
)
from shared.messages.counters import (
    Counters,
)
from shared.messages.events import (
    ChangeEvent,
    DropEvent,
    Event,
    EventBody,
    HealthEvent,
    LostEvent,
    PeerEvent,
    RouteEvent,
)
from shared.messages.labelled import LabelSnapshot
from shared.messages.rows import (
    Ailing,
    DropRow,
    Emptying,
    Peer,
    PendingRow,
    ProgramTotals,
    RealRow,
    RolloutRow,
    VipRow,
    Withdrawn,
)
from shared.messages.snapshots import (
    CpuSnapshot,
    DropSnapshot,
    FlowtableSnapshot,
    Message,
    NodeSnapshot,
    RealSnapshot,
    Snapshot,
    VipSnapshot,
)
from shared.messages.traces import (
    Packets,
    TracedPacket,
)

WIRE_VERSION = 1

TOPICS = frozenset({b"node", b"vip", b"real", b"cpu", b"flowtable", b"drop", b"label", b"event",
                    b"trace"})  # fmt: skip

Telemetry = Snapshot | LabelSnapshot | Event | Packets

__all__ = [
    "TOPICS",
    "WIRE_VERSION",
    "Action",
    "Ages",
    "AgesRow",
    "Ailing",
    "Announce",
    "Answer",
    "AuditPart",
    "Batch",
    "Change",
    "ChangeEvent",
    "Command",
    "ConfigOf",
    "Configured",
    "Confirm",
    "Counters",
    "CpuSnapshot",
    "Disable",
    "Drain",
    "DropEvent",
    "DropRow",
    "DropSnapshot",
    "Emptying",
    "Event",
    "EventBody",
    "FlowAfter",
    "FlowAges",
    "FlowOf",
    "FlowPlace",
    "FlowPlaces",
    "FlowsOf",
    "FlowtableSnapshot",
    "HealthEvent",
    "LabelSnapshot",
    "Look",
    "LostEvent",
    "Message",
    "NodeSnapshot",
    "Packets",
    "Peer",
    "PeerEvent",
    "PendingRow",
    "ProgramTotals",
    "Question",
    "ReadAudit",
    "ReadHistory",
    "RealRow",
    "RealSnapshot",
    "Reload",
    "Replay",
    "Ring",
    "RingOf",
    "Rollback",
    "Rollout",
    "RolloutRow",
    "RouteEvent",
    "Snapshot",
    "StoredFlow",
    "Supposed",
    "Telemetry",
    "Trace",
    "TracedPacket",
    "Undrain",
    "Untrace",
    "VipRow",
    "VipSnapshot",
    "Weight",
    "Withdraw",
    "Withdrawn",
]
