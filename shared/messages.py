# SPDX-License-Identifier: Apache-2.0
"""Everything that crosses the wire, on one page: snapshots, events, commands, answers.

Counters are totals since the maps were made and `at` is the agent's monotonic clock in seconds:
the reader divides.  `boot` changes when those totals restart, so that a reader never subtracts over
a reset.  Snapshots are complete: the newest one replaces all before it.  Unknown fields are ignored
by readers, so a field may be added; none changes its meaning.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, overload

import msgspec
from msgspec import Meta

from shared.model import Admin, Health, Protocol

WIRE_VERSION = 1


class Counters(Sequence[int]):
    """One counter of every CPU; on the wire little-endian 64-bit numbers, one after the other."""

    __slots__ = ("_numbers", "packed")

    def __init__(self, numbers: Iterable[int]) -> None:
        """Raises ValueError for what is no 64-bit counter."""
        self._numbers = tuple(numbers)
        try:
            self.packed = struct.pack(f"<{len(self._numbers)}Q", *self._numbers)
        except struct.error as error:
            raise ValueError(f"not a 64-bit counter: {error}") from error

    @classmethod
    def of_packed(cls, packed: bytes) -> Counters:
        """Raises ValueError when it is not a whole number of counters."""
        if len(packed) % 8:
            raise ValueError(f"{len(packed)} bytes are not a whole number of 64-bit counters")
        return cls(struct.unpack(f"<{len(packed) // 8}Q", packed))

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[int, ...]: ...
    def __getitem__(self, at: int | slice) -> int | tuple[int, ...]:
        return self._numbers[at]

    def __len__(self) -> int:
        return len(self._numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counters) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        return f"Counters({self._numbers!r})"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every telemetry message says of its origin."""

    node: str
    boot: str
    """Changes when the totals start again from zero."""
    sequence: int
    """Goes up by one per message of this topic: a gap is a lost message."""
    at: float
    """The agent's CLOCK_MONOTONIC in seconds when the totals were read."""


# ---- snapshots, one struct per topic


class Peer(msgspec.Struct, frozen=True):
    """A BGP neighbour of the node."""

    address: str
    asn: int
    state: Literal["up", "down"]
    since: float
    """Agent-monotonic seconds of the last change."""
    detail: str = ""
    error: str = ""
    """Why it went down last, or could not come up; kept while it is up again."""
    failed: float = 0.0
    """Agent-monotonic seconds of that."""


class NodeSnapshot(Message, frozen=True, kw_only=True, tag="node"):
    """Topic `node`: the node at a glance, a few hundred bytes."""

    version: str
    wall: float
    """Unix time at `at`, to show clock skew; never used for rates."""
    started: float
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
    cpu_seconds: float
    """Processor time that the agent process has used."""
    rss_bytes: int
    generation: int = 0
    """Number of the config in force."""
    phase: str = ""
    """Of a drain of the node: shutting, withdrawn, drained."""
    phase_since: float = 0.0
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


class Ailing(msgspec.Struct, frozen=True):
    """A real that is not up, in the row of its VIP: who follows `vip` only knows it too."""

    address: str
    health: Health
    check: str
    """Last probe in words."""
    changed: float
    """Agent-monotonic seconds of the last change of admin, health or weight."""


