# SPDX-License-Identifier: Apache-2.0
"""What the agent knows: one tree that the director changes and snapshots are made from.

Pure data and what follows from it.  `admin` and `health` are two facts about a real and are never
merged; what it may receive is computed from both.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from agent.config import tree
from agent.core import maglev, policy
from agent.core.emptying import Emptying
from agent.core.health import RAMP_STEPS, Verdict, share
from agent.core.numbers import RealNumbers, VipNumbers
from agent.core.pending import Due
from agent.core.pressure import Pressure
from agent.core.shutdown import Shutdown
from agent.core.unknown_flows import PRESSED, SPARSE, SURE, Unsure
from agent.dataplane.abi import MAX_REALS, MAX_VIPS, REAL_DISABLED, REAL_DOWN, REAL_DRAINING
from agent.nouns import (
    Address,
    Asking,
    OwnedReal,
    Part,
    Placing,
    Route,
    Target,
    Traced,
    Tracking,
    VipKey,
    Withdrawal,
)
from shared.model import Admin, Health

NOT_JUDGED = Verdict(Health.UNKNOWN)
NOT_CHECKED = "not checked yet"
CALM = Pressure()


class RealState(Struct):
    """A real of one VIP."""

    listed: tree.Real
    number: OwnedReal
    name: str
    """The address as text: asked for every second."""
    verdict: Verdict = NOT_JUDGED
    admin: Admin = Admin.ENABLED
    override: int | None = None
    """Weight set by an operator; None: as configured."""
    changed: float = 0.0
    added: bool = False
    """While its VIP was served already: its first rise is a slow start too."""
    ramp_from: float = 0.0
    step: int = RAMP_STEPS
    """Of a slow start; RAMP_STEPS: none."""
    percent: int = 100
    """Of its weight, as its own answers ask for."""
    percent_from: float = 0.0
    recalled: bool = False
    """Enabled or draining after it was disabled: its VIP does not wait for its first verdict."""
    check: str = NOT_CHECKED
    checked: float = 0.0
    """When."""
    check_ms: float = 0.0
    live_flows: int = 0
    emptying: Emptying | None = None
    """While it drains."""
    written: int | None = None
    """Flags in the map, None: not known."""

    def recall(self) -> None:
        """Out of `disabled`, where nobody asked it: its verdict is void."""
        self.verdict, self.recalled, self.check = NOT_JUDGED, True, NOT_CHECKED

    @property
    def weight(self) -> int:
        return self.listed.weight if self.override is None else self.override

    @property
    def serving(self) -> bool:
        """Whether it takes new flows."""
        return self.admin is Admin.ENABLED and self.verdict.health is Health.UP

    @property
    def effective_weight(self) -> int:
        # Asked of every real every second: no call that is not needed.
        if self.admin is not Admin.ENABLED or self.verdict.health is not Health.UP:
            return 0
        if self.step == RAMP_STEPS and self.percent == 100:
            return self.weight
        return share(self.weight, step=self.step, percent=self.percent)

    @property
    def flags(self) -> int:
        """What the data plane must know of it (enum lb_real_flag).

        A disabled real gets no packet at all: DOWN alone would leave it its flows where the VIP
        keeps those of reals that are down, and new ones where it fails open.  An unknown one is not
        DOWN: after a restart its flows go on until there is a verdict.
        """
        if self.admin is Admin.ENABLED:  # nearly all: 4,000 are asked when one fails that all share
            return REAL_DOWN if self.verdict.health is Health.DOWN else 0
        if self.admin is Admin.DISABLED:
            return REAL_DOWN | REAL_DISABLED
        return REAL_DRAINING | (REAL_DOWN if self.verdict.health is Health.DOWN else 0)

    def __str__(self) -> str:
        return f"{self.admin}, weight {self.weight}"


class VipState(Struct):
    """A VIP, its reals in the config's order, and what is known of the ring in force."""

    listed: tree.Vip
    vip_num: int
    reals: dict[Address, RealState]
    found: NDArray[np.uint32] | None = None
    """The row that the maps held at start, until it was compared with the first ring."""
    placed: dict[Address, int] | None = None
    """The members of the ring in force; None: what the data plane has is not known.  The ring
    itself is not kept (128 KiB): it can be made again from this."""
    obeyed: tuple[tuple[Admin, int], ...] = ()
    """What operators and the config wanted when it was placed."""
    shares: dict[Address, int] = field(default_factory=dict)
    """Slots of each address in the ring in force."""
    ring_digest: str = ""
    ring_changes: int = 0
    admin: Admin = Admin.ENABLED
    shutdown: Shutdown | None = None
    """While it drains."""
    withdrawn: Withdrawal | None = None
    """Its route is not wanted."""
    written: Placing | None = None
    """How the data plane places it, under this number; None: not known."""
    quic_ids_written: dict[int, int] | None = None
    """Server id -> real_num in the map; None: not known."""
    ring_at: float | None = None
    """When the ring changed last; None: its slots remember no earlier real."""
    pressure: Pressure = CALM
    panicked: bool = False
    """Whether `all_down` was in force when the ring was last looked at."""
    relieved: float | None = None
    """Since when enough reals are up to end a fail-open; None: they are not, or it is over."""
    awaits_others: bool = False
    """Whether it goes on nevertheless: more of them may come up with the first."""

    touched: int = 0
    """As the node's, of what only this VIP heard; by NodeState.touch()."""
    _slots: tuple[object, list[Address], list[int]] | None = None
    """(`shares` and reals that it was made of, slots of each real)."""

    @property
    def slots(self) -> list[int]:
        """Slots of each real, in the order of `reals`.  Asked for every second, and addresses are
        slow to hash: made anew only when ring or reals changed; a drained real goes without the
        ring changing."""
        reals = list(self.reals)
        if self._slots is None or self._slots[0] is not self.shares or self._slots[1] != reals:
            slots = [self.shares.get(address, 0) for address in reals]
            self._slots = self.shares, reals, slots
        return self._slots[2]

    @property
    def serving(self) -> int:
        enabled, up = Admin.ENABLED, Health.UP
        reals = self.reals.values()
        return sum([real.admin is enabled and real.verdict.health is up for real in reals])

    @property
    def warm(self) -> bool:
        """Every real that is checked was judged at least once, or came back from `disabled`."""
        return all(
            real.verdict.health is not Health.UNKNOWN
            or real.recalled
            or real.admin is Admin.DISABLED
            for real in self.reals.values()
        )

    @property
    def wishes(self) -> tuple[tuple[Admin, int], ...]:
        """State and weight of each real as far as no check has a say in it."""
        return tuple((real.admin, real.weight) for real in self.reals.values())

    @property
    def awaits_verdicts(self) -> bool:
        """Whether its ring stays although its members are others: while first verdicts come in
        there is one ring at their end, not one each.  An operator's word does not wait."""
        return self.placed is not None and self.obeyed == self.wishes and not self.warm

    @property
    def panicking(self) -> bool:
        """Whether `all_down` is in force.  It does not begin before every real was judged."""
        return (self.warm or self.panicked) and (self.too_few or self._stays_open)

    @property
    def _stays_open(self) -> bool:
        enabled = any(real.admin is Admin.ENABLED for real in self.reals.values())
        return self.awaits_others and enabled and self.listed.all_down == "fail-open"

    @property
    def too_few(self) -> bool:
        """Whether fewer reals are up than `panic` allows."""
        enabled = [
            real
            for real in self.reals.values()
            if real.admin is Admin.ENABLED
            and not (real.recalled and real.verdict.health is Health.UNKNOWN)
        ]
        return policy.panics(
            healthy=sum(real.weight for real in enabled if real.serving),
            listed=sum(real.weight for real in enabled),
            threshold=self.listed.panic,
            panicking=self.panicked,
        )

    @property
    def fails_open(self) -> bool:
        """Whether all enabled reals take packets, up or not."""
        return self.listed.all_down == "fail-open" and self.panicking

    @property
    def members(self) -> dict[Address, int]:
        """{address: weight} of the reals that the ring should hold."""
        if self.fails_open:
            enabled = ((a, r) for a, r in self.reals.items() if r.admin is Admin.ENABLED)
            return {address: real.weight for address, real in enabled}
        return {a: real.effective_weight for a, real in self.reals.items() if real.serving}

    def flags_of(self, real: RealState, *, fails_open: bool) -> int:
        """What the data plane must know of it (enum lb_real_flag)."""
        return real.flags & ~REAL_DOWN if fails_open and real.admin is Admin.ENABLED else real.flags

    @property
    def seed(self) -> bytes:
        """Rings of different VIPs with the same reals must differ: else one real's neighbours in
        every ring are the same, and so is who inherits its load."""
        return str(self.listed.key).encode()

    @property
    def placing(self) -> Placing:
        return self.listed.placing._replace(pressure=self.pressure.on)

    @property
    def quic_ids(self) -> dict[int, int]:
        """QUIC server id -> real_num."""
        reals = self.reals.values()
        return {i: real.number.real_num for real in reals for i in real.listed.quic_ids}

    def numbers(self, ring: maglev.Ring) -> NDArray[np.uint32]:
        """The real numbers of a ring's addresses, in its order."""
        return np.array([self.reals[a].number.real_num for a in ring.addresses], np.uint32)


