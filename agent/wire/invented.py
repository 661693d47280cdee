# SPDX-License-Identifier: Apache-2.0
"""Telemetry of a node that does not exist: plausible, growing, and marked `simulated`.  Pure.

Traffic of a VIP follows a slow wave with a phase of its own; totals are its integral, so that they
never go back.  Now and then a real of one VIP is down.  Node names begin with `sim-`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from agent.wire import labelling
from shared.labels import NO_LABELS, Labels
from shared.messages import (
    Ailing,
    Counters,
    CpuSnapshot,
    DropRow,
    DropSnapshot,
    FlowtableSnapshot,
    LabelSnapshot,
    NodeSnapshot,
    Peer,
    RealRow,
    RealSnapshot,
    Snapshot,
    VipRow,
    VipSnapshot,
)
from shared.model import RING_SLOTS, Admin, Health, Protocol
from shared.reasons import REASONS

WAVE = 600.0
"""Seconds from one peak of traffic to the next."""
TROUBLE_EVERY, TROUBLE = 300.0, 30.0
"""Seconds: how often a real of a node is down, and how long."""
FRAME = 500
"""Bytes."""
FLOW = 40
"""Packets of a flow."""


@dataclass(frozen=True)
class Invented:
    """One node.  `number` makes it differ from the others."""

    number: int
    vips: int
    reals: int
    cpus: int = 4

    @cached_property
    def name(self) -> str:
        return f"sim-{self.number:03d}"

    @cached_property
    def digest(self) -> str:
        return blake2b(f"{self.vips}x{self.reals}".encode(), digest_size=6).hexdigest()

    @cached_property
    def _said(self) -> labelling.Said:
        vips = [f"vip{vip:02d}" for vip in range(self.vips)]
        reals = {
            name: {_real(vip, real): _in_rack(real) for real in range(self.reals)}
            for vip, name in enumerate(vips)
        }
        return labelling.said(_in_rack(self.number), dict.fromkeys(vips, NO_LABELS), reals)

    def labels(self, second: float, sequence: int) -> LabelSnapshot:
        """Nodes and reals stand in four racks."""
        return LabelSnapshot(**self._head(second, sequence), **self._said._asdict())

    def _head(self, second: float, sequence: int) -> dict[str, Any]:
        return {"node": self.name, "boot": "simulated", "sequence": sequence, "at": second}

    def snapshots(
        self, second: float, wall: float, sequence: int, topics: Collection[str]
    ) -> list[Snapshot]:
        """Those of `topics` at `second` of the node's life (0 or more)."""
        head = self._head(second, sequence)
        makers: dict[str, Callable[[], Snapshot]] = {
            "node": lambda: self._node(second, wall, head),
            "vip": lambda: VipSnapshot(**head, vips=self._vips(second)),
            "real": lambda: RealSnapshot(**head, reals=self._reals(second)),
            "cpu": lambda: self._cpus(second, head),
            "flowtable": lambda: self._flowtable(second, head),
            "drop": lambda: self._drops(second, head),
        }
        return [make() for topic, make in makers.items() if topic in topics]

    def _packets(self, vip: int, second: float) -> int:
        """The integral of a mean rate times 1 + sin/2."""
        mean = 2000.0 / (vip + 1) * (1 + self.number % 7 / 10)
        turn = 2 * math.pi / WAVE
        phase = vip + self.number / 10
        swing = (math.cos(phase) - math.cos(turn * second + phase)) / turn / 2
        return 1_000_000 + int(mean * (second + swing))

    def _down(self, second: float) -> int | None:
        """The VIP whose first real is down just now."""
        shifted = second + self.number * 17.0
        if shifted % TROUBLE_EVERY >= TROUBLE or self.reals < 2:
            return None
        return int(shifted // TROUBLE_EVERY) % self.vips

    def _total(self, second: float) -> int:
        return sum(self._packets(vip, second) for vip in range(self.vips))

    def _node(self, second: float, wall: float, head: dict[str, Any]) -> NodeSnapshot:
        packets = self._total(second)
        passed, dropped = int(20 * second), self._dropped(second)
        flows = packets // FLOW
        down = self._down(second) is not None
        return NodeSnapshot(
            **head,
            version="simulated",
            wall=wall,
            started=0.0,
            admin=Admin.ENABLED,
            revision=1,
            interface="eth0",
            xdp_mode="native",
            program="0" * 16,
            ring_digest=self.digest,
            rx_packets=packets + passed + dropped,
            rx_bytes=(packets + passed + dropped) * FRAME,
            tx_packets=packets,
            tx_bytes=packets * FRAME,
            pass_packets=passed,
            drop_packets=dropped,
            flow_hits=packets - flows,
            flow_misses=flows,
            new_flows=flows,
            vips=self.vips,
            vips_announced=self.vips,
            reals=self.vips * self.reals,
            reals_up=self.vips * self.reals - down,
            live_flows=5000 + self.number,
            peers=(Peer("192.0.2.1", 65000, "up", 1.0, "established"),),
            cpu_seconds=second * 0.02,
            rss_bytes=55 << 20,
            simulated=True,
            labels=self._said.digest,
        )

    def _vips(self, second: float) -> tuple[VipRow, ...]:
        down = self._down(second)
        return tuple(self._vip(vip, second, down=vip == down) for vip in range(self.vips))

    def _vip(self, vip: int, second: float, *, down: bool) -> VipRow:
        packets = self._packets(vip, second)
        ailing = (Ailing(_real(vip, 0), Health.DOWN, "simulated", second),) if down else ()
        return VipRow(
            name=f"vip{vip:02d}",
            address=f"198.51.100.{vip + 1}",
            port=443,
            protocol=Protocol.TCP,
            packets=packets,
            bytes=packets * FRAME,
            new_flows=packets // FLOW,
            drops=0,
            reals=self.reals,
            reals_up=self.reals - down,
            quorum=1,
            announced=True,
            ring_digest=self.digest,
            ring_changes=1,
            ailing=ailing,
        )

    def _reals(self, second: float) -> tuple[RealRow, ...]:
        down = self._down(second)
        return tuple(
            self._real(vip, real, second, down=vip == down and real == 0)
            for vip in range(self.vips)
            for real in range(self.reals)
        )

    def _real(self, vip: int, real: int, second: float, *, down: bool) -> RealRow:
        packets = self._packets(vip, second) // self.reals
        return RealRow(
            vip=f"vip{vip:02d}",
            address=_real(vip, real),
            admin=Admin.ENABLED,
            health=Health.DOWN if down else Health.UP,
            weight=100,
            effective_weight=0 if down else 100,
            slots=0 if down else RING_SLOTS // self.reals,
            packets=packets,
            bytes=packets * FRAME,
            new_flows=packets // FLOW,
            live_flows=0 if down else 50,
            changed=0.0,
            check="simulated",
            check_ms=1.0,
        )

    def _cpus(self, second: float, head: dict[str, Any]) -> CpuSnapshot:
        taken = Counters([self._total(second) // self.cpus] * self.cpus)
        none = Counters([0] * self.cpus)
        return CpuSnapshot(
            **head,
            rx_packets=taken,
            rx_bytes=Counters(n * FRAME for n in taken),
            tx_packets=taken,
            pass_packets=none,
            drop_packets=none,
            flow_hits=taken,
            flow_misses=Counters(n // FLOW for n in taken),
        )

    def _flowtable(self, second: float, head: dict[str, Any]) -> FlowtableSnapshot:
        packets = self._total(second)
        return FlowtableSnapshot(
            **head,
            capacity=262_144 * self.cpus,
            occupied=20_000,
            live=5000 + self.number,
            hits=packets - packets // FLOW,
            miss_syn=packets // FLOW,
            miss_udp=0,
            miss_other=0,
            stale=0,
            evictions=0,
        )

    def _dropped(self, second: float) -> int:
        return int(second / 10) + self.number % 5

    def _drops(self, second: float, head: dict[str, Any]) -> DropSnapshot:
        first = REASONS[0].number
        return DropSnapshot(
            **head,
            drops=tuple(
                DropRow(r.number, r.name, self._dropped(second) if r.number == first else 0)
                for r in REASONS
            ),
            events=0,
            suppressed=self._dropped(second),
            lost=0,
        )


def _real(vip: int, real: int) -> str:
    return f"203.0.{vip}.{real + 1}"


def _in_rack(number: int) -> Labels:
    return Labels({"rack": f"r{number % 4 + 1}"})
