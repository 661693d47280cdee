# SPDX-License-Identifier: Apache-2.0
"""What comes back of a command: its status, its plan, or what was asked for."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.events import Event
from shared.messages.labelled import LabelSnapshot
from shared.messages.numbers import Finite
from shared.messages.snapshots import Snapshot


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


class Configured(msgspec.Struct, frozen=True):
    """The config in force on a node."""

    generation: int
    """Its number."""
    keys: dict[str, str]
    """`vips.web.reals.10.3.1.2.weight` -> `50`: tables of a list go by name or address.  What is at
    its default is left out; secrets are not said."""


class StoredFlow(msgspec.Struct, frozen=True):
    """An entry of a flow table."""

    cpu: int
    """Whose table it is in; a packet finds it from any CPU."""
    real: str
    """Empty: one that is not the VIP's any more, so the entry counts for nothing."""
    state: Literal["opening", "open", "closing"]
    """`opening`: nothing but SYNs so far; `closing`: the client sent FIN or RST."""
    silent: Finite
    """Seconds since its last packet."""


class FlowAfter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a flow would go after a change; what is said is said as in FlowPlace."""

    slot: int
    real: str
    going_on: str
    by: Literal["stored", "slot", "ring", "none"]
    passed: int = 0
    leaves: bool = False
    """The change takes the VIP's route from this node: when that is done no packet comes here."""


class FlowPlace(msgspec.Struct, frozen=True):
    """Where a flow goes on a node."""

    vip: str
    """Empty: it is no VIP's, and passed to the host."""
    hash: str = ""
    """What of the flow decides."""
    flow_table: str = ""
    """Which flows are stored now: track, changed or compute."""
    slot: int = -1
    """Of the ring, that a new flow takes; -1: none, it is dropped (`no_real`)."""
    real: str = ""
    """Which gets a new flow."""
    going_on: str = ""
    """Which gets its packets if it began before."""
    by: Literal["stored", "slot", "ring", "none"] = "none"
    """How those find it: by an entry, by the slot's earlier real, as a new flow does."""
    passed: int = 0
    """Slots before that one, whose reals take none."""
    stored: tuple[StoredFlow, ...] = ()
    """Its entries in the flow tables."""
    quic: bool = False
    """Of QUIC: where a connection id names a real, that one gets the packet."""
    after: FlowAfter | None = None
    """After the change that was asked about; none: none was, or an older agent."""


class FlowPlaces(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where many flows go on a node: in each of the `bytes` a number per flow, in their order.

    Of `real`, `going_on` and the two after the change: index into `reals`, 16 bits, the lowest byte
    first; 65535: none, it is dropped.
    """

    vips: tuple[str, ...]
    """Names."""
    reals: tuple[str, ...]
    """Addresses."""
    vip: bytes
    """Index into `vips`, 16 bits, the lowest byte first; 65535: no VIP's, it is passed to the
    host."""
    real: bytes
    """Which gets it as a new flow."""
    going_on: bytes
    """Which gets its packets if it began before."""
    by: bytes
    """How those find it, a byte: 0 by an entry, 1 by the slot's earlier real, 2 as a new flow
    does, 3 not at all."""
    real_after: bytes = b""
    """After the change; empty: none was asked about."""
    going_on_after: bytes = b""
    leaving: tuple[str, ...] = ()
    """VIPs among them whose route the change takes from this node."""


class AgesRow(msgspec.Struct, frozen=True):
    """What the flow tables of a node hold of one real of one VIP."""

    vip: str
    real: str
    opening: int
    """Live flows, nothing but SYNs so far."""
    open: int
    """Live flows of which more came; of UDP: all."""
    closing: int
    """The client sent FIN or RST: not live any more."""
    silent: tuple[int, ...]
    """Live flows that have been silent for less than each of `bounds`, not counted before; the last
    number: for longer."""
    longest: Finite
    """Seconds for which the most silent live flow has been silent."""


class Ages(msgspec.Struct, frozen=True):
    """What the flow tables of a node hold.  They know a flow by a hash: neither its addresses, nor
    when it began, nor how many packets it had."""

    bounds: tuple[Finite, ...]
    """Seconds, ascending."""
    rows: tuple[AgesRow, ...]
    """Of all reals, those without flows too."""


class AuditPart(msgspec.Struct, frozen=True):
    """Records of the audit as they are in the file, so that their hashes can be checked."""

    records: tuple[str, ...]
    """JSON, chained as shared/chain.py says."""
    total: int
    """Number of the newest record."""
    head: str
    """Hash of the newest record."""


Ending = Literal["unchanged", "planned", "refused", "failed", "ok"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    node: str
    status: Literal["accepted", "applied", "verified", "unverified"] | Ending
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
    config: Configured | None = None
    flow: FlowPlace | None = None
    flows: FlowPlaces | None = None
    ages: Ages | None = None
    audit: AuditPart | None = None
    history: tuple[bytes, ...] = ()
    """Blocks of a recording, oldest first; when they end before `until`, ask again from there."""
    more: bool = False
    """Another answer to this command follows; only to who asked for `steps`."""
    keyed: bool = False
    """The command's `idempotency_key` was understood: an older agent passes it over."""
    kept_from: Finite = 0.0
    """For `history`: Unix time of the oldest that is kept; 0: nothing is, or an older agent."""
    labels: LabelSnapshot | None = None
    """For `look`, beside `snapshots`: older readers know six kinds of those."""