class PeerState(Struct):
    asn: int
    state: Literal["up", "down"] = "down"
    since: float = 0.0
    detail: str = "not connected yet"
    error: str = ""
    """Why it went down last, or could not come up."""
    failed: float = 0.0
    """When."""
    withdrawn: Withdrawal | None = None
    """No route is announced to it."""


class Running(NamedTuple):
    """A trace at work."""

    trace: str
    id: str
    """Of the command that started it."""
    who: str
    until: float
    wanted: Traced
    listed: tree.Config
    """In force when it began: by another one its numbers may mean other VIPs and reals."""


class NodeState(Struct):
    """Everything the agent knows."""

    listed: tree.Config
    touched: int = 0
    """Goes up whenever something about VIPs and reals may have changed: what others keep of it must
    be looked at again..."""
    heard: int = 0
    """...and this when something of a single VIP did; neither for the numbers below."""
    live_flows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_REALS, np.int64))
    """By real_num, as the reals have it: for whoever shows all of them ten times a second."""
    check_ms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(MAX_REALS))
    """So, too."""
    vips: dict[str, VipState] = field(default_factory=dict)
    peers: dict[str, PeerState] = field(default_factory=dict)
    admin: Admin = Admin.ENABLED
    shutdown: Shutdown | None = None
    """While it drains."""
    withdrawn: Withdrawal | None = None
    """Nothing is announced."""
    pending: list[Due] = field(default_factory=list)
    """Changes that end by themselves."""
    rollouts: tuple[Part, ...] = ()
    """Operations over several nodes that are not over."""
    packets: NDArray[np.uint64] | None = None
    """By vip_num, when counted last."""
    packets_at: float = 0.0
    rates: NDArray[np.float64] | None = None
    """Packets per second by vip_num; None: not known yet."""
    revision: int = 0
    generation: int = 0
    """Number of the config in force; 0: not kept (agent/records/generations.py)."""
    newest_generation: int = 0
    attached: bool = True
    """Our program is on the interface: else nothing is announced."""
    announced: dict[Address, Route] = field(default_factory=dict)
    hushed: frozenset[str] = frozenset()
    """Addresses of the peers to which, as BGP was told, nothing is announced."""
    numbers: RealNumbers = field(default_factory=lambda: RealNumbers((), MAX_REALS))
    vip_numbers: VipNumbers = field(default_factory=lambda: VipNumbers((), MAX_VIPS))
    trace: Running | None = None
    leftover_vips: set[VipKey] = field(default_factory=set)
    """In the maps, as far as is known, but not in the config any more."""
    leftover_reals: set[int] = field(default_factory=set)
    """Numbers whose owners are not in the config any more."""

    unsure: Unsure = SURE
    """As of the last count: until when flows may live that the flow table does not hold."""
    unstored: int = 0
    """Flows that went without an entry, when counted last."""

    def unsure_of(self, vip: VipState) -> Unsure:
        """Until when a count of its flows may not be of all of them; with `compute` a ring change
        leaves none where it was."""
        if vip.listed.flow_table is Tracking.COMPUTE:
            return SURE
        if not vip.placing.stores_all(vip.listed.protocol):
            return Unsure(math.inf, PRESSED if vip.pressure.on else SPARSE)
        return self.unsure

    @property
    def peers_withdrawn(self) -> frozenset[str]:
        """Addresses of the peers to which nothing is to be announced."""
        return frozenset(address for address, peer in self.peers.items() if peer.withdrawn)

    def touch(self, vip: VipState) -> None:
        """Something of this VIP, and of it alone, may have changed."""
        vip.touched += 1
        self.heard += 1

    def number_anew(self) -> None:
        """Reals came or went: a number may have another owner."""
        for vip in self.vips.values():
            for real in vip.reals.values():
                self.live_flows[real.number.real_num] = real.live_flows
                self.check_ms[real.number.real_num] = real.check_ms

    def emptying(self) -> list[int]:
        """Numbers of the reals that drain."""
        return [
            real.number.real_num
            for vip in self.vips.values()
            for real in vip.reals.values()
            if real.emptying is not None
        ]

    def unasked(self) -> frozenset[Target]:
        """The reals that are not checked."""
        return frozenset(
            Target(name, address)
            for name, vip in self.vips.items()
            for address, real in vip.reals.items()
            if real.admin is Admin.DISABLED
        )

    def checks(self) -> frozenset[Asking]:
        """Every check that should be running: a disabled real is left alone."""
        return frozenset(
            Asking(
                Target(name, address),
                key,
                vip.listed.check,
                real.number.real_num,
                real.number.generation,
            )
            for name, vip in self.vips.items()
            for key in (vip.listed.key,)  # one for all of its reals
            for address, real in vip.reals.items()
            if real.admin is not Admin.DISABLED
        )
