# SPDX-License-Identifier: Apache-2.0
"""All that the console knows of its agents.  Pure: `now` is an argument, requests are answers.

The client hands over what arrived (`Inbox`), `Store.take` files it and returns what should be asked
for (missing events).  Nothing here is ever guessed: a value that is too old says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from console.model.eventlog import EventLog, Line
from console.model.rates import HISTORY_SECONDS, Samples, rate
from shared.codec import WireError, WireVersionError, topic_of
from shared.messages import (
    Answer,
    CpuSnapshot,
    DropSnapshot,
    Event,
    FlowtableSnapshot,
    Message,
    NodeSnapshot,
    Packets,
    RealSnapshot,
    Ring,
    Telemetry,
    VipSnapshot,
)
from shared.model import RING_SLOTS

STALE_AFTER = 5.0
"""Seconds without telemetry after which values are not live any more (3 intervals, if longer)."""
LONGEST_INTERVAL = 10.0
"""Seconds; no agent publishes a topic more seldom (telemetry.topic_hz)."""
RINGS_KEPT = 32
"""A ring is 128 KiB."""
M = TypeVar("M", bound=Message)


class Liveness(StrEnum):
    LIVE = "live"
    STALE = "stale"
    SILENT = "no answer"
    FOREIGN = "other wire version"
    DENIED = "not authorised"


class Arrived(NamedTuple):
    """A telemetry message and when it came (seconds of the console's monotonic clock)."""

    address: str
    message: Telemetry
    at: float


class Reply(NamedTuple):
    """What became of a command: the agent's answer, or None when it gave none in time."""

    address: str
    id: str
    answer: Answer | None
    at: float
    last: bool = True
    """No other reply to this command follows.  Of one sent with `steps` several come, in order;
    when the time was over in between, the last one is the step that it had come to."""


class Fault(NamedTuple):
    """Bytes from an agent that are not a message, or an agent that lets nobody in."""

    address: str
    text: str
    absence: Liveness | None = None
    """FOREIGN: it speaks another version of the wire; DENIED: our key is not authorised there."""


def fault_of(address: str, error: WireError) -> Fault:
    foreign = isinstance(error, WireVersionError)
    return Fault(address, str(error), Liveness.FOREIGN if foreign else None)


class Inbox(NamedTuple):
    """What came since the last look; snapshots that were overtaken are gone already."""

    arrived: Sequence[Arrived] = ()
    replies: Sequence[Reply] = ()
    faults: Sequence[Fault] = ()


class Missing(NamedTuple):
    """Events to ask an agent for: from this sequence number on."""

    address: str
    sequence: int


class Agent:
    """One agent, as far as its messages tell."""

    def __init__(self, address: str, max_age: float | None = None) -> None:
        """`max_age`: seconds past which its values are stale, instead of what its rhythm says."""
        self.address = address
        self._max_age = max_age
        self._usual = STALE_AFTER if max_age is None else max_age
        self.history: dict[str, deque[float | None]] = {}
        """Key of a row -> packets per second, one value a second."""
        self.log = EventLog()
        self.wire_errors = 0
        self._samples: dict[str, Samples[Any]] = {}
        self._seen: dict[str, float] = {}
        self._recorded: dict[str, float] = {}
        self._packets: dict[str, deque[tuple[Message, Mapping[str, int]]]] = {}
        """Topic -> the last snapshots with what `packets_of` made of them."""
        self._steps: dict[str, deque[float]] = {}
        self._limits: dict[str, float] = {}
        """Topic -> age in seconds past which its values are stale: each has a rate of its own."""
        self.absence: Liveness | None = None
        """Why nothing comes, where that is known."""

    @property
    def name(self) -> str:
        """The node's name, or the last part of the address while it is unknown."""
        newest = next((s.latest for s in self._samples.values() if s.latest is not None), None)
        return newest.node if newest is not None else self.address.rstrip("/").rpartition("/")[2]

    @property
    def node(self) -> NodeSnapshot | None:
        return self._latest("node", NodeSnapshot)

    @property
    def vips(self) -> VipSnapshot | None:
        return self._latest("vip", VipSnapshot)

    @property
    def reals(self) -> RealSnapshot | None:
        return self._latest("real", RealSnapshot)

    @property
    def drops(self) -> DropSnapshot | None:
        return self._latest("drop", DropSnapshot)

    @property
    def cpus(self) -> CpuSnapshot | None:
        return self._latest("cpu", CpuSnapshot)

    @property
    def flowtable(self) -> FlowtableSnapshot | None:
        return self._latest("flowtable", FlowtableSnapshot)

    def _latest(self, topic: str, kind: type[M]) -> M | None:
        samples = self._samples.get(topic)
        latest = samples.latest if samples else None
        return latest if isinstance(latest, kind) else None

    def pair(self, topic: str) -> tuple[Any, float]:
        """(the snapshot to subtract from the latest, or None; seconds between them)."""
        samples = self._samples.get(topic)
        return (samples.before(self.limit(topic)), samples.span()) if samples else (None, 0.0)

    def limit(self, topic: str = "node") -> float:
        """Age in seconds past which this agent's values of the topic are stale."""
        return self._limits.get(topic, self._usual)

    def _step(self, topic: str, seconds: float) -> None:
        if self._max_age is not None:
            return
        # The median: neither a silence nor an extra look changes an agent's rhythm.
        steps = self._steps.setdefault(topic, deque(maxlen=5))
        steps.append(seconds)
        usual = sorted(steps)[len(steps) // 2]
        self._limits[topic] = max(STALE_AFTER, 3 * min(usual, LONGEST_INTERVAL))

    def age(self, now: float, topic: str = "") -> float | None:
        """Seconds since the newest message of the topic (empty: of any) came; None: never."""
        seen = self._seen.get(topic) if topic else max(self._seen.values(), default=None)
        return None if seen is None else max(0.0, now - seen)

    def fresh(self, now: float, topic: str) -> bool:
        # Asked for every row of every agent at every frame: nothing is called for it.
        seen = self._seen.get(topic)
        return seen is not None and now - seen <= self._limits.get(topic, self._usual)

    def liveness(self, now: float) -> Liveness:
        age = self.age(now)
        if age is not None and age <= self.limit():
            return Liveness.LIVE
        if self.absence is not None:
            return self.absence
        return Liveness.SILENT if age is None else Liveness.STALE

    def file(self, arrived: Arrived) -> int | None:
        """Files a message; returns the sequence of the first missing event when there is a gap."""
        self.absence = None
        if isinstance(arrived.message, Event):
            return self.log.publish(arrived.message)
        if isinstance(arrived.message, Packets):
            return None  # of no interest but to who traces
        topic = topic_of(arrived.message).decode()
        samples = self._samples.setdefault(topic, Samples())
        older = samples.latest
        if samples.push(arrived.message):
            self._seen[topic] = arrived.at
            if older is not None:
                self._step(topic, abs(arrived.message.at - older.at))
            self._remember(topic, arrived.message)
        return None

    def fault(self, fault: Fault) -> None:
        self.wire_errors += fault.absence is not Liveness.DENIED
        self.absence = fault.absence or self.absence

    def _remember(self, topic: str, message: Message) -> None:
        before, span = self.pair(topic)
        if 0 <= message.at - self._recorded.get(topic, float("-inf")) < 0.9:
            return
        self._recorded[topic] = message.at
        new = packets_of(message)
        kept = self._packets.setdefault(topic, deque(maxlen=3))
        old = next((found for of, found in kept if of is before), None)
        old = packets_of(before) if old is None else old
        if not kept or kept[-1][1].keys() != new.keys():
            for key in [k for k in self.history if k.startswith(f"{topic}/") and k not in new]:
                del self.history[key]  # rows that left the config, or never were
        kept.append((message, new))
        for key, packets in new.items():
            history = self.history.get(key)
            if history is None:
                history = self.history[key] = deque(maxlen=HISTORY_SECONDS)
            history.append(rate(old.get(key), packets, span))


def packets_of(message: Message | None) -> Mapping[str, int]:
    """Row key -> packets of everything in a snapshot that has a sparkline."""
    match message:
        case NodeSnapshot():
            return {"node": message.rx_packets}
        case VipSnapshot():
            return {f"vip/{row.name}": row.packets for row in message.vips}
        case RealSnapshot():
            return {f"real/{row.address}@{row.vip}": row.packets for row in message.reals}
        case DropSnapshot():
            return {f"drop/{row.reason}": row.packets for row in message.drops}
        case CpuSnapshot():
            return {f"cpu/{number}": packets for number, packets in enumerate(message.rx_packets)}
    return {}


class Store:
    """The agents in the order in which the operator named them."""

    def __init__(self, addresses: Sequence[str], max_age: float | None = None) -> None:
        self.agents = {address: Agent(address, max_age) for address in addresses}
        self.rings: dict[tuple[str, str], Ring] = {}
        """(VIP, digest) -> the ring, of those that were asked for lately."""

    def take(self, inbox: Inbox) -> list[Missing]:
        """Files what came and returns which events to ask for; unknown addresses are ignored."""
        missing = []
        for arrived in inbox.arrived:
            agent = self.agents.get(arrived.address)
            gap = agent.file(arrived) if agent else None
            if gap is not None:
                missing.append(Missing(arrived.address, gap))
        for reply in inbox.replies:
            self._file_answer(reply)
        for fault in inbox.faults:
            if fault.address in self.agents:
                self.agents[fault.address].fault(fault)
        return missing

    def _file_answer(self, reply: Reply) -> None:
        agent = self.agents.get(reply.address)
        if agent is None or reply.answer is None:
            return
        for snapshot in reply.answer.snapshots:
            agent.file(Arrived(reply.address, snapshot, reply.at))
        agent.log.replay(tuple(sorted(reply.answer.events, key=lambda e: e.sequence)))
        ring = reply.answer.ring
        if ring is not None and len(ring.slots) == 2 * RING_SLOTS:
            self.rings[ring.vip, ring.digest] = ring
            if len(self.rings) > RINGS_KEPT:
                del self.rings[next(iter(self.rings))]

    def live(self, now: float) -> list[Agent]:
        return [a for a in self.agents.values() if a.liveness(now) is Liveness.LIVE]

    def lines(self, newest: int) -> list[Line]:
        """The newest lines of all agents' logs, oldest first."""
        lines = [line for agent in self.agents.values() for line in agent.log.lines(newest)]
        return sorted(lines, key=lambda line: line.wall)[-newest:]
