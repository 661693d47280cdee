# SPDX-License-Identifier: Apache-2.0
"""All that the console knows of its agents.  Pure: `now` is an argument, requests are answers.

The client hands over what arrived (`Inbox`), `Store.take` files it and returns what should be asked
for (missing events).  Nothing here is ever guessed: a value that is too old says so.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from console.model.eventlog import EventLog, Line
from console.model.heard import NOTHING, Heard
from console.model.labels import UNKNOWN, Said, Table, table
from console.model.sights import Sights
from console.model.tracks import Track
from shared.codec import WireError, WireVersionError
from shared.messages import (
    Ages,
    Answer,
    CpuSnapshot,
    DropSnapshot,
    Event,
    FlowtableSnapshot,
    LabelSnapshot,
    NodeSnapshot,
    Packets,
    RealSnapshot,
    Ring,
    Snapshot,
    Telemetry,
    VipSnapshot,
)
from shared.model import RING_SLOTS

RINGS_KEPT = 32
"""A ring is 128 KiB."""
KEPT_AS: Mapping[type[Snapshot], tuple[str, str]] = {
    NodeSnapshot: ("node", "node"),
    VipSnapshot: ("vip", "vips"),
    RealSnapshot: ("real", "reals"),
    DropSnapshot: ("drop", "drops"),
    CpuSnapshot: ("cpu", "cpus"),
    FlowtableSnapshot: ("flowtable", "flowtable"),
}
"""Its topic, and where an Agent has the newest one."""


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
        self.name = address.rstrip("/").rpartition("/")[2]
        """The node's name, or the last part of the address while it is unknown."""
        # Read for every agent at every frame: nothing is called for them.
        self.node: NodeSnapshot | None = None
        self.vips: VipSnapshot | None = None
        self.reals: RealSnapshot | None = None
        self.drops: DropSnapshot | None = None
        self.cpus: CpuSnapshot | None = None
        self.flowtable: FlowtableSnapshot | None = None
        self.labels: LabelSnapshot | None = None
        """As it told them last; they hold as long as `label_table` is there."""
        self._label_table: Table | None = None
        self.ages: Ages | None = None
        """Of its flows, when it was asked last."""
        self._max_age = max_age
        self.log = EventLog()
        self.wire_errors = 0
        self.absence: Liveness | None = None
        """Why nothing comes, where that is known."""
        self._heard: dict[str, Heard] = {}
        """Topic -> what it says there."""
        self._nothing = NOTHING if max_age is None else Heard("", max_age)
        self._newest = NOTHING.seen

    @property
    def label_table(self) -> Table | None:
        """Labels of its VIPs and reals; None: they are not known, and its own are not."""
        told, node = self.labels, self.node
        holds = told is not None and node is not None and told.digest == node.labels
        return self._label_table if holds else None

    @property
    def own_labels(self) -> Said:
        """The node's."""
        return (self.labels.labels,) if self.labels and self.label_table else UNKNOWN

    def sights(self, topic: str) -> Sights:
        """What it says of each object of a topic, by name."""
        return self._heard.get(topic, self._nothing).sights

    def track(self, topic: str, name: Hashable = "") -> Track:
        """Packets per second of an object, one value a second."""
        return self.sights(topic).track(name)

    def pair(self, topic: str) -> tuple[Any, float]:
        """(the snapshot to subtract from the latest, or None; seconds between them)."""
        return self._heard.get(topic, self._nothing).pair

    def limit(self, topic: str = "node") -> float:
        """Age in seconds past which this agent's values of the topic are stale."""
        return self._heard.get(topic, self._nothing).limit

    def age(self, now: float, topic: str = "") -> float | None:
        """Seconds since the newest message of the topic (empty: of any) came; None: never."""
        seen = self._heard.get(topic, self._nothing).seen if topic else self._newest
        return None if seen == NOTHING.seen else max(0.0, now - seen)

    def fresh(self, now: float, topic: str) -> bool:
        heard = self._heard.get(topic, self._nothing)
        return now - heard.seen <= heard.limit

    def liveness(self, now: float) -> Liveness:
        if now - self._newest <= self.limit():
            return Liveness.LIVE
        if self.absence is not None:
            return self.absence
        return Liveness.SILENT if self._newest == NOTHING.seen else Liveness.STALE

    def file(self, arrived: Arrived) -> int | None:
        """Files a message; returns the sequence of the first missing event when there is a gap."""
        self.absence = None
        message = arrived.message
        if isinstance(message, Event):
            return self.log.publish(message)
        if isinstance(message, LabelSnapshot):
            self._label(message)
        elif not isinstance(message, Packets):  # of no interest but to who traces
            self._file(message, arrived.at)
        return None

    def _file(self, message: Snapshot, at: float) -> None:
        topic, kept_as = KEPT_AS[type(message)]
        heard = self._heard.get(topic)
        if heard is None:
            heard = self._heard[topic] = Heard(self.address, self._max_age)
        if heard.take(message, at):
            self._newest = max(self._newest, at)
            self.name = message.node
            setattr(self, kept_as, message)

    def _label(self, message: LabelSnapshot) -> None:
        old = self.labels
        if old is None or old.boot != message.boot or message.at >= old.at:
            self.labels, self._label_table = message, table(message)

    def fault(self, fault: Fault) -> None:
        self.wire_errors += fault.absence is not Liveness.DENIED
        self.absence = fault.absence or self.absence


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
        agent.ages = reply.answer.ages or agent.ages
        for snapshot in reply.answer.snapshots:
            agent.file(Arrived(reply.address, snapshot, reply.at))
        if reply.answer.labels is not None:
            agent.file(Arrived(reply.address, reply.answer.labels, reply.at))
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
