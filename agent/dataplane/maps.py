# SPDX-License-Identifier: Apache-2.0
"""What the agent does with the data plane: the pinned maps, adopted by path.

No bcc.  Counters, reals and ring rows are read and written through memory mappings, without a
system call; only the VIP hash map needs some.  It decides nothing: numbers, generations and rings
come from the director.  One DataPlane at a time may write (the run directory's lock sees to that).
"""

from __future__ import annotations

import ctypes as c
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.boundary import EffectError
from agent.core import maglev
from agent.core.maglev import Address, Turns
from agent.core.whereabouts import Entry, Owner, Slot
from agent.dataplane import abi, flowtable, pinned, slots
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.jiffies import HZ, TICKS, Jiffies
from agent.dataplane.mapped import view, window
from agent.dataplane.packing import (
    Control,
    owned_real,
    packed_control,
    packed_real,
    packed_trace,
    vip_flags,
)
from agent.dataplane.ring_fill import Workshop
from agent.dataplane.vip_tables import VipTables
from agent.nouns import PLAIN, OwnedReal, Placing, Traced, VipKey

QUARANTINE = 0.05
"""Seconds until a row that was in force is written again: a packet may still be reading it."""
_CENSUS_AGE = 0.2
"""Seconds for which a count of flows is good enough to be given again."""
_NOT_OURS = ("events", "decap_totals", "fill", "work", "jumps", "probe_totals")
"""EventRing's; a real's; opened while rings are filled only; the program's own; the
prober's (agent/dataplane/tunnel.py)."""


class Owned(NamedTuple):
    """What the maps hold of an earlier agent."""

    vips: dict[VipKey, int]
    reals: tuple[OwnedReal, ...]
    """Every number that was ever used: its generation must go on."""


