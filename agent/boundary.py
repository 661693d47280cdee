# SPDX-License-Identifier: Apache-2.0
"""What the core is told (facts) and what it asks for (effects).  The agent on one page.

Facts go into one inbox; the director answers a batch of them with a list of effects; the shells
perform them in order.  The first that fails drops the rest and comes back as `Failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.check_table import Check
from agent.maglev import Address
from shared.messages import Answer, Command, EventBody
from shared.model import Admin, Protocol, host_port

if TYPE_CHECKING:
    from agent.config import Config


class EffectError(Exception):
    """The world refused an effect (kernel, BGP, disk); the text says what and why."""


class Encap(StrEnum):
    """How packets travel to a real; the family of the outer header is that of its address."""

    IPIP = "ipip"
    """The packet right behind the outer IP header."""
    GUE = "gue"
    """A UDP header between the two."""


class Hashed(StrEnum):
    """What of a packet decides where a new flow goes, beside VIP address and protocol."""

    FLOW = "flow"
    """Source and destination, addresses and ports."""
    SOURCE = "source"
    """The source address: all that a client has goes to one real."""
    SOURCE_PORT = "source+port"
    """Source address and destination port."""
    PORT = "port"
    """The destination port: one real per port of a VIP with many."""


class Tracking(StrEnum):
    """Which flows the flow table holds."""

    TRACK = "track"
    """All."""
    CHANGED = "changed"
    """Those of TCP that the ring alone would misplace because it changed; of UDP all."""
    COMPUTE = "compute"
    """None: a ring change moves flows."""


class WhenDown(StrEnum):
    """What becomes of the flows of a real that is down."""

    MIGRATE = "migrate"
    KEEP = "keep"


class Quic(NamedTuple):
    """How the reals of a QUIC VIP write their server id into connection ids (bpf/quic.h)."""

    scheme: Literal["quic-lb", "cid"]
    id_bytes: int = 0
    """Of quic-lb: 1 to 8."""
    config: int = 0
    """Of quic-lb: config rotation, 0 to 6."""


class Placing(NamedTuple):
    """How a VIP's packets are placed."""

    hashed: Hashed = Hashed.FLOW
    tracking: Tracking = Tracking.TRACK
    when_down: WhenDown = WhenDown.MIGRATE
    udp_idle: float = 0.0
    """Seconds after which a UDP flow is a new one; 0: never."""
    quic: Quic | None = None
    pressure: bool = False
    """More new flows than the flow table should take."""
    fail_open: bool = False
    """Reals that are down take packets as if they were not."""


PLAIN = Placing()


class VipKey(NamedTuple):
    """What a VIP is to the data plane."""

    address: Address
    port: int
    """0: every port that no other VIP of the address has."""
    protocol: Protocol
    length: int | None = None
    """Prefix length of a VIP that is a network; None: one address."""

    def __str__(self) -> str:
        address = str(self.address) if self.length is None else f"{self.address}/{self.length}"
        return f"{host_port(address, self.port)}/{self.protocol}"


class OwnedReal(NamedTuple):
    """A real number as the maps have it; vip_num 0: free, but its generation counts."""

    real_num: int
    vip_num: int
    address: Address
    generation: int
    flags: int
    encap: Encap


class Override(NamedTuple):
    """What an operator changed of a real (without `real` of the VIP, without both of the node)."""

    vip: str
    real: str
    admin: Admin
    weight: int | None
    """None: as configured."""


class Pending(NamedTuple):
    """A change that ends by itself."""

    id: str
    kind: str
    """expire, confirm: goes back; wait, kill: the deadline of a drain."""
    who: str
    left: float
    """Seconds until then."""
    back: tuple[Override, ...]
    """How it was before; of a deadline: which reals."""
    operation: str = ""


