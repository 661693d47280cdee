# SPDX-License-Identifier: Apache-2.0
"""F3 at scale: random sequences of changes, each under tens of thousands of packets.

tests/bench/restorer.py sends them within the kernel, each of another flow; what they did is read
from the flow table, flow by flow, and from the counters of every real.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.dataplane import abi, loader
from agent.nouns import Address, Placing, Tracking
from tests.bench.restorer import _Restored
from tests.bpf import frames, oracle
from tests.bpf.rig import DNS, KEY, WEB, Rig

pytestmark = pytest.mark.root

FLOWS = 4096
"""Of a cohort: all from one address, whose lower half is 0 (the restorer writes it)."""
TABLE = 1 << 20
STEPS = 40
HOME_BITS = 12
"""A flow's home: real_num, and above it the generation: a number's next owner is another home."""
COHORTS = 6
ADDRESSES = [f"10.3.{n}.2" for n in range(1, 9)]


@pytest.fixture(scope="module")
def large(bpffs: Path) -> Iterator[Rig]:
    """A rig whose flow table has room for all flows of a test."""
    pins = loader.pins(bpffs, "sequences")
    loader.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=TABLE, ring_rows=32))
    rig = Rig(pins)
    yield rig
    rig.close()
    loader.detach(pins)


class Cohort(NamedTuple):
    """Flows that began together; index: client port."""

    tags: NDArray[np.uint64]
    opening: _Restored
    going_on: _Restored

    def close(self) -> None:
        self.opening.close()
        self.going_on.close()


def cohort(rig: Rig, number: int) -> Cohort:
    source = f"10.{64 + number % 128}.0.0"
    flow = oracle.Flow(source, 0, frames.VIP, 80, "tcp")
    ports = [(n & 255) << 8 | n >> 8 for n in range(FLOWS)]  # the restorer counts in its own order
    tags = [oracle.hashed(flow._replace(port=port), KEY) for port in ports]
    opening, going_on = (
        _Restored(rig.program, frames.tcp(source=source, flags=flags), FLOWS) for flags in "SA"
    )
    return Cohort(np.array(tags, np.uint64), opening, going_on)


def slots_of(tags: NDArray[np.uint64]) -> NDArray[np.int64]:
    return ((tags >> np.uint64(32)) * np.uint64(oracle.SLOTS) >> np.uint64(32)).astype(np.int64)


def stored_with(rig: Rig, tags: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Home by flow, as the flow table of this CPU has it; -1: it has no entry."""
    (cpu,) = os.sched_getaffinity(0)
    sets = TABLE // abi.FLOW_WAYS
    ways = rig.flows["way"][cpu * sets + (tags & np.uint64(sets - 1)).astype(np.int64)]
    mine = (ways["tag"] == tags[:, None]) & (ways["seen"] != 0)
    homes = ways["real_num"].astype(np.int64) | ways["generation"].astype(np.int64) << HOME_BITS
    stored: NDArray[np.int64] = np.where(mine, homes, -1).max(axis=1)
    return stored


