# SPDX-License-Identifier: Apache-2.0
"""What the agent does with the data plane: the pinned maps, adopted by path.

No bcc.  Settings, VIPs, reals and traces are here; rings, flows and counters are parts of it
(ring_rows.py, live_flows.py, counters.py).  It decides nothing: numbers, generations and rings come
from the director.  One DataPlane at a time may write (the run directory's lock sees to that).
"""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from agent import boundary as b
from agent.core.maglev import Turns
from agent.core.whereabouts import Owner
from agent.dataplane import abi, pinned
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.counters import Counters
from agent.dataplane.jiffies import HZ, TICKS, Jiffies
from agent.dataplane.live_flows import LiveFlows
from agent.dataplane.map_specs import map_specs
from agent.dataplane.mapped import view
from agent.dataplane.packing import (
    Control,
    owned_real,
    packed_control,
    packed_real,
    packed_trace,
    stores_all,
    vip_flags,
)
from agent.dataplane.refusal import refusals
from agent.dataplane.ring_fill import Workshop
from agent.dataplane.ring_rows import RingRows
from agent.dataplane.vip_tables import VipTables
from agent.nouns import PLAIN, Address, OwnedReal, Placing, Traced, VipKey

_NOT_OURS = ("events", "decap_totals", "fill", "work", "jumps", "probe_totals")
"""EventRing's; a real's; opened while rings are filled only; the program's own; the
prober's (agent/dataplane/tunnel.py)."""


class Owned(NamedTuple):
    """What the maps hold of an earlier agent."""

    vips: dict[VipKey, int]
    reals: tuple[OwnedReal, ...]
    """Every number that was ever used: its generation must go on."""


