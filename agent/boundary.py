# SPDX-License-Identifier: Apache-2.0
"""What the core is told (facts) and what it asks for (effects).  The agent on one page.

Facts go into one inbox; the director answers a batch of them with a list of effects; the shells
perform them in order.  The first that fails drops the rest and comes back as `Failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from agent.core import maglev
from agent.host.host_seen import HostSeen
from agent.nouns import (
    PLAIN,
    Address,
    Asking,
    Keyed,
    Override,
    OwnedReal,
    Part,
    Pending,
    Placing,
    Route,
    Target,
    Traced,
    VipKey,
)
from shared.messages import Answer, Command, EventBody

if TYPE_CHECKING:
    from agent.config.tree import Config


class EffectError(Exception):
    """The world refused an effect (kernel, BGP, disk); the text says what and why."""


# ---- facts


class Adopted(Struct, frozen=True):
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
    keyed: tuple[Keyed, ...] = ()
    """Done under idempotency keys, oldest first."""
    warm_in: float = 0.0
    """Seconds until the flow table has seen all flows that live; 0: it has."""


class Probed(Struct, frozen=True):
    target: Target
    ok: bool
    detail: str
    ms: float
    weight: int | None = None
    """Percent of the configured weight that the real asked for; None: it did not say."""
    silent: bool = False
    """Nothing came in time: if we were late ourselves, that says nothing."""
    unasked: bool = False
    """This machine was out of descriptors or memory: no result at all."""


class Asked(Struct, frozen=True):
    """A command arrived; the answer goes to `sender`."""

    command: Command
    sender: bytes
    answered: Answer | None = None
    """By an agent before us, which did not come to read back what it had done."""


class Proposed(Struct, frozen=True):
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


class PeerChanged(Struct, frozen=True):
    peer: str
    state: Literal["up", "down"]
    detail: str
    error: str = ""
    """Why it is down, if the peer, the network or ExaBGP said so."""


class Counted(Struct, frozen=True):
    """What the data plane counted."""

    live_flows: NDArray[np.int64]
    """By real_num, from the flow tables."""
    new_flows: NDArray[np.uint64] | None = None
    """By vip_num, since the maps were made."""
    entries: int = 0
    """Of all CPUs' flow tables."""
    packets: NDArray[np.uint64] | None = None
    """By vip_num, since the maps were made."""
    silence: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """real_num of one that drains -> seconds since its live flows were heard of, least and most."""
    warm_in: float = 0.0
    """As Adopted has it."""
    unstored: int = 0
    """Flows that got no entry because too many came at once, since the maps were made."""


class Held(Struct, frozen=True):
    """What the maps and ExaBGP hold: the answer to a `ReadBack`."""

    id: str
    vips: Mapping[VipKey, int]
    reals: tuple[OwnedReal, ...]
    rings: Mapping[int, str]
    """vip_num -> digest, of those that were asked for."""
    routes: str = ""
    """How what ExaBGP has taken differs from what was declared; empty: not at all."""
    error: str = ""
    """They could not be read."""


class Looked(Struct, frozen=True):
    """How interface, addresses and next hop are now: after any change of theirs, and from time to
    time."""

    seen: HostSeen
    error: str = ""
    """Why the last `Attach` did nothing; empty: it did, or there was none."""


class Written(Struct, frozen=True):
    """All that was to be done for commands is done, and answered."""


class Tick(Struct, frozen=True):
    """Go on: with what is left of a large change, and with what failed."""


class Stopping(Struct, frozen=True):
    """A clean stop: withdraw."""


class Failed(Struct, frozen=True):
    effect: Effect
    error: str
    dropped: tuple[Effect, ...]
    """The effects behind it, which were not tried."""


Fact = (
    Adopted
    | Probed
    | Asked
    | Proposed
    | PeerChanged
    | Counted
    | Looked
    | Held
    | Written
    | Tick
    | Stopping
    | Failed
)


# ---- effects


class PutVip(Struct, frozen=True):
    key: VipKey
    vip_num: int
    placing: Placing = PLAIN
    """In force with the next packet, of a VIP that is there already as well."""


