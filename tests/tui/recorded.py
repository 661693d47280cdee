# SPDX-License-Identifier: Apache-2.0
"""A small fleet as its agents would tell of it: real messages, no chance, no clock.

Two nodes, two VIPs, three reals.  `Fleet.at(second)` gives every snapshot of a node at that second
of its monotonic clock; totals grow evenly, so that the right rates are known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.wire.labelling import Said, said
from shared.codec import telemetry_frames
from shared.labels import Labels
from shared.messages import (
    Ailing,
    ChangeEvent,
    Counters,
    CpuSnapshot,
    DropEvent,
    DropRow,
    DropSnapshot,
    Emptying,
    Event,
    EventBody,
    FlowtableSnapshot,
    HealthEvent,
    LabelSnapshot,
    NodeSnapshot,
    Peer,
    PeerEvent,
    PendingRow,
    RealRow,
    RealSnapshot,
    RolloutRow,
    RouteEvent,
    Snapshot,
    VipRow,
    VipSnapshot,
    Withdrawn,
)
from shared.model import RING_SLOTS, Admin, Health, Protocol
from shared.recording import Record

WALL = 1_790_000_000.0
"""Unix time at second 0 of every node."""
WEB, DNS = "web", "dns"
REALS = ("10.3.1.2", "10.3.2.2", "10.3.3.2")
WEIGHTS = {"10.3.1.2": 100, "10.3.2.2": 100, "10.3.3.2": 50}
PPS = {WEB: 1000, DNS: 200}
LB1, LB2 = "ipc:///run/remora/lb1", "ipc:///run/remora/lb2"


@dataclass
class Fleet:
    """One node's world; change it between two seconds to tell a story."""

    name: str
    pps_factor: int = 1
    boot: str = "b1"
    node_admin: Admin = Admin.ENABLED
    admin: dict[tuple[str, str], Admin] = field(default_factory=dict)
    health: dict[tuple[str, str], Health] = field(default_factory=dict)
    weight: dict[tuple[str, str], int] = field(default_factory=dict)
    flows: dict[tuple[str, str], int] = field(default_factory=dict)
    emptying: dict[tuple[str, str], Emptying] = field(default_factory=dict)
    phase: str = ""
    """Of a drain of the node and of its VIPs."""
    revision: int = 7
    peers_up: bool = True
    cpus: tuple[int, ...] = (1, 1)
    """Parts of the packets that each CPU takes; 0: none ever."""
    empty: bool = False
    rollouts: tuple[RolloutRow, ...] = ()
    away: frozenset[str] = frozenset()
    """What an operator withdrew: `node`, `peer`, names of VIPs."""
    pending: tuple[PendingRow, ...] = ()
    labels: dict[str, str] | None = None
    """None: an older agent, which does not say any."""
    vip_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    real_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """By address."""

    def labelled(self, second: float) -> LabelSnapshot | None:
        if self.labels is None:
            return None
        return LabelSnapshot(**self._head(second), **self._said()._asdict())  # type: ignore[arg-type]

    def _said(self) -> Said:
        names = self._vip_names()
        reals = {r: Labels(self.real_labels.get(r)) for r in REALS}
        vips = {name: Labels(self.vip_labels.get(name)) for name in names}
        return said(Labels(self.labels), vips, dict.fromkeys(names, reals))

    def at(self, second: float) -> tuple[Snapshot, ...]:
        return (
            self._node(second),
            self._vips(second),
            self._reals(second),
            *self._cpus(second),
            self._drops(second),
        )

    def _head(self, second: float) -> dict[str, object]:
        return {
            "node": self.name,
            "boot": self.boot,
            "sequence": int(second),
            "at": 5000.0 + second,
        }

    def _serving(self, vip: str) -> list[str]:
        return [
            r
            for r in REALS
            if self.admin.get((vip, r), Admin.ENABLED) is Admin.ENABLED
            and self.health.get((vip, r), Health.UP) is Health.UP
        ]

    def slots(self, vip: str) -> Mapping[str, int]:
        serving = self._serving(vip)
        whole = sum(self.weight.get((vip, r), WEIGHTS[r]) for r in serving)
        return {r: RING_SLOTS * self.weight.get((vip, r), WEIGHTS[r]) // whole for r in serving}

    def digest(self, vip: str = "") -> str:
        """Of one VIP's ring, or of all."""
        vips = (vip,) if vip else (WEB, DNS)
        state = sorted((v, r, s) for v in vips for r, s in self.slots(v).items())
        return f"{sum(hash_of(str(part)) for part in state) % 16**12:012x}"

    def _packets(self, vip: str, second: float) -> int:
        return int(PPS[vip] * self.pps_factor * second) + 50_000

    def _node(self, second: float) -> NodeSnapshot:
        packets = sum(self._packets(v, second) for v in self._vip_names())
        passed, dropped = int(20 * second), int(6 * second)
        return NodeSnapshot(
            **self._head(second),  # type: ignore[arg-type]
            version="0.1.0",
            wall=WALL + second,
            started=4000.0,
            admin=self.node_admin,
            revision=self.revision,
            interface="eth0",
            xdp_mode="native",
            program="6d5a44f1c0ffee00",
            ring_digest=self.digest(),
            rx_packets=packets + passed + dropped,
            rx_bytes=(packets + passed + dropped) * 500,
            tx_packets=packets,
            tx_bytes=packets * 500,
            pass_packets=passed,
            drop_packets=dropped,
            flow_hits=packets * 99 // 100,
            flow_misses=packets // 100,
            new_flows=packets // 100,
            vips=len(self._vip_names()),
            vips_announced=sum(self._announced(name) for name in self._vip_names()),
            reals=3 * len(self._vip_names()),
            reals_up=sum(len(self._serving(v)) for v in self._vip_names()),
            live_flows=sum(self._flows(v, r) for v in self._vip_names() for r in REALS),
            peers=(
                Peer(
                    "10.2.1.1",
                    65000,
                    "up" if self.peers_up else "down",
                    4001.0,
                    "hold timer",
                    withdrawn=self._withdrawn("peer"),
                ),
            ),
            withdrawn=self._withdrawn("node"),
            cpu_seconds=12.0 + second * 0.01,
            rss_bytes=48_000_000,
            rollouts=self.rollouts,
            pending=self.pending,
            phase=self.phase,
            labels=self._said().digest if self.labels is not None else "",
        )

    def _withdrawn(self, what: str) -> Withdrawn | None:
        return Withdrawn("ak@jump01", WALL, "INC-7") if what in self.away else None

    def _announced(self, vip: str) -> bool:
        return self.node_admin is Admin.ENABLED and not self.away & {"node", "peer", vip}

    def _vip_names(self) -> tuple[str, ...]:
        return () if self.empty else (WEB, DNS)

    def _vips(self, second: float) -> VipSnapshot:
        return VipSnapshot(
            **self._head(second),  # type: ignore[arg-type]
            vips=tuple(
                VipRow(
                    name=name,
                    address="10.200.0.1" if name == WEB else "10.200.0.53",
                    port=80 if name == WEB else 53,
                    protocol=Protocol.TCP if name == WEB else Protocol.UDP,
                    packets=self._packets(name, second),
                    bytes=self._packets(name, second) * 500,
                    new_flows=self._packets(name, second) // 100,
                    drops=int(3 * second),
                    reals=3,
                    reals_up=len(self._serving(name)),
                    quorum=1,
                    announced=self._announced(name),
                    ring_digest=self.digest(name),
                    ring_changes=self.revision,
                    phase=self.phase,
                    withdrawn=self._withdrawn(name),
                    ailing=tuple(
                        Ailing(real, health, "connection refused", 4100.0)
                        for (vip, real), health in self.health.items()
                        if vip == name and health is not Health.UP
                    ),
                    drained=tuple(
                        real
                        for (vip, real), admin in self.admin.items()
                        if vip == name and admin is Admin.DRAINING
                    ),
                )
                for name in self._vip_names()
            ),
        )

    def _flows(self, vip: str, real: str) -> int:
        return self.flows.get((vip, real), 120 if vip == WEB else 8)

    def _reals(self, second: float) -> RealSnapshot:
        return RealSnapshot(
            **self._head(second),  # type: ignore[arg-type]
            reals=tuple(
                self._real(vip, real, second) for vip in self._vip_names() for real in REALS
            ),
        )

    def _real(self, vip: str, real: str, second: float) -> RealRow:
        weight = self.weight.get((vip, real), WEIGHTS[real])
        health = self.health.get((vip, real), Health.UP)
        packets = self._packets(vip, second) * WEIGHTS[real] // 250
        return RealRow(
            vip=vip,
            address=real,
            admin=self.admin.get((vip, real), Admin.ENABLED),
            health=health,
            weight=weight,
            effective_weight=weight if real in self._serving(vip) else 0,
            slots=self.slots(vip).get(real, 0),
            packets=packets,
            bytes=packets * 500,
            new_flows=packets // 100,
            live_flows=self._flows(vip, real),
            changed=4100.0,
            check="http 200" if health is Health.UP else "connection refused",
            check_ms=3.1,
            emptying=self.emptying.get((vip, real)),
        )

    def _cpus(self, second: float) -> tuple[CpuSnapshot, FlowtableSnapshot]:
        share = 50 + int(600 * second)
        taken = Counters(share * part for part in self.cpus)
        cpu = CpuSnapshot(
            **self._head(second),  # type: ignore[arg-type]
            rx_packets=taken,
            rx_bytes=taken,
            tx_packets=taken,
            pass_packets=Counters((0,) * len(taken)),
            drop_packets=Counters(
                t // 100 if number % 3 == 1 else 0 for number, t in enumerate(taken)
            ),
            flow_hits=Counters(
                t * 9 // 10 if number % 4 == 1 else t for number, t in enumerate(taken)
            ),
            flow_misses=Counters(
                t // 10 if number % 4 == 1 else 0 for number, t in enumerate(taken)
            ),
            softirq=Counters(int(second * (2 + 4 * part)) for part in self.cpus),
        )
        flowtable = FlowtableSnapshot(
            **self._head(second),  # type: ignore[arg-type]
            capacity=524_288,
            occupied=2000,
            live=384,
            hits=share,
            miss_syn=10,
            miss_udp=2,
            miss_other=1,
            stale=0,
            evictions=0,
        )
        return cpu, flowtable

    def _drops(self, second: float) -> DropSnapshot:
        return DropSnapshot(
            **self._head(second),  # type: ignore[arg-type]
            drops=(
                DropRow(1, "fragment", int(4 * second)),
                DropRow(2, "ip_options", int(2 * second)),
                DropRow(4, "no_real", 0),
            ),
            events=int(5 * second),
            suppressed=int(second),
            lost=0,
        )

    def event(self, sequence: int, second: float, body: EventBody) -> Event:
        return Event(
            **{**self._head(second), "sequence": sequence},  # type: ignore[arg-type]
            wall=WALL + second,
            body=body,
        )


def hash_of(text: str) -> int:
    """The same on every run, as `hash` is not."""
    return int.from_bytes(text.encode(), "big") % 1_000_003 * 7919


def dropped(source: str = "192.0.2.9:4422", name: str = "fragment", number: int = 1) -> DropEvent:
    return DropEvent(
        reason=number,
        name=name,
        vip=WEB,
        source=source,
        destination="10.200.0.1:80",
        protocol="tcp",
        length=381,
        cpu=1,
        rx_queue=1,
        head=bytes(64),
    )


def events(node: Fleet) -> list[Event]:
    bodies: tuple[EventBody, ...] = (
        PeerEvent("10.2.1.1", "up", "established"),
        HealthEvent(WEB, REALS[0], Health.UNKNOWN, Health.UP, "http 200"),
        RouteEvent("10.200.0.1/32", True, "quorum 1 of 1"),
        dropped(),
        dropped("192.0.2.167:61469", "ip_options", 2),
        ChangeEvent("ak@jump01", "drain real/10.3.2.2@web", "applied", 7),
    )
    return [node.event(n, 3 + n / 4, body) for n, body in enumerate(bodies)]


def records(
    nodes: Mapping[str, Fleet], seconds: range, *, silent_from: Mapping[str, int] | None = None
) -> Iterator[Record]:
    """The telemetry of some nodes; arrival times are the seconds."""
    quiet = silent_from or {}
    for second in seconds:
        for address, node in nodes.items():
            if second >= quiet.get(address, seconds.stop):
                continue
            for snapshot in node.at(second):
                yield Record(float(second), address, tuple(telemetry_frames(snapshot)))
            labels = node.labelled(second)
            if labels is not None:
                yield Record(float(second), address, tuple(telemetry_frames(labels)))
    for address, node in nodes.items():
        for event in events(node):
            arrived = min(float(seconds.stop - 1), event.at - 5000.0)
            yield Record(arrived, address, tuple(telemetry_frames(event)))
