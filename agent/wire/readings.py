# SPDX-License-Identifier: Apache-2.0
"""What is measured, read: cheap things for every snapshot, dear ones at a look, once a second.

The dear ones take milliseconds: flow tables are counted, the kernel is asked for the program.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.boundary import Counted, EffectError
from agent.core.state import NodeState
from agent.dataplane.attach import how_attached
from agent.dataplane.maps import DataPlane
from agent.dataplane.tunnel import Tunnel
from agent.host.softirq import SoftIrq
from agent.wire.snapshot import FLOWS, PACKETS, DiskHealth, Reading

log = logging.getLogger("remora")

PAGE = resource.getpagesize()


class Looked(NamedTuple):
    """What is read once a second: fields of a Reading."""

    capacity: int
    occupied: int
    live: int
    rss_bytes: int
    attached: str


class Readings:
    """Raises OSError or EffectError where the first look fails."""

    def __init__(self, state: NodeState, dataplane: DataPlane, tunnel: Tunnel,
                 disk_health: Callable[[], DiskHealth],
                 overruns: Callable[[], int]) -> None:  # fmt: skip
        self._state = state
        self._dataplane = dataplane
        self._tunnel = tunnel
        self._disk_health = disk_health
        self._overruns = overruns
        self._softirq = SoftIrq()
        self._looked = self._look()
        self._blind = False
        """The last look failed."""

    def look(self) -> Counted | None:
        """At what is dear.  None: it cannot be read, for want of descriptors, say; it stands as it
        was, and the log says so."""
        try:
            self._looked = self._look()
            counted = self._count()
        except (OSError, EffectError) as error:
            if not self._blind:
                log.warning("telemetry: not counted: %s", error)
            self._blind = True
            return None
        self._blind = False
        return counted

    def now(self) -> Reading:
        """Everything; what is dear as of the last look."""
        counters = self._dataplane.counters
        return Reading(
            at=time.monotonic(),
            wall=time.time(),
            totals=counters.totals(),
            vips=counters.by_vip(),
            reals=counters.by_real(),
            cpu_seconds=time.process_time(),
            queues=counters.by_queue(),
            probes=self._tunnel.counts()._asdict(),
            softirq=self._softirq.read(),
            disk=self._disk_health(),
            overruns=self._overruns(),
            **self._looked._asdict(),
        )

    def _look(self) -> Looked:
        node = self._state.listed.node
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
        attached = how_attached(node.interface, self._dataplane.program_id)
        return Looked(*self._dataplane.flows.occupancy(node.flow_idle), resident, attached)

    def _count(self) -> Counted:
        flows, idle = self._dataplane.flows, self._state.listed.node.flow_idle
        flows.watch(self._state.emptying())
        live, silence = flows.live(idle), flows.silence(idle)
        totals = self._dataplane.counters.by_vip()
        return Counted(
            live,
            totals[:, FLOWS],
            flows.entries,
            totals[:, PACKETS],
            silence,
            warm_in=self._dataplane.warm_in(),
            unstored=self._dataplane.counters.unstored,
        )
