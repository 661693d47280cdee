# SPDX-License-Identifier: Apache-2.0
"""The flow tables in use: how many flows live, by real, and for how long they have been silent.

A count looks at every entry (flowtable.py), so one serves all who ask within a moment.  Only what
a CPU has is passed over if it was empty and no packet of a VIP came since (what is passed to the
host stores nothing): a machine has more CPUs than its NIC has queues, mostly.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core.whereabouts import Entry
from agent.dataplane import abi, flowtable
from agent.dataplane.counters import Counters
from agent.dataplane.jiffies import HZ, Jiffies
from agent.dataplane.refusal import refusals

BOUNDS = (1.0, 10.0, 60.0)
"""Seconds of silence by which `ages` tells flows apart."""
_CENSUS_AGE = 0.2
"""Seconds for which a count of flows is good enough to be given again."""


class LiveFlows:
    """Of all CPUs.  What counts raises EffectError when the kernel refuses."""

    def __init__(
        self,
        fd: int,
        per_cpu: int,
        cpus: int,
        *,
        services: NDArray[Any],
        reals: NDArray[Any],
        counters: Counters,
        jiffies: Jiffies,
    ) -> None:
        """`fd`: the map, of `per_cpu` entries for each CPU; `services`, `reals`: struct lb_service
        by vip_num, struct lb_real by real_num."""
        self._fd = fd
        self._per_cpu = per_cpu
        self._all = cpus * per_cpu
        self._services = services
        self._reals = reals
        self._counters = counters
        self._jiffies = jiffies
        self._census: tuple[float, float, flowtable.Census] | None = None
        self._watched: frozenset[int] = frozenset()
        self._empty_at: dict[int, int] = {}
        """CPUs that had no entry when counted last -> packets that they had handled before."""

    @property
    def entries(self) -> int:
        """Of the flow tables that are used: those of CPUs that received packets."""
        return self._counters.busy * self._per_cpu

    def live(self, idle: float) -> NDArray[np.int64]:
        """By real_num: flows seen within `idle` seconds (of UDP: within the VIP's own, if that is
        shorter) that are not closing; half-closed ones while they receive."""
        return self._count(idle).live

    def watch(self, real_nums: Iterable[int]) -> None:
        """From the next count on, `silence` knows of the flows of these."""
        watched = frozenset(real_nums)
        if watched != self._watched:
            self._watched, self._census = watched, None

    def silence(self, idle: float) -> dict[int, tuple[float, float]]:
        """By real_num, of those that are watched and have live flows: seconds since the flow that
        was heard of last, and since the one that has been silent for longest."""
        found = self._count(idle).silence
        return {n: (least / HZ, most / HZ) for n, (least, most) in found.items()}

    def occupancy(self, idle: float) -> tuple[int, int, int]:
        """(capacity, entries that hold a flow, live flows)."""
        counted = self._count(idle)
        return self.entries, sum(counted.occupied), int(counted.live.sum())

    def stored(self, tags: Collection[int]) -> dict[int, list[Entry]]:
        """The entries of these flows, of those that have any."""
        wanted = np.fromiter(tags, np.uint64, len(tags))
        with refusals("flow table: cannot be mapped"):
            found = flowtable.stored(
                self._fd, self._all // self._per_cpu, self._per_cpu, wanted, self._jiffies.now()
            )
        return {tag: [Entry(*e[:4], e.silent / HZ) for e in of] for tag, of in found.items()}

    def ages(self, idle: float) -> flowtable.Ages:
        """Of flows that are live as `live` has it, by `BOUNDS`.  Looks at every entry that a CPU
        has which handled packets: for a thread."""
        cpus = [cpu for cpu, packets in enumerate(self._counters.handled()) if packets]
        with refusals("flow table: cannot be mapped"):
            return flowtable.ages(
                self._fd,
                [range(cpu * self._per_cpu, (cpu + 1) * self._per_cpu) for cpu in cpus],
                self._reals,
                self.idle_by_real(idle),
                self._jiffies.now(),
                bounds=[round(bound * HZ) for bound in BOUNDS],
            )

    def idle_by_real(self, idle: float) -> NDArray[np.uint32]:
        """By real_num: jiffies of silence after which a flow is over."""
        longest = np.uint32(idle * HZ)
        udp = self._services["udp_idle"][self._reals["vip_num"] % abi.MAX_VIPS]
        return np.where(udp == 0, longest, np.minimum(udp, longest)).astype(np.uint32)

    def _count(self, idle: float) -> flowtable.Census:
        now = time.monotonic()
        if self._census and self._census[0] == idle and now - self._census[1] < _CENSUS_AGE:
            return self._census[2]
        handled = dict(enumerate(self._counters.handled()))  # before: a packet is counted last
        cpus = [cpu for cpu, packets in handled.items() if self._empty_at.get(cpu) != packets]
        with refusals("flow table: cannot be mapped"):
            counted = flowtable.census(
                self._fd,
                [range(cpu * self._per_cpu, (cpu + 1) * self._per_cpu) for cpu in cpus],
                self._reals,
                self.idle_by_real(idle),
                self._jiffies.now(),
                watched=self._watched,
            )
        for cpu, held in zip(cpus, counted.occupied, strict=True):
            self._empty_at[cpu] = -1 if held else handled[cpu]
        self._census = (idle, now, counted)
        return counted