class DataPlane:
    """The maps of one node.  Every method raises EffectError when the kernel refuses."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins
        self._fds: dict[str, int] = {}
        with refusals(f"{pins}: the data plane cannot be adopted, load it first"):
            sizes = pinned.sizes_of(pins)
            for spec in map_specs(sizes).values():
                if spec.name not in _NOT_OURS:
                    self._fds[spec.name] = bpf.obj_get(str(pins / spec.name))
            program = bpf.obj_get(str(pins / "prog_lb"))
        loaded = bpf.program_info(program)
        self.program_tag, self.program_id = loaded.tag, loaded.id
        os.close(program)
        self.cpus = sizes.cpus
        self._control = view(self._fds["control"], abi.Control, 1)
        self._services = view(self._fds["services"], abi.Service, abi.MAX_VIPS)
        self._reals = view(self._fds["reals"], abi.Real, abi.MAX_REALS)
        self._trace = view(self._fds["trace"], abi.Trace, 1)
        self._buckets = view(self._fds["buckets"], abi.Bucket, self.cpus * abi.BUCKETS)
        self._tables = VipTables(*(self._fds[name] for name in ("addresses", "vips", "prefixes")))
        with refusals("jiffies cannot be read"):
            self._jiffies = Jiffies()
        self.counters = Counters(self._fds, self.cpus)
        self.rings = RingRows(self._fds["rings"], sizes.ring_rows, self._services)
        self.flows = LiveFlows(
            self._fds["flows"],
            sizes.flows_per_cpu,
            self.cpus,
            services=self._services,
            reals=self._reals,
            counters=self.counters,
            jiffies=self._jiffies,
        )
        self._workshop: Workshop | None = None
        self._flow_idle = 0.0

    def close(self) -> None:
        """Let go of the maps; they and the program stay as they are."""
        self.let_go()
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        self._jiffies.close()
        del self._control, self._services, self._reals, self._trace, self._buckets
        del self._tables, self.counters, self.rings, self.flows

    def perform(self, effect: b.MapEffect) -> None:
        match effect:
            case b.PutVip(key, vip_num, placing):
                self.put_vip(key, vip_num, placing)
            case b.RemoveVip(key):
                self.remove_vip(key)
            case b.PutReal(real):
                self.put_real(real)
            case b.FreeReal(real_num):
                self.free_real(real_num)
            case b.SetFlags(flags):
                self.set_flags(list(flags), list(flags.values()))
            case b.SetRing(vip_num):
                self.rings.put(vip_num, effect.slots, effect.numbers)
            case b.ForgetPrevious(vip_num):
                self.rings.forget_previous(vip_num)
            case b.PutQuicIds(vip_num, real_nums):
                self.put_quic_ids(vip_num, real_nums)
            case _:
                assert_never(effect)

    # ---- settings

    def configure(self, control: Control) -> None:
        """Bring the settings into force, word by word, what is equal untouched."""
        packed = packed_control(control, TICKS)
        self._flow_idle = control.flow_idle
        if not int(self._control["warm_at"][0]):
            self._await_flows(control.flow_idle)
        packed.warm_at = int(self._control["warm_at"][0])
        packed.flags |= int(self._control["flags"][0]) & abi.TRACING
        if any(self._tables.networks()):
            packed.flags |= abi.PREFIXES
        fresh = np.frombuffer(bytes(packed), np.uint64)
        words = self._control.view(np.uint64)
        for i in np.flatnonzero(words != fresh):
            words[i] = fresh[i]  # one store each: the gateway's MAC is never half of two

    def know_flows_from(self, jiffies: int) -> None:
        """The flow table is another data plane's, or the node's first: from then on it has seen
        every flow that lives.  Nothing if that is known; before `configure`, which takes it for new
        otherwise."""
        if not int(self._control["warm_at"][0]):
            self._control["warm_at"][0] = jiffies

    def warm_in(self) -> float:
        """Seconds until the flow table has seen every flow that lives; 0: it has."""
        return max(0, int(self._control["warm_at"][0]) - self._jiffies.now()) / HZ

    def _await_flows(self, seconds: float) -> None:
        """Flows that are silent may live without an entry; after so long they are over.  In the
        map: a restart does not make the table know more."""
        ready = self._jiffies.now() + round(seconds * HZ)
        self._control["warm_at"][0] = max(ready, int(self._control["warm_at"][0]))

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

    # ---- VIPs and reals

    def owned(self) -> Owned:
        """What an earlier agent left: the state to adopt."""
        with refusals("tables of VIPs: cannot be read"):
            vips = self._tables.vips()
        used = np.flatnonzero(self._reals["generation"]).tolist()
        return Owned(vips, tuple(owned_real(n, self._reals[n]) for n in used))

    def put_vip(self, key: VipKey, vip_num: int, placing: Placing = PLAIN) -> None:
        """From now on packets to the VIP are ours: dropped (no_real) until it has a ring."""
        assert 0 < vip_num < abi.MAX_VIPS
        stored = stores_all(int(self._services["flags"][vip_num]), key.protocol)
        self.set_placing(vip_num, placing)
        if not stored and placing.stores_all(key.protocol):
            self._await_flows(self._flow_idle)
        with refusals(f"VIP {key}: cannot be written"):
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
        with refusals(f"QUIC server ids of VIP number {vip_num}: cannot be written"):
            for server_id, real_num in real_nums.items():
                key = abi.QuicId(server_id=server_id, vip_num=vip_num)
                bpf.map_update(fd, bytes(key), real_num.to_bytes(4, "little"))
            for raw in list(bpf.map_keys(fd, c.sizeof(abi.QuicId))):
                key = abi.QuicId.from_buffer_copy(raw)
                if key.vip_num == vip_num and key.server_id not in real_nums:
                    bpf.map_delete(fd, raw)

    def remove_vip(self, key: VipKey) -> None:
        """From now on its packets are the host's.  Nothing happens if it is not there."""
        with refusals(f"VIP {key}: cannot be removed"):
            vip_num = self._tables.remove(key)
            if vip_num is None:
                return
            if key.length is not None:
                self._set_control_flag(abi.PREFIXES, on=any(self._tables.networks()))
        self.rings.remove(vip_num)
        self._services["flags"][vip_num] = 0
        self.put_quic_ids(vip_num, {})
        self.counters.begin_vip(vip_num)

    def set_own_addresses(self, addresses: Iterable[Address]) -> None:
        """What comes encapsulated to these, for a VIP, is decapsulated and left to the host."""
        with refusals("own addresses: cannot be written"):
            self._tables.set_own(addresses)

    def answer_pings_for(self, addresses: Iterable[Address] | None) -> None:
        """The VIP addresses that answer pings, if any do; None: all."""
        with refusals("addresses that answer pings: cannot be written"):
            self._tables.set_pinged(addresses)

    def put_real(self, real: OwnedReal) -> None:
        """Give a number to a real; a new owner needs a new generation (1 to 255).

        The same owner may change its encapsulation: in force with the next packet.
        """
        assert 0 < real.real_num < abi.MAX_REALS
        assert 0 < real.generation < 256
        if real.generation != self._reals["generation"][real.real_num]:
            self.counters.begin_real(real.real_num)
        fresh = np.frombuffer(bytes(packed_real(real)), np.uint64)
        words = self._reals[real.real_num : real.real_num + 1].view(np.uint64)
        words[:2] = fresh[:2]
        words[2] = fresh[2]  # owner, flags and encap in one store, the address before them

    def set_flags(self, real_nums: int | list[int], flags: int | list[int]) -> None:
        """Of one or of many, in that order.  In force with the next packet."""
        self._reals["flags"][real_nums] = flags

    def free_real(self, real_num: int) -> None:
        """Give the number back; the generation stays, so that the next owner's differs."""
        owned = owned_real(real_num, self._reals[real_num])
        if not owned.generation:
            return
        self.put_real(owned._replace(vip_num=0, flags=0))
        if owned.vip_num:
            self.rings.forget_real(owned.vip_num, real_num)

    def owners(self, real_nums: Iterable[int]) -> dict[int, Owner]:
        """Whose these numbers are."""
        rows = {number: self._reals[number] for number in real_nums}
        return {
            number: Owner(int(row["vip_num"]), int(row["generation"]), int(row["flags"]))
            for number, row in rows.items()
        }

    # ---- filling rings

    def fill(self, turns: Turns, slots: int) -> NDArray[np.uint16]:
        """maglev.fill by bpf/ring.c: the same bytes, ten times faster."""
        with refusals(f"{self._pins}: ring.c is not loaded, or cannot be opened"):
            self._workshop = self._workshop or Workshop(self._pins)
        return self._workshop.fill(turns, slots)

    def let_go(self) -> None:
        """Of what only the next ring needs; it opens it again."""
        if self._workshop:
            self._workshop.close()
        self._workshop = None