class Part(NamedTuple):
    """The node's part in an operation that comes to its nodes one after the other."""

    operation: str
    who: str
    lines: tuple[str, ...]
    """What it does here, as the CLI writes it."""
    vips: tuple[str, ...]
    """That it touches here; empty: all."""
    held: bool
    since: float
    """Seconds, monotonic: when the node was told last."""
    until: float
    """When it is held by itself, if it is not."""
    why: str = ""
    terms: str = ""
    said: str = ""
    done: bool = False
    undo: tuple[str, ...] = ()


class Route(NamedTuple):
    """The attributes with which an address is announced."""

    next_hop: Address | None = None
    """None: the node's own address."""
    med: int | None = None
    local_preference: int | None = None
    """Sent to peers of our own AS only."""
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    prepend: int = 0
    """How many times more our AS stands in the path."""
    length: int | None = None
    """Prefix length of a VIP that is a network; None: one address."""


class Target(NamedTuple):
    """Whom to probe."""

    vip: str
    real: Address


class Asking(NamedTuple):
    """A check: whom, and all that is needed to ask.  Equal ones go on undisturbed."""

    target: Target
    key: VipKey
    check: Check
    real_num: int = 0
    generation: int = 0


class Traced(NamedTuple):
    """Which packets are traced; what is 0 or None may be anything."""

    source: IPv4Network | IPv6Network | None = None
    """The client's; of an ICMP error: of the flow that it quotes."""
    destination: IPv4Network | IPv6Network | None = None
    source_port: int = 0
    destination_port: int = 0
    protocol: int = 0
    """IP's number."""
    version: int = 0
    vip_num: int = 0
    real_num: int = 0
    one_in: int = 1
    """Of so many packets that match one, by chance."""
    rate: int = 100
    """Packets per second and CPU, as many at once."""
    seconds: float = 30.0
    """Then it is over, whether the agent lives or not."""


# ---- facts


@dataclass(frozen=True, slots=True)
class Adopted:
    """The pinned maps as found at start: empty on a fresh node, the running state after a crash."""

    vips: Mapping[VipKey, int]
    reals: tuple[OwnedReal, ...]
    rings: Mapping[int, NDArray[np.uint32]]
    """vip_num -> slot -> real_num."""
    overrides: tuple[Override, ...]
    """From the journal, oldest first."""
    revision: int
    generation: int = 0
    """Number of the config in force."""
    newest_generation: int = 0
    """The largest number that was given."""
    pending: tuple[Pending, ...] = ()
    phases: Mapping[str, str] = field(default_factory=dict)
    """VIP name (the node: empty) -> phase of its shutdown."""
    rollouts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Probed:
    target: Target
    ok: bool
    detail: str
    ms: float
    weight: int | None = None
    """Percent of the configured weight that the real asked for; None: it did not say."""
    silent: bool = False
    """Nothing came in time: if we were late ourselves, that says nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command arrived; the answer goes to `sender`."""

    command: Command
    sender: bytes


@dataclass(frozen=True, slots=True)
class Proposed:
    """The config that a command wants in force was read (`ReadConfig`)."""

    command: Command
    sender: bytes
    config: Config | None
    """None: it cannot be used, `error` says why."""
    error: str = ""
    text: str = ""
    """As it was read, to be kept."""
    instead_of: str = ""
    """Of a rollback: digest of the file that is passed over until it changes."""