class Story:
    """One VIP under change, and what the flows must do."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig, self.chance = rig, random.Random(seed)
        self.service = rig.serve(WEB, dict.fromkeys(ADDRESSES[:5], 4))
        self.weights = dict.fromkeys(self.service.reals, 4)
        self.generations: dict[int, int] = dict.fromkeys(self.service.reals.values(), 1)
        self.draining: set[Address] = set()
        self.packets = 0

    # ---- changes

    def change(self) -> str:
        """One at random; a real that leaves for good takes its flows' claim with it."""
        act = self.chance.choice(
            ["add", "drain", "undrain", "weight", "remove", "vip", "mode", "forget"]
        )
        getattr(self, f"_{act}")()
        return act

    def _place(self) -> None:
        members = {a: 0 if a in self.draining else w for a, w in self.weights.items()}
        self.service = self.service._replace(reals=dict(self.service.reals))
        self.rig.place(self.service, members)

    def _add(self) -> None:
        free = [a for a in map(self.rig.address, ADDRESSES) if a not in self.weights]
        if not free:
            return
        address = self.chance.choice(free)
        unused = [n for n in range(1, 20) if n not in self.service.reals.values()]
        number = self.chance.choice(unused[:2])  # numbers come back soon
        generation = self.generations[number] = self.generations.get(number, 0) % 255 + 1
        self.rig.put_real(number, self.service.vip_num, str(address), generation)
        self.service = self.service._replace(reals={**self.service.reals, address: number})
        self.weights[address] = self.chance.randrange(1, 9)
        self._place()

    def _serving(self) -> list[Address]:
        return sorted(a for a in self.weights if a not in self.draining)

    def _drain(self) -> None:
        if len(self._serving()) > 1:
            address = self.chance.choice(self._serving())
            self.draining.add(address)
            self.rig.dataplane.set_flags(self.service.reals[address], abi.REAL_DRAINING)
            self._place()

    def _undrain(self) -> None:
        if self.draining:
            address = self.chance.choice(sorted(self.draining))
            self.draining.discard(address)
            self.rig.dataplane.set_flags(self.service.reals[address], 0)
            self._place()

    def _weight(self) -> None:
        self.weights[self.chance.choice(self._serving())] = self.chance.randrange(1, 9)
        self._place()

    def _remove(self) -> None:
        gone = self.chance.choice(sorted(self.weights))
        if self._serving() in ([gone], []):
            return
        del self.weights[gone]
        self.draining.discard(gone)
        number = self.service.reals[gone]
        left = {a: n for a, n in self.service.reals.items() if a != gone}
        self.service = self.service._replace(reals=left)
        self._place()
        self.rig.dataplane.free_real(number)

    def _vip(self) -> None:
        """Another VIP comes, or goes; this one must not notice."""
        if DNS in self.rig.dataplane.owned().vips:
            self.rig.dataplane.remove_vip(DNS)
        else:
            self.rig.dataplane.put_vip(DNS, 99)

    def _mode(self) -> None:
        tracking = self.chance.choice((Tracking.TRACK, Tracking.CHANGED))
        placing = Placing(tracking=tracking, pressure=self.chance.random() < 0.3)
        self.rig.dataplane.set_placing(self.service.vip_num, placing)

    def _forget(self) -> None:
        """Between two of these every flow of the story sends: so nothing may move."""
        self.rig.dataplane.rings.forget_previous(self.service.vip_num)

    # ---- packets

    def send(self, sender: _Restored) -> NDArray[np.int64]:
        """All flows of a cohort once: packets by real_num."""
        before = self.rig.dataplane.counters.by_real()[:, 0].astype(np.int64)
        sender.run(FLOWS)
        self.packets += FLOWS
        return self.rig.dataplane.counters.by_real()[:, 0].astype(np.int64) - before

    def homes(self) -> list[int]:
        """Of all reals that the VIP has now."""
        numbers = self.service.reals.values()
        return [number | self.generations[number] << HOME_BITS for number in numbers]

    def by_ring(self, flows: Cohort) -> NDArray[np.int64]:
        """Where each flow would be if it were new: its slot's real."""
        owners = np.zeros(abi.MAX_REALS, np.int64)
        for home in self.homes():
            owners[home & abi.MAX_REALS - 1] = home
        placed: NDArray[np.int64] = owners[np.array(self.service.ring)[slots_of(flows.tags)]]
        return placed

    def check(self, flows: Cohort, homes: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """A packet of each: its home now, the same as before unless its real is gone."""
        counted = self.send(flows.going_on)
        alive = np.isin(homes, self.homes())
        entries = stored_with(self.rig, flows.tags)
        now = np.where(np.isin(entries, self.homes()), entries, self.by_ring(flows))
        assert (now[alive] == homes[alive]).all(), what
        assert (_by_number(now) == counted).all(), what
        return now


def _by_number(homes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Flows by real_num."""
    return np.bincount(homes & abi.MAX_REALS - 1, minlength=abi.MAX_REALS)


@pytest.mark.parametrize("seed", range(3))
def test_f3_no_sequence_of_changes_moves_a_flow(large: Rig, seed: int) -> None:
    """40 changes, 24,576 flows after each: a million packets per story, each flow where it began.

    Numbers of reals that left are given again at once; the counters of every real say that no
    packet went to another one than the flow table, or the ring, has.
    """
    large.reset()
    large.configure(trace_all=False)
    story = Story(large, seed)
    cohorts: list[tuple[Cohort, NDArray[np.int64]]] = []
    for step in range(STEPS):
        what = f"seed {seed}, step {step}: {story.change()}"
        cohorts = [(flows, story.check(flows, homes, what)) for flows, homes in cohorts]
        if len(cohorts) == COHORTS:
            cohorts.pop(0)[0].close()
        flows = cohort(large, step)
        homes = story.by_ring(flows)
        assert (_by_number(homes) == story.send(flows.opening)).all(), what
        cohorts.append((flows, story.check(flows, homes, what)))
    for flows, _ in cohorts:
        flows.close()
    assert story.packets > 900_000