@contextmanager
def _effect(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EffectError(f"{what}: {error.strerror}") from error


class DataPlane:
    """The maps of one node.  Every method raises EffectError when the kernel refuses."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins
        self._fds: dict[str, int] = {}
        with _effect(f"{pins}: the data plane cannot be adopted, load it first"):
            sizes = pinned.sizes_of(pins)
            for spec in abi.map_specs(sizes).values():
                if spec.name not in _NOT_OURS:
                    self._fds[spec.name] = bpf.obj_get(str(pins / spec.name))
            program = bpf.obj_get(str(pins / "prog_lb"))
        loaded = bpf.program_info(program)
        self.program_tag, self.program_id = loaded.tag, loaded.id
        os.close(program)
        self.cpus = sizes.cpus
        self.boot = _boot(bpf.map_info(self._fds["totals"]).id)
        self._flows_per_cpu = sizes.flows_per_cpu
        self._control = self._view("control", abi.Control, 1)
        self._services = self._view("services", abi.Service, abi.MAX_VIPS)
        self._reals = self._view("reals", abi.Real, abi.MAX_REALS)
        self._totals = self._view("totals", abi.Totals, self.cpus)
        self._vip_totals = self._view("vip_totals", abi.Share, self.cpus * abi.MAX_VIPS)
        self._real_totals = self._view("real_totals", abi.Share, self.cpus * abi.MAX_REALS)
        self._trace = self._view("trace", abi.Trace, 1)
        self._buckets = self._view("buckets", abi.Bucket, self.cpus * abi.BUCKETS)
        self._tables = VipTables(*(self._fds[name] for name in ("addresses", "vips", "prefixes")))
        with _effect("jiffies cannot be read"):
            self._jiffies = Jiffies()
        in_force = set(self._services["ring_row"].tolist())
        ready = time.monotonic() + QUARANTINE  # the agent before us may have retired a row just now
        self._free_rows = deque((ready, r) for r in range(1, sizes.ring_rows) if r not in in_force)
        self._census: tuple[float, float, flowtable.Census] | None = None
        self._watched: frozenset[int] = frozenset()
        self._workshop: Workshop | None = None

    def _view(self, name: str, struct: type[c.Structure], entries: int) -> NDArray[Any]:
        return view(self._fds[name], struct, entries)

    def close(self) -> None:
        """Let go of the maps; they and the program stay as they are."""
        self.let_go()
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        self._jiffies.close()
        del self._control, self._services, self._reals, self._tables
        del (
            self._totals,
            self._vip_totals,
            self._real_totals,
            self._trace,
            self._buckets,
        )

    # ---- settings

    def configure(self, control: Control) -> None:
        """Bring the settings into force, word by word, what is equal untouched."""
        packed = packed_control(control, TICKS)
        ready = self._jiffies.now() + round(control.flow_idle * HZ)
        packed.warm_at = int(self._control["warm_at"][0]) or ready
        packed.flags |= int(self._control["flags"][0]) & abi.TRACING
        if any(self._tables.networks()):
            packed.flags |= abi.PREFIXES
        fresh = np.frombuffer(bytes(packed), np.uint64)
        words = self._control.view(np.uint64)
        for i in np.flatnonzero(words != fresh):
            words[i] = fresh[i]  # one store each: the gateway's MAC is never half of two

    def _set_control_flag(self, flag: int, *, on: bool) -> None:
        flags = int(self._control["flags"][0])
        self._control["flags"][0] = flags | flag if on else flags & ~flag

    # ---- trace

    def start_trace(self, wanted: Traced) -> None:
        """Trace these packets, instead of others.

        Until the last word is written nothing matches, so no packet sees half of two filters.
        """
        self.stop_trace()
        buckets = self._buckets["due"].reshape(self.cpus, abi.BUCKETS)
        buckets[:, abi.BUCKET_TRACE] = 0  # what the last trace used up is not this one's
        fresh = packed_trace(wanted, TICKS, self._jiffies.now() << 16)
        words, packed = self._trace.view(np.uint64), np.frombuffer(bytes(fresh), np.uint64)
        words[:-1] = packed[:-1]
        words[-1] = packed[-1]  # `until`, the last one of the struct
        self._set_control_flag(abi.TRACING, on=True)

    def stop_trace(self) -> None:
        """Trace nothing: from the next packet on it costs nothing either."""
        self._set_control_flag(abi.TRACING, on=False)
        self._trace["until"] = 0

    @property
    def traced(self) -> int:
        """Packets that matched a filter since the maps were made, over all CPUs."""
        return int(self._totals["traced"].sum())

    # ---- VIPs and reals

    def owned(self) -> Owned:
        """What an earlier agent left: the state to adopt."""
        with _effect("tables of VIPs: cannot be read"):
            vips = self._tables.vips()
        used = np.flatnonzero(self._reals["generation"]).tolist()
        return Owned(vips, tuple(owned_real(n, self._reals[n]) for n in used))

    def put_vip(self, key: VipKey, vip_num: int, placing: Placing = PLAIN) -> None:
        """From now on packets to the VIP are ours: dropped (no_real) until it has a ring."""
        assert 0 < vip_num < abi.MAX_VIPS
        self.set_placing(vip_num, placing)
        with _effect(f"VIP {key}: cannot be written"):
            self._tables.put(key, vip_num)
        if key.length is not None:
            self._set_control_flag(abi.PREFIXES, on=True)

    def set_placing(self, vip_num: int, placing: Placing) -> None:
        """In force with the next packet."""
        service = self._services[vip_num : vip_num + 1]
        service["udp_idle"] = round(placing.udp_idle * HZ)
        if placing.quic:
            service["quic_id_bytes"] = placing.quic.id_bytes
            service["quic_config"] = placing.quic.config
        service["flags"] = vip_flags(placing)

    def put_quic_ids(self, vip_num: int, real_nums: Mapping[int, int]) -> None:
        """Server id -> real_num: all that the VIP has, others are forgotten."""
        fd = self._fds["quic_ids"]
        with _effect(f"QUIC server ids of VIP number {vip_num}: cannot be written"):
            for server_id, real_num in real_nums.items():
                key = abi.QuicId(server_id=server_id, vip_num=vip_num)
                bpf.map_update(fd, bytes(key), real_num.to_bytes(4, "little"))
            for raw in list(bpf.map_keys(fd, c.sizeof(abi.QuicId))):
                key = abi.QuicId.from_buffer_copy(raw)
                if key.vip_num == vip_num and key.server_id not in real_nums:
                    bpf.map_delete(fd, raw)

    def remove_vip(self, key: VipKey) -> None:
        """From now on its packets are the host's.  Nothing happens if it is not there."""
        with _effect(f"VIP {key}: cannot be removed"):
            vip_num = self._tables.remove(key)
            if vip_num is None:
                return
            if key.length is not None:
                self._set_control_flag(abi.PREFIXES, on=any(self._tables.networks()))
        self._flip(vip_num, 0)
        self.put_quic_ids(vip_num, {})
        self._begin_totals(vip_num)

    def _begin_totals(self, vip_num: int) -> None:
        """The number's next VIP begins at 0; number 0 keeps what is gone, so that sums go on."""
        totals = self._vip_totals.view(np.uint64).reshape(self.cpus, abi.MAX_VIPS, -1)
        totals[:, 0, :3] += totals[:, vip_num, :3]  # drops of no VIP the program counts there
        totals[:, vip_num] = 0

    def set_own_addresses(self, addresses: Iterable[Address]) -> None:
        """What comes encapsulated to these, for a VIP, is decapsulated and left to the host."""
        with _effect("own addresses: cannot be written"):
            self._tables.set_own(addresses)

    def answer_pings_for(self, addresses: Iterable[Address] | None) -> None:
        """The VIP addresses that answer pings, if any do; None: all."""
        with _effect("addresses that answer pings: cannot be written"):
            self._tables.set_pinged(addresses)

    def put_real(self, real: OwnedReal) -> None:
        """Give a number to a real; a new owner needs a new generation (1 to 255).

        The same owner may change its encapsulation: in force with the next packet.
        """
        assert 0 < real.real_num < abi.MAX_REALS
        assert 0 < real.generation < 256
        if real.generation != self._reals["generation"][real.real_num]:
            self._real_totals.reshape(self.cpus, -1)[:, real.real_num] = 0  # it begins at 0
        fresh = np.frombuffer(bytes(packed_real(real)), np.uint64)
        words = self._reals[real.real_num : real.real_num + 1].view(np.uint64)
        words[:2] = fresh[:2]
        words[2] = fresh[2]  # owner, flags and encap in one store, the address before them

    def set_flags(self, real_num: int, flags: int) -> None:
        """In force with the next packet."""
        self._reals["flags"][real_num] = flags

    def free_real(self, real_num: int) -> None:
        """Give the number back; the generation stays, so that the next owner's differs."""
        owned = owned_real(real_num, self._reals[real_num])
        if not owned.generation:
            return
        self.put_real(owned._replace(vip_num=0, flags=0))
        if owned.vip_num:
            with _effect(f"ring of VIP number {owned.vip_num}: cannot be mapped"):
                self._rewrite(owned.vip_num, lambda words: slots.without(words, real_num))

    # ---- rings

    def fill(self, turns: Turns, slots: int) -> NDArray[np.uint16]:
        """maglev.fill by bpf/ring.c: the same bytes, ten times faster."""
        with _effect(f"{self._pins}: ring.c is not loaded, or cannot be opened"):
            self._workshop = self._workshop or Workshop(self._pins)
        return self._workshop.fill(turns, slots)

    def let_go(self) -> None:
        """Of what only the next ring needs; it opens it again."""
        if self._workshop:
            self._workshop.close()
        self._workshop = None

    def set_ring(
        self, vip_num: int, placed: NDArray[np.uint16], numbers: NDArray[np.uint32]
    ) -> None:
        """Bring a ring into force with one store: a packet sees the old one or this one.

        placed: slot -> index into numbers; numbers: real_num, empty: nobody serves.

        What the slots were before is kept in their words: see slots.py.  Waits (at most
        QUARANTINE) when every free row was in force a moment ago.
        """
        assert placed.shape == (abi.RING_SLOTS,)
        row = self._free_row()
        try:
            with _effect(f"ring row {row}: cannot be mapped"):
                self._write(self._row(row), self._words(vip_num), placed, numbers)
        except EffectError:
            self._free_rows.appendleft((0.0, row))  # tried again every second: none may be lost
            raise
        self._flip(vip_num, row)

    @staticmethod
    def _write(
        row: slots.Words,
        before: slots.Words,
        placed: NDArray[np.uint16],
        numbers: NDArray[np.uint32],
    ) -> None:
        size = -(-abi.RING_SLOTS // maglev.PIECES)
        for start in range(0, abi.RING_SLOTS, size):
            part = slice(start, min(start + size, abi.RING_SLOTS))
            row[part] = slots.following(before[part], maglev.placed(placed[part], numbers))

    def current_ring(self, vip_num: int) -> NDArray[np.uint32]:
        """slot -> real_num of the ring in force; all 0 if there is none."""
        with _effect(f"ring of VIP number {vip_num}: cannot be mapped"):
            return slots.current(self._words(vip_num))

    def slots_of(self, vip_num: int, numbers: Sequence[int]) -> list[Slot]:
        """What these slots of the ring in force hold."""
        with _effect(f"ring of VIP number {vip_num}: cannot be mapped"):
            words = self._words(vip_num)[list(numbers)]
        now, before = slots.current(words).tolist(), slots.previous(words).tolist()
        return [Slot(*pair) for pair in zip(now, before, strict=True)]

    def owners(self, real_nums: Iterable[int]) -> dict[int, Owner]:
        rows = {number: self._reals[number] for number in real_nums}
        return {
            number: Owner(int(row["vip_num"]), int(row["generation"]), int(row["flags"]))
            for number, row in rows.items()
        }

    def stored(self, tag: int) -> list[Entry]:
        """In the flow tables of all CPUs.  Looks at every entry: for a thread."""
        with _effect("flow table: cannot be mapped"):
            found = flowtable.stored(
                self._fds["flows"], self.cpus * self._flows_per_cpu, tag, self._jiffies.now()
            )
        return [
            Entry(each.entry // self._flows_per_cpu, *each[1:4], each.silent / HZ) for each in found
        ]

    def forget_previous(self, vip_num: int) -> None:
        """Slots remember no earlier real any more; those with flows elsewhere are marked.

        To be called when the ring has not changed for the time in which a silent flow is over.
        """
        with _effect(f"ring of VIP number {vip_num}: cannot be mapped"):
            self._rewrite(vip_num, slots.forgotten)

    def _words(self, vip_num: int) -> NDArray[np.uint32]:
        return self._row(int(self._services["ring_row"][vip_num]))[: abi.RING_SLOTS]

    def _rewrite(self, vip_num: int, change: slots.Change) -> None:
        """In the row in force: each word is complete by itself; new flows go where they went."""
        row = int(self._services["ring_row"][vip_num])
        if row:
            words = self._row(row)[: abi.RING_SLOTS]
            words[:] = change(words)

    def _row(self, row: int) -> NDArray[np.uint32]:
        size = c.sizeof(abi.Ring)
        return window(self._fds["rings"], row * size, size).view(np.uint32)

    def _free_row(self) -> int:
        if not self._free_rows:
            raise EffectError("no ring row is free: more VIPs than the maps were made for")
        ready, row = self._free_rows.popleft()
        if (wait := ready - time.monotonic()) > 0:
            time.sleep(wait)
        return row

    def _flip(self, vip_num: int, row: int) -> None:
        retired = int(self._services["ring_row"][vip_num])
        self._services["ring_row"][vip_num] = row
        if retired:
            self._free_rows.append((time.monotonic() + QUARANTINE, retired))

    # ---- counters

    def totals(self) -> NDArray[Any]:
        """struct lb_totals per CPU."""
        return self._totals.copy()

    def vip_totals(self) -> NDArray[np.uint64]:
        """[vip_num, column] over all CPUs; columns: packets, bytes, flows, drops."""
        return self._shares(self._vip_totals)

    def real_totals(self) -> NDArray[np.uint64]:
        """[real_num, column] over all CPUs; columns: packets, bytes, flows, drops (0)."""
        return self._shares(self._real_totals)

    def queue_totals(self) -> NDArray[np.uint64]:
        """[cpu, receive queue]: packets; the last queue stands for all behind it."""
        counted: NDArray[np.uint64] = self._totals["queues"].copy()
        return counted

    def _shares(self, shares: NDArray[Any]) -> NDArray[np.uint64]:
        summed: NDArray[np.uint64] = shares.view(np.uint64).reshape(self.cpus, -1, 4).sum(axis=0)
        return summed

    def live_flows(self, idle_seconds: float) -> NDArray[np.int64]:
        """By real_num: flows seen within the idle time (of UDP: within the VIP's own, if that is
        shorter) that are not closing."""
        return self._count(idle_seconds).live

    def watch(self, real_nums: Iterable[int]) -> None:
        """From the next count on, `silence` knows of the flows of these."""
        watched = frozenset(real_nums)
        if watched != self._watched:
            self._watched, self._census = watched, None

    def silence(self, idle_seconds: float) -> dict[int, tuple[float, float]]:
        """By real_num, of those that are watched and have live flows: seconds since the flow that
        was heard of last, and since the one that has been silent for longest."""
        found = self._count(idle_seconds).silence
        return {n: (least / HZ, most / HZ) for n, (least, most) in found.items()}

    def occupancy(self, idle_seconds: float) -> tuple[int, int, int]:
        """(capacity, entries that hold a flow, live flows)."""
        counted = self._count(idle_seconds)
        return self.flow_entries, counted.occupied, int(counted.live.sum())

    @property
    def flow_entries(self) -> int:
        """Of the flow tables that are used: those of CPUs that received packets (of all CPUs while
        none has).  A machine may have many more than the NIC has queues, or none online."""
        busy = int(np.count_nonzero(self._totals["rx_packets"]))
        return (busy or self.cpus) * self._flows_per_cpu

    def _count(self, idle: float) -> flowtable.Census:
        """One pass over the flow table serves all who ask within a moment."""
        now = time.monotonic()
        if self._census and self._census[0] == idle and now - self._census[1] < _CENSUS_AGE:
            return self._census[2]
        with _effect("flow table: cannot be mapped"):
            counted = flowtable.census(
                self._fds["flows"],
                self.cpus * self._flows_per_cpu,
                self._reals,
                self.idle_by_real(idle),
                self._jiffies.now(),
                watched=self._watched,
            )
        self._census = (idle, now, counted)
        return counted

    def idle_by_real(self, idle: float) -> NDArray[np.uint32]:
        """By real_num: jiffies of silence after which a flow is over."""
        longest = np.uint32(idle * HZ)
        udp = self._services["udp_idle"][self._reals["vip_num"] % abi.MAX_VIPS]
        return np.where(udp == 0, longest, np.minimum(udp, longest)).astype(np.uint32)


def _boot(map_id: int) -> str:
    """Names the life of the counters: another after a reboot and when the map was made anew."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return hashlib.blake2b(f"{kernel} {map_id}".encode(), digest_size=4).hexdigest()
