# SPDX-License-Identifier: Apache-2.0
"""What the snapshots list: one row per peer, VIP, real, reason, pending change."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.numbers import Finite
from shared.model import Admin, Health, Protocol


class Withdrawn(msgspec.Struct, frozen=True):
    """An operator's withdrawal of a route that is in force."""

    who: str
    at: Finite
    """Unix time, by the operator's clock."""
    why: str = ""


class Peer(msgspec.Struct, frozen=True):
    """A BGP neighbour of the node."""

    address: str
    asn: int
    state: Literal["up", "down"]
    since: Finite
    """Agent-monotonic seconds of the last change."""
    detail: str = ""
    error: str = ""
    """Why it went down last, or could not come up; kept while it is up again."""
    failed: Finite = 0.0
    """Agent-monotonic seconds of that."""
    withdrawn: Withdrawn | None = None
    """No route is announced to it."""


class Ailing(msgspec.Struct, frozen=True):
    """A real that is not up, in the row of its VIP: who follows `vip` only knows it too."""

    address: str
    health: Health
    check: str
    """Last probe in words."""
    changed: Finite
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
    pressure_seconds: Finite = 0.0
    """For which that was so, in all."""
    withdrawn: Withdrawn | None = None
    """Its route does not stand on its account; another VIP of its address may want it."""


class Emptying(msgspec.Struct, frozen=True):
    """A drain of a real under way."""

    since: Finite
    """Agent-monotonic seconds."""
    at_start: int
    """Live flows when it began: those that are left are older than `since`."""
    half_life: Finite
    """Seconds in which half of the flows end, over the last minute; -1: not known."""
    left: Finite
    """Estimated seconds until none is left; -1: not known."""
    empty_at: Finite
    """Agent-monotonic seconds when it was found empty; 0: it is not."""
    deadline: Finite
    """Agent-monotonic seconds; 0: none."""
    then: str
    """At the deadline: wait or kill."""
    heard: Finite = -1.0
    """Seconds since a packet of any of the flows that are left; -1: none is, or not known."""
    silent: Finite = -1.0
    """Seconds since the last packet of the one that has been silent for longest; it is over when
    that reaches `flow_idle` (of UDP: `udp_idle`)."""
    unknown_until: Finite = 0.0
    """Agent-monotonic seconds until which silent flows may live that have no entry and are not
    counted: it is not found empty before; 0: all are counted."""
    unknown_why: str = ""
    """In words; empty: all are counted."""


class PendingRow(msgspec.Struct, frozen=True):
    """A change that ends by itself."""

    kind: str
    """expire, confirm, wait, kill"""
    what: str
    """`real/10.3.1.2@web, real/...`"""
    who: str
    at: Finite
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
    since: Finite
    """Agent-monotonic seconds of that."""
    until: Finite = 0.0
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
    steered_by: str = ""
    """Who began it or went on with it last."""


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
    changed: Finite
    """Agent-monotonic seconds of the last change of admin, health or weight."""
    check: str
    """Last probe in words: `http 200`, `connection refused`, ..."""
    check_ms: Finite
    emptying: Emptying | None = None


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


class DropRow(msgspec.Struct, frozen=True):
    reason: int
    name: str
    packets: int