@dataclass(frozen=True, slots=True)
class PeerChanged:
    peer: str
    state: Literal["up", "down"]
    detail: str
    error: str = ""
    """Why it is down, if the peer, the network or ExaBGP said so."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the data plane counted."""

    live_flows: NDArray[np.int64]
    """By real_num, from the flow tables."""
    new_flows: NDArray[np.uint64] | None = None
    """By vip_num, since the maps were made."""
    entries: int = 0
    """Of all CPUs' flow tables."""
    packets: NDArray[np.uint64] | None = None
    """By vip_num, since the maps were made."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes: what failed is tried again."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """A clean stop: withdraw."""


@dataclass(frozen=True, slots=True)
class Failed:
    effect: Effect
    error: str
    dropped: tuple[Effect, ...]
    """The effects behind it, which were not tried."""


Fact = Adopted | Probed | Asked | Proposed | PeerChanged | Counted | Tick | Stopping | Failed


# ---- effects


@dataclass(frozen=True, slots=True)
class PutVip:
    key: VipKey
    vip_num: int
    placing: Placing = PLAIN
    """In force with the next packet, of a VIP that is there already as well."""


@dataclass(frozen=True, slots=True)
class RemoveVip:
    key: VipKey


@dataclass(frozen=True, slots=True)
class PutReal:
    real: OwnedReal


@dataclass(frozen=True, slots=True)
class FreeReal:
    real_num: int


@dataclass(frozen=True, slots=True)
class SetFlags:
    real_num: int
    flags: int


@dataclass(frozen=True, slots=True)
class SetRing:
    vip_num: int
    slots: NDArray[np.uint16]
    """slot -> index into numbers, RING_SLOTS long."""
    numbers: NDArray[np.uint32]
    """Index -> real_num; empty: nobody serves."""

    @property
    def real_nums(self) -> NDArray[np.uint32]:
        """slot -> real_num, 0 where nobody serves.  Made when asked for: 256 KiB."""
        if not len(self.numbers):
            return np.zeros(len(self.slots), np.uint32)
        return self.numbers[self.slots]


@dataclass(frozen=True, slots=True)
class ForgetPrevious:
    """The ring has not changed for so long that flows without an entry are over."""

    vip_num: int


@dataclass(frozen=True, slots=True)
class PutQuicIds:
    """Server id -> real_num, all that the VIP has."""

    vip_num: int
    real_nums: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Advertise:
    """The whole set of VIP addresses to announce; the shell computes the difference."""

    routes: Mapping[Address, Route]


@dataclass(frozen=True, slots=True)
class Probe:
    """The whole set of checks."""

    checks: frozenset[Asking]


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """Read what a reload or rollback is about; the answer is a `Proposed`."""

    command: Command
    sender: bytes


@dataclass(frozen=True, slots=True)
class Configure:
    """The node's settings that the program reads while it runs."""

    listed: Config


@dataclass(frozen=True, slots=True)
class KeepConfig:
    """Keep a config's text under its number; it comes into force with its `Remember`."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare the maps with what they should hold; a difference is an EffectError."""

    vips: Mapping[VipKey, int]
    reals: tuple[OwnedReal, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """An entry for the journal; the override, if there is one, outlives the agent."""

    command: Command
    result: str
    revision: int
    overrides: tuple[Override, ...] = ()
    generation: int = 0
    """The config in force from now on; 0: as before."""
    instead_of: str = ""
    """Digest of the config file that a rollback passes over."""
    pending: tuple[Pending, ...] = ()
    """Begun by this change."""
    settled: tuple[str, ...] = ()
    """Ids of those that have ended."""
    phase: tuple[str, str] | None = None
    """(VIP name or empty, phase): a shutdown has come so far."""
    what: str = ""
    """In place of the command's words: what the agent did by itself."""
    rollouts: tuple[Part, ...] | None = None
    """All that are not over; None: as before."""


@dataclass(frozen=True, slots=True)
class StartTrace:
    """Instead of another one, if there is."""

    trace: str
    """Its name in telemetry."""
    wanted: Traced


@dataclass(frozen=True, slots=True)
class StopTrace:
    why: str


@dataclass(frozen=True, slots=True)
class Emit:
    body: EventBody


@dataclass(frozen=True, slots=True)
class Reply:
    sender: bytes
    answer: Answer


Effect = (
    PutVip
    | RemoveVip
    | PutReal
    | FreeReal
    | SetFlags
    | SetRing
    | ForgetPrevious
    | PutQuicIds
    | Advertise
    | Probe
    | ReadConfig
    | Configure
    | KeepConfig
    | Verify
    | Remember
    | StartTrace
    | StopTrace
    | Emit
    | Reply
)