class VipRow(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    name: str
    address: str
    port: int
    protocol: Protocol
    packets: int
    bytes: int
    new_flows: int
    drops: int
    reals: int
    reals_up: int
    quorum: int
    announced: bool
    ring_digest: str
    ring_changes: int
    ailing: tuple[Ailing, ...] = ()
    """Its reals that are not up."""
    drained: tuple[str, ...] = ()
    """Addresses of its reals that an operator drained."""
    phase: str = ""
    """Of a drain of the VIP: shutting, withdrawn, drained."""
    flow_table: str = "track"
    """Which flows it holds: track (all) | changed | compute (none)."""
    pressure: bool = False
    """More new flows than the flow table should take: they are placed by the ring alone."""
    pressure_seconds: float = 0.0
    """For which that was so, in all."""


class VipSnapshot(Message, frozen=True, kw_only=True, tag="vip"):
    """Topic `vip`: every VIP of the node."""

    vips: tuple[VipRow, ...]


class Emptying(msgspec.Struct, frozen=True):
    """A drain of a real under way."""

    since: float
    """Agent-monotonic seconds."""
    at_start: int
    """Live flows when it began: those that are left are older than `since`."""
    half_life: float
    """Seconds in which half of the flows end, over the last minute; -1: not known."""
    left: float
    """Estimated seconds until none is left; -1: not known."""
    empty_at: float
    """Agent-monotonic seconds when it was found empty; 0: it is not."""
    deadline: float
    """Agent-monotonic seconds; 0: none."""
    then: str
    """At the deadline: wait or kill."""


class PendingRow(msgspec.Struct, frozen=True):
    """A change that ends by itself."""

    kind: str
    """expire, confirm, wait, kill"""
    what: str
    """`real/10.3.1.2@web, real/...`"""
    who: str
    at: float
    """Agent-monotonic seconds when."""
    operation: str


class RolloutRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node's part in an operation that comes to its nodes one after the other."""

    operation: str
    who: str
    lines: tuple[str, ...]
    """What it does on this node, as the CLI writes it."""
    state: Literal["running", "held"]
    """Of the whole operation, as this node was told last."""
    since: float
    """Agent-monotonic seconds of that."""
    until: float = 0.0
    """Agent-monotonic seconds when it is held by itself; 0: it is held."""
    done: bool = False
    """This node had its turn."""
    undo: tuple[str, ...] = ()
    """Lines of the CLI that take it back on this node."""
    why: str = ""
    terms: str = ""
    """How it goes on, as flags of the CLI."""
    said: str = ""
    """Why it is held."""


class RealRow(msgspec.Struct, frozen=True, gc=False):
    vip: str
    """Name of the VIP: a real behind two VIPs has two rows."""
    address: str
    admin: Admin
    health: Health
    weight: int
    effective_weight: int
    slots: int
    """Ring slots that it owns, of RING_SLOTS."""
    packets: int
    bytes: int
    new_flows: int
    live_flows: int
    """Flows in the flow tables of all CPUs that were seen lately and are not closing."""
    changed: float
    """Agent-monotonic seconds of the last change of admin, health or weight."""
    check: str
    """Last probe in words: `http 200`, `connection refused`, ..."""
    check_ms: float
    emptying: Emptying | None = None


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


class ProgramTotals(msgspec.Struct, frozen=True, omit_defaults=True):
    """Packets other than plain TCP and UDP, and what else is counted: totals since `boot`."""

    icmp_forwarded: int = 0
    """Of tx: ICMP errors, to the real of the flow that they quote."""
    icmp_sent: int = 0
    """Of tx: answered by an ICMP message of the node's own."""
    icmp_too_big: int = 0
    """Of icmp_sent: that the packet was too big; the others are answers to pings."""
    icmp_suppressed: int = 0
    """Of drop: would have been answered, but over `icmp_per_second`."""
    quic_routed: int = 0
    """Of tx: to the real that the connection id names."""
    quic_initial: int = 0
    """Opening a connection: the client chose the connection id."""
    quic_unknown: int = 0
    """Connection id of no known server, or its real takes no packets."""
    decapsulated: int = 0
    """Of pass: encapsulated for this node, which is a real itself."""
    tagged: int = 0
    """Of rx: with a VLAN tag."""
    extended: int = 0
    """Of rx: to a VIP, behind IPv6 extension headers."""
    traced: int = 0
    """Matched the filter of a trace."""
    probes_sent: int = 0
    """Packets of checks that were encapsulated to reals, and below those that were dropped."""
    probes_stale: int = 0
    """The real's number had another owner by then."""
    probes_odd: int = 0
    """Neither TCP nor UDP, or a fragment."""
    probes_too_big: int = 0
    """Larger than `underlay_mtu` once encapsulated."""
    probes_failed: int = 0
    """No room for the outer header."""


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


class DropRow(msgspec.Struct, frozen=True):
    reason: int
    name: str
    packets: int


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

TOPICS = frozenset({b"node", b"vip", b"real", b"cpu", b"flowtable", b"drop", b"event", b"trace"})


# ---- events: topic `event`, one per message


class DropEvent(msgspec.Struct, frozen=True, tag="drop"):
    """A dropped packet, as the data plane saw it."""

    reason: int
    name: str
    vip: str
    source: str
    """`address:port`, or just the address when there are no ports to read."""
    destination: str
    protocol: str
    length: int
    cpu: int
    rx_queue: int
    head: bytes
    """The first bytes of the frame."""


class HealthEvent(msgspec.Struct, frozen=True, tag="health"):
    vip: str
    real: str
    was: Health
    now: Health
    detail: str


class RouteEvent(msgspec.Struct, frozen=True, tag="route"):
    address: str
    announced: bool
    why: str


class PeerEvent(msgspec.Struct, frozen=True, tag="peer"):
    peer: str
    state: Literal["up", "down"]
    detail: str


class ChangeEvent(msgspec.Struct, frozen=True, tag="change", omit_defaults=True):
    """A command took effect, was refused or failed."""

    who: str
    what: str
    result: str
    revision: int
    why: str = ""
    operation: str = ""
    """As in the command: the same on all nodes that one operation touched."""
    undo: tuple[str, ...] = ()
    """Lines of the CLI that take it back on this node; empty where there is nothing to take back,
    or no line that would."""


class LostEvent(msgspec.Struct, frozen=True, tag="lost"):
    """Events that exist only as a number: the agent could not keep or send them."""

    count: int
    why: str


EventBody = DropEvent | HealthEvent | RouteEvent | PeerEvent | ChangeEvent | LostEvent


class Event(Message, frozen=True, kw_only=True, tag="event"):
    """Topic `event`: something that happened, once, in order."""

    wall: float
    body: EventBody


# ---- traced packets: topic `trace`, several per message


class TracedPacket(msgspec.Struct, frozen=True, omit_defaults=True):
    """A packet that matched, as it came (`entry`) or as it left (`exit`): one of each, in order."""

    stage: Literal["entry", "exit"]
    at: int
    """The agent's CLOCK_MONOTONIC in ns when the program had it in hand."""
    cpu: int
    packet: int
    """Entry and exit of one packet on one CPU have the same."""
    rx_queue: int
    length: int
    """Of the frame in bytes: as received, or as it left."""
    head: bytes
    """The first bytes of the frame, without a VLAN tag at entry."""
    verdict: Literal["", "pass", "send", "drop", "answer"] = ""
    """Of an exit."""
    reason: str = ""
    """Of a drop, by name."""
    vip: str = ""
    real: str = ""
    slot: int = 0
    flow_hit: bool = False
    """The flow table said where to; else the ring, or the connection id of QUIC."""


class Packets(Message, frozen=True, kw_only=True, tag="trace"):
    """Topic `trace`: what a running trace saw since the last message; once a second even of
    nothing."""

    trace: str
    """The `operation` (else the `id`) of the command that started it."""
    offset: int
    """Unix time minus the agent's monotonic clock in ns: one for a whole trace."""
    packets: tuple[TracedPacket, ...]
    matched: int
    """Packets that matched since the trace began..."""
    entries: int
    """...and of how many the entry was sent: of the others, the rate or a full ring kept it."""
    exits: int
    ended: str = ""
    """Why it is over: this is its last message."""


Telemetry = Snapshot | Event | Packets


# ---- commands and answers


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """No new flows to the real (of one VIP, or of all when `vip` is empty), to the VIP (without
    `real`), or to the node."""

    real: str = ""
    vip: str = ""
    node: bool = False
    deadline: float = 0.0
    """Of a real: seconds until `then`; 0: none."""
    then: Literal["wait", "kill"] = "wait"
    """Flows that are left are waited for, or lose their real."""


class Undrain(msgspec.Struct, frozen=True, tag="undrain"):
    """Takes new flows again, with the weight that it had."""

    real: str = ""
    vip: str = ""
    node: bool = False


class Disable(msgspec.Struct, frozen=True, tag="disable"):
    """No packet at all to the real: its flows are placed anew."""

    real: str
    vip: str = ""


class Confirm(msgspec.Struct, frozen=True, tag="confirm"):
    """What was done under `--confirm-within` stays."""

    operation: str = ""
    """Of the commands; empty: all that `who` has pending."""


class Weight(msgspec.Struct, frozen=True, tag="weight"):
    """The configured share of a real (1..1000) until further notice."""

    real: str
    weight: int
    vip: str = ""


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Brings the node's config file into force, all of it or nothing."""

    text: str = ""
    """To be planned instead of the file (dry run only): what would it change?"""


class Rollback(msgspec.Struct, frozen=True, tag="rollback"):
    """Brings an earlier config into force; the file is passed over until it changes."""

    generation: int = 0
    """Its number; 0: the one before the present one."""


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Asks for one complete snapshot of every topic; changes nothing."""


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """Asks for the events from `sequence` on, as far as the agent still has them."""

    sequence: int


class Batch(msgspec.Struct, frozen=True, tag="batch"):
    """Several changes of reals as one: planned, guarded and applied together, or not at all."""

    actions: tuple[Drain | Undrain | Disable | Weight, ...]


class Rollout(msgspec.Struct, frozen=True, tag="rollout", omit_defaults=True):
    """Tells the node of an operation that comes to its nodes one after the other, so that every
    console sees it; changes no real, VIP or node.

    The command's `operation` is its name.  A change that carries the same one is the node's turn;
    one named `NAME/...` takes that back.
    """

    state: Literal["running", "held", "over"]
    """Of the whole operation."""
    action: Drain | Undrain | Disable | Weight | Batch | None = None
    """What it does on this node; none: as told before."""
    terms: str = ""
    """How it goes on, as flags of the CLI."""
    said: str = ""
    """Why it is held."""
    within: float = 60.0
    """Of `running`: seconds until it is held by itself, unless the node is told again."""


class RingOf(msgspec.Struct, frozen=True, tag="ring"):
    """Asks for the ring in force of a VIP; changes nothing."""

    vip: str


class Trace(msgspec.Struct, frozen=True, tag="trace", omit_defaults=True):
    """Shows packets on topic `trace`, one trace at a time; what is empty or 0 may be anything.

    Packets that quote another one (ICMP errors) go by the flow that they quote.
    """

    vip: str = ""
    """A name."""
    real: str = ""
    """An address."""
    source: str = ""
    """The client's address or network."""
    destination: str = ""
    source_port: int = 0
    destination_port: int = 0
    protocol: Literal["", "tcp", "udp", "icmp", "icmpv6"] = ""
    version: Literal[0, 4, 6] = 0
    """Of IP."""
    one_in: int = 1
    """Of so many packets that match one, by chance: 1 to 1,000,000."""
    rate: int = 100
    """Packets per second and CPU: 1 to 10,000."""
    seconds: float = 30.0
    """Until it is over by itself: at most 600."""


class Untrace(msgspec.Struct, frozen=True, tag="untrace"):
    """Ends a trace before its time."""

    trace: str = ""
    """As in `Packets`; empty: whichever is running."""


class ReadAudit(msgspec.Struct, frozen=True, tag="audit"):
    """Asks for records of the audit from number `first` on; negative: from the end."""

    first: int = -20
    count: int = 500
    """At most so many; an agent sends no more than 500 at once."""


class ReadHistory(msgspec.Struct, frozen=True, tag="history"):
    """Asks for the agent's own recording between two Unix times, as blocks of a recording."""

    since: float
    until: float


Question = Look | Replay | RingOf | ReadAudit | ReadHistory
"""What any role may ask: it changes nothing."""
Action = (
    Drain | Undrain | Disable | Weight | Batch | Confirm | Rollout  # state and weight
    | Reload | Rollback | Trace | Untrace | Question
)  # fmt: skip


class Command(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, Meta(max_length=64)]
    """Made by the sender; the same id twice is applied once and answered twice."""
    who: Annotated[str, Meta(max_length=256)]
    """`user@host` of the operator, for the journal; the agent adds the name of a proven key."""
    action: Action
    why: Annotated[str, Meta(max_length=1024)] = ""
    dry_run: bool = False
    expect_revision: int | None = None
    allow: tuple[str, ...] = ()
    """Guards that may be passed, by name; needs a `why`."""
    expires: float = 0.0
    """Seconds after which the change goes back by itself; 0: never."""
    confirm: float = 0.0
    """Seconds within which it must be confirmed, else it goes back; 0: it need not."""
    operation: Annotated[str, Meta(max_length=64)] = ""
    """Made by the sender: the same in the commands to all nodes of one operation."""
    sent: float = 0.0
    """Unix time of sending; an agent takes none whose time is not about now."""
    deadline: float = 0.0
    """Unix time after which it must not take effect any more; 0: none."""


class Change(msgspec.Struct, frozen=True):
    """One line of a plan: what becomes of one real (without `real` of the VIP, without both of the
    node)."""

    vip: str
    real: str
    was: str
    """`enabled, weight 100`"""
    now: str
    slots_before: int
    slots_after: int
    slots_moved: int
    """Slots of the VIP's ring that change owner by the whole command, collateral included."""
    live_flows: int
    """Flows that stay on it until they end."""
    reals_left: int
    """Reals of the VIP that take new flows afterwards."""
    what: str = ""
    """The key of the config that changes, `node.flow_idle`; empty: state or weight."""
    slots_at_least: bool = False
    """`slots_moved` is a lower bound: too many rings change to build them all for a plan."""


class Ring(msgspec.Struct, frozen=True):
    """Who serves which slot of a VIP."""

    vip: str
    digest: str
    addresses: tuple[str, ...]
    slots: bytes
    """RING_SLOTS little-endian 16-bit numbers: index into addresses, 65535 where nobody serves."""


class AuditPart(msgspec.Struct, frozen=True):
    """Records of the audit as they are in the file, so that their hashes can be checked."""

    records: tuple[str, ...]
    """JSON, chained as shared/chain.py says."""
    total: int
    """Number of the newest record."""
    head: str
    """Hash of the newest record."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    node: str
    status: Literal["applied", "unchanged", "planned", "refused", "failed", "ok"]
    """`refused`: by a guard or because the command makes no sense; `failed`: the world said no."""
    revision: int
    error: str = ""
    guard: str = ""
    """Name of the guard that refused, or empty."""
    note: str = ""
    """What the operator should know besides."""
    generation: int = 0
    """Number of the config in force; 0: not said."""
    changes: tuple[Change, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    events: tuple[Event, ...] = ()
    ring: Ring | None = None
    audit: AuditPart | None = None
    history: tuple[bytes, ...] = ()
    """Blocks of a recording, oldest first; when they end before `until`, ask again from there."""
