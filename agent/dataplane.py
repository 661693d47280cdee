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
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent import abi, flowtable, pinned
from agent import bpf_syscall as bpf
from agent.boundary import EffectError, Encap, OwnedReal, VipKey
from agent.maglev import Address, Turn
from agent.mapped import view, window
from agent.ring_fill import fill_ring
from shared.model import Protocol

QUARANTINE = 0.05
"""Seconds until a row that was in force is written again: a packet may still be reading it."""
_CENSUS_AGE = 0.2
"""Seconds for which a count of flows is good enough to be given again."""
_NOT_OURS = ("events", "decap_totals", "fill", "probe_totals")
"""EventRing's; a real's; opened while a ring is filled only; the prober's (agent/tunnel.py)."""
_NANOSECONDS = 10**9
_NUMBERS = {Protocol.TCP: socket.IPPROTO_TCP, Protocol.UDP: socket.IPPROTO_UDP}
_PROTOCOLS = {number: protocol for protocol, number in _NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class Control:
    """The node's settings, as the program needs them."""

    hash_key: bytes
    """16 bytes, the fleet's secret."""
    outer_source: IPv4Network
    outer_source6: IPv6Network
    """A /64."""
    gue_port: int
    underlay_mtu: int
    event_rate: int
    """Drop events per second, CPU and reason; 0: none, all are counted as suppressed."""
    event_burst: int
    icmp_rate: int
    """ICMP messages of our own per second, CPU and kind, as many at once; 0: none is sent."""
    answer_ping: bool
    """Pings to VIP addresses; else they are the host's."""
    gateway_mac: bytes
    own_mac: bytes
    trace_all: bool = False
    """An event for every packet to a VIP (simulation)."""


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
        self.program_tag = bpf.program_info(program).tag
        os.close(program)
        self.cpus = sizes.cpus
        self.boot = _boot(bpf.map_info(self._fds["totals"]).id)
        self._flow_entries = sizes.cpus * sizes.flows_per_cpu
        self._control = self._view("control", abi.Control, 1)
        self._services = self._view("services", abi.Service, abi.MAX_VIPS)
        self._reals = self._view("reals", abi.Real, abi.MAX_REALS)
        self._totals = self._view("totals", abi.Totals, self.cpus)
        self._vip_totals = self._view("vip_totals", abi.Share, self.cpus * abi.MAX_VIPS)
        self._real_totals = self._view("real_totals", abi.Share, self.cpus * abi.MAX_REALS)
        in_force = set(self._services["ring_row"].tolist())
        ready = time.monotonic() + QUARANTINE  # the agent before us may have retired a row just now
        self._free_rows = deque((ready, r) for r in range(1, sizes.ring_rows) if r not in in_force)
        self._census: tuple[float, float, flowtable.Census] | None = None

    def _view(self, name: str, struct: type[c.Structure], entries: int) -> NDArray[Any]:
        return view(self._fds[name], struct, entries)

    def close(self) -> None:
        """Let go of the maps; they and the program stay as they are."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        del self._control, self._services, self._reals
        del self._totals, self._vip_totals, self._real_totals

    # ---- settings

    def configure(self, control: Control) -> None:
        """Bring the settings into force, word by word, what is equal untouched."""
        fresh = np.frombuffer(bytes(_control(control)), np.uint64)
        words = self._control.view(np.uint64)
        for i in np.flatnonzero(words != fresh):
            words[i] = fresh[i]  # one store each: the gateway's MAC is never half of two

    # ---- VIPs and reals

    def owned(self) -> Owned:
        """What an earlier agent left: the state to adopt."""
        vips = {}
        with _effect("map vips: cannot be read"):
            for raw in list(bpf.map_keys(self._fds["vips"], c.sizeof(abi.VipKey))):
                key = abi.VipKey.from_buffer_copy(raw)
                if key.protocol in _PROTOCOLS:
                    number = bpf.map_lookup(self._fds["vips"], raw, 4)
                    vips[_vip_key(key)] = int.from_bytes(number, "little")
        used = np.flatnonzero(self._reals["generation"]).tolist()
        return Owned(vips, tuple(_owned_real(n, self._reals[n]) for n in used))

    def put_vip(self, key: VipKey, vip_num: int) -> None:
        """From now on packets to the VIP are ours: dropped (no_real) until it has a ring."""
        assert 0 < vip_num < abi.MAX_VIPS
        with _effect(f"VIP {key}: cannot be written"):
            bpf.map_update(self._fds["vips"], _raw(key), vip_num.to_bytes(4, "little"))
            bpf.map_update(self._fds["vips"], _marker(key.address), bytes(4))

    def remove_vip(self, key: VipKey) -> None:
        """From now on its packets are the host's.  Nothing happens if it is not there."""
        vips = self.owned().vips
        vip_num = vips.pop(key, None)
        if vip_num is None:
            return
        with _effect(f"VIP {key}: cannot be removed"):
            bpf.map_delete(self._fds["vips"], _raw(key))
            if not any(other.address == key.address for other in vips):
                bpf.map_delete(self._fds["vips"], _marker(key.address))
        self._flip(vip_num, 0)

    def put_real(self, real: OwnedReal) -> None:
        """Give a number to a real; a new owner needs a new generation (1 to 255).

        The same owner may change its encapsulation: in force with the next packet.
        """
        assert 0 < real.real_num < abi.MAX_REALS
        assert 0 < real.generation < 256
        written = abi.Real(
            be_address=_be_words(real.address),
            vip_num=real.vip_num,
            generation=real.generation,
            flags=real.flags,
            encap=_encap(real.address, real.encap),
        )
        fresh = np.frombuffer(bytes(written), np.uint64)
        words = self._reals[real.real_num : real.real_num + 1].view(np.uint64)
        words[:2] = fresh[:2]
        words[2] = fresh[2]  # owner, flags and encap in one store, the address before them

    def set_flags(self, real_num: int, flags: int) -> None:
        """In force with the next packet."""
        self._reals["flags"][real_num] = flags

    def free_real(self, real_num: int) -> None:
        """Give the number back; the generation stays, so that the next owner's differs."""
        owned = _owned_real(real_num, self._reals[real_num])
        if owned.generation:
            self.put_real(owned._replace(vip_num=0, flags=0))

    # ---- rings

    def fill(self, turns: Sequence[Turn], slots: int) -> NDArray[np.uint16]:
        """maglev.fill by bpf/ring.c: the same bytes, ten times faster."""
        with _effect(f"{self._pins}: ring.c is not loaded"):
            program = bpf.obj_get(str(self._pins / "prog_ring"))
            work = bpf.obj_get(str(self._pins / "fill"))
        try:
            return fill_ring(program, view(work, abi.Fill, 1)[0], turns, slots)
        finally:
            os.close(program)
            os.close(work)

    def set_ring(self, vip_num: int, real_nums: NDArray[np.uint32]) -> None:
        """Bring slot -> real_num into force with one store: a packet sees the old ring or this one.

        Waits (at most QUARANTINE) when every free row was in force a moment ago.
        """
        assert real_nums.shape == (abi.RING_SLOTS,)
        row = self._free_row()
        with _effect(f"ring row {row}: cannot be mapped"):
            self._row(row)[: abi.RING_SLOTS] = real_nums
        self._flip(vip_num, row)

    def current_ring(self, vip_num: int) -> NDArray[np.uint32]:
        """slot -> real_num of the ring in force; all 0 if there is none."""
        with _effect(f"ring of VIP number {vip_num}: cannot be mapped"):
            row = int(self._services["ring_row"][vip_num])
            return self._row(row)[: abi.RING_SLOTS].copy()

    def _row(self, row: int) -> NDArray[np.uint32]:
        size = c.sizeof(abi.Ring)
        return window(self._fds["rings"], row * size, size).view(np.uint32)

    def _free_row(self) -> int:
        if not self._free_rows:
            raise EffectError("no ring row is free: more VIPs than the maps were made for")
        ready, row = self._free_rows.popleft()
        time.sleep(max(0.0, ready - time.monotonic()))
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

    def _shares(self, shares: NDArray[Any]) -> NDArray[np.uint64]:
        summed: NDArray[np.uint64] = shares.view(np.uint64).reshape(self.cpus, -1, 4).sum(axis=0)
        return summed

    def live_flows(self, idle_seconds: float) -> NDArray[np.int64]:
        """By real_num: flows seen within the idle time that are not closing."""
        return self._count(idle_seconds).live

    def occupancy(self, idle_seconds: float) -> tuple[int, int, int]:
        """(capacity, entries that hold a flow, live flows)."""
        counted = self._count(idle_seconds)
        return self._flow_entries, counted.occupied, int(counted.live.sum())

    def _count(self, idle: float) -> flowtable.Census:
        """One pass over the flow table serves all who ask within a moment."""
        now = time.monotonic()
        if self._census and self._census[0] == idle and now - self._census[1] < _CENSUS_AGE:
            return self._census[2]
        with _effect("flow table: cannot be mapped"):
            counted = flowtable.census(self._fds["flows"], self._flow_entries, self._reals, idle)
        self._census = (idle, now, counted)
        return counted


def _boot(map_id: int) -> str:
    """Names the life of the counters: another after a reboot and when the map was made anew."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return hashlib.blake2b(f"{kernel} {map_id}".encode(), digest_size=4).hexdigest()


def _be(address: IPv4Address) -> int:
    """The address as the word that holds it in network order."""
    return int.from_bytes(address.packed, "little")


def _be_words(address: Address) -> c.Array[c.c_uint32]:
    """The words that hold an address of either family."""
    return (c.c_uint32 * 4).from_buffer_copy(address.packed.ljust(16, b"\0"))


def _from_be(words: Sequence[int], *, ipv6: bool) -> Address:
    packed = b"".join(int(word).to_bytes(4, "little") for word in words)
    return IPv6Address(packed) if ipv6 else IPv4Address(packed[:4])


def _encap(address: Address, encap: Encap) -> int:
    """enum lb_encap."""
    return (abi.ENCAP_IPV6 if address.version == 6 else 0) | (
        abi.ENCAP_GUE if encap is Encap.GUE else 0
    )


def _control(control: Control) -> abi.Control:
    network = control.outer_source
    interval = _interval(control.event_rate)
    icmp_interval = _interval(control.icmp_rate)
    return abi.Control(
        hash_key=(c.c_uint64 * 2).from_buffer_copy(control.hash_key),
        be_outer_source=_be(network.network_address),
        be_outer_mask=_be(network.hostmask),
        be_outer_source6=tuple(_be_words(control.outer_source6.network_address))[:2],
        event_ahead=interval * max(0, control.event_burst - 1),
        event_interval=interval,
        underlay_mtu=control.underlay_mtu,
        gateway_mac=(c.c_uint8 * 6).from_buffer_copy(control.gateway_mac),
        own_mac=(c.c_uint8 * 6).from_buffer_copy(control.own_mac),
        flags=(abi.TRACE_ALL if control.trace_all else 0)
        | (abi.ANSWER_PING if control.answer_ping else 0),
        be_gue_port=socket.htons(control.gue_port),
        icmp_ahead=icmp_interval * max(0, control.icmp_rate - 1),
        icmp_interval=icmp_interval,
    )


def _interval(rate: int) -> int:
    """Nanoseconds per token; 0: there are none."""
    return _NANOSECONDS // rate if rate else 0


def _raw(key: VipKey) -> bytes:
    return bytes(
        abi.VipKey(
            be_address=_be_words(key.address),
            be_port=socket.htons(key.port),
            protocol=_NUMBERS[key.protocol],
            version=key.address.version,
        )
    )


def _marker(address: Address) -> bytes:
    return bytes(abi.VipKey(be_address=_be_words(address), version=address.version))


def _vip_key(key: abi.VipKey) -> VipKey:
    protocol = _PROTOCOLS[key.protocol]
    address = _from_be(key.be_address, ipv6=key.version == 6)
    return VipKey(address, socket.ntohs(key.be_port), protocol)


def _owned_real(real_num: int, real: Any) -> OwnedReal:  # noqa: ANN401  # one struct lb_real
    encap = int(real["encap"])
    return OwnedReal(
        real_num=real_num,
        vip_num=int(real["vip_num"]),
        address=_from_be(real["be_address"], ipv6=bool(encap & abi.ENCAP_IPV6)),
        generation=int(real["generation"]),
        flags=int(real["flags"]),
        encap=Encap.GUE if encap & abi.ENCAP_GUE else Encap.IPIP,
    )