class RemoveVip(Struct, frozen=True):
    key: VipKey


class PutReal(Struct, frozen=True):
    real: OwnedReal


class FreeReal(Struct, frozen=True):
    real_num: int


class SetFlags(Struct, frozen=True):
    flags: Mapping[int, int]
    """By real_num, of those whose flags are others now."""


class SetRing(Struct, frozen=True):
    vip_num: int
    slots: NDArray[np.uint16]
    """slot -> index into numbers, RING_SLOTS long."""
    numbers: NDArray[np.uint32]
    """Index -> real_num; empty: nobody serves."""

    @property
    def real_nums(self) -> NDArray[np.uint32]:
        """slot -> real_num, 0 where nobody serves.  Made when asked for: 256 KiB."""
        return maglev.placed(self.slots, self.numbers)


class ForgetPrevious(Struct, frozen=True):
    """The ring has not changed for so long that flows without an entry are over."""

    vip_num: int


class PutQuicIds(Struct, frozen=True):
    """Server id -> real_num, all that the VIP has."""

    vip_num: int
    real_nums: Mapping[int, int]


class Attach(Struct, frozen=True):
    """Put the programs back on the interface; what comes of it says the next `Looked`."""


class Follow(Struct, frozen=True):
    """What the program must know of its surroundings; complete."""

    own_mac: bytes
    gateway_mac: bytes | None
    """None: not known now, the last one stays."""
    own_addresses: tuple[Address, ...]
    """Of the interface, link-local ones left out."""


class SetRoutes(Struct, frozen=True):
    """The whole set of VIP addresses to announce; the shell computes the difference."""

    routes: Mapping[Address, Route]
    hushed: frozenset[str] = frozenset()
    """Addresses of the peers that are told none of them."""


class Probe(Struct, frozen=True):
    """The whole set of checks."""

    checks: frozenset[Asking]


class ReadConfig(Struct, frozen=True):
    """Read what a reload or rollback is about; the answer is a `Proposed`."""

    command: Command
    sender: bytes


class Configure(Struct, frozen=True):
    """The node's settings that the program reads while it runs."""

    listed: Config


class KeepConfig(Struct, frozen=True):
    """Keep a config's text under its number; it comes into force with its `Remember`."""

    generation: int
    text: str


class Verify(Struct, frozen=True):
    """Compare the maps with what they should hold; a difference is an EffectError."""

    vips: Mapping[VipKey, int]
    reals: tuple[OwnedReal, ...]


class ReadBack(Struct, frozen=True):
    """What do the maps and ExaBGP hold?  A `Held` follows."""

    id: str
    """Of the command for whose sake."""
    rings: Mapping[int, Mapping[Address, int]]
    """vip_num -> {address: real_num} of who has slots."""
    after: float = 0.0
    """Seconds."""


class Remember(Struct, frozen=True):
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
    phases: Mapping[str, str] = field(default_factory=dict)
    """Of those that go on under another VIP's name."""
    what: str = ""
    """In place of the command's words: what the agent did by itself."""
    rollouts: tuple[Part, ...] | None = None
    """All that are not over; None: as before."""
    keyed: tuple[Keyed, ...] = ()
    """Done now under an idempotency key."""


class StartTrace(Struct, frozen=True):
    """Instead of another one, if there is."""

    trace: str
    """Its name in telemetry."""
    wanted: Traced


class StopTrace(Struct, frozen=True):
    why: str


class Emit(Struct, frozen=True):
    body: EventBody
    warns: bool = False
    """Logged as a warning: somebody should look at it."""


class Reply(Struct, frozen=True):
    sender: bytes
    answer: Answer


MapEffect = (
    PutVip | RemoveVip | PutReal | FreeReal | SetFlags | SetRing | ForgetPrevious | PutQuicIds
)
"""What is written to the maps."""
Effect = (
    MapEffect
    | Attach
    | Follow
    | SetRoutes
    | Probe
    | ReadConfig
    | Configure
    | KeepConfig
    | Verify
    | ReadBack
    | Remember
    | StartTrace
    | StopTrace
    | Emit
    | Reply
)
