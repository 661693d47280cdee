# SPDX-License-Identifier: Apache-2.0
"""One balancer without a network: frames through BPF_PROG_TEST_RUN, outcomes from its maps.

Every single run checks INVARIANTS C1 and C3: exactly one outcome and one way of being placed, each
counted once, nothing else moved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from agent.core import maglev
from agent.dataplane import abi, bpf_syscall, flowtable, mapped
from agent.dataplane.events import EventRing
from agent.dataplane.jiffies import HZ, Jiffies
from agent.dataplane.maps import DataPlane
from agent.dataplane.packing import Control
from agent.nouns import PLAIN, Address, Encap, OwnedReal, Placing, VipKey
from shared import reasons
from shared.model import Protocol
from tests.bpf import frames, oracle

ABORTED, DROP, PASS, TX = range(4)
KEY = bytes(range(7, 23))
OUTER = IPv4Network("10.9.0.0/16")
OUTER6 = IPv6Network("fd00:9:9:9::/64")
GUE_PORT = 6081
SETTINGS = Control(
    hash_key=KEY,
    outer_source=OUTER,
    outer_source6=OUTER6,
    gue_port=GUE_PORT,
    underlay_mtu=1500,
    event_rate=100,
    event_burst=10,
    icmp_rate=0,
    answer_ping=False,
    gateway_mac=bytes.fromhex(frames.GATEWAY_MAC.replace(":", "")),
    own_mac=bytes.fromhex(frames.OWN_MAC.replace(":", "")),
    trace_all=True,
)
WEB = VipKey(IPv4Address(frames.VIP), 80, Protocol.TCP)
DNS = VipKey(IPv4Address(frames.VIP), 53, Protocol.UDP)
WEB6 = VipKey(IPv6Address(frames.VIP6), 80, Protocol.TCP)
DNS6 = VipKey(IPv6Address(frames.VIP6), 53, Protocol.UDP)


class Outcome(NamedTuple):
    action: int
    output: bytes
    reason: str
    """Of a drop; else empty."""
    counted: dict[str, int]
    """What of struct lb_totals moved, drops apart."""
    event: Any
    """struct lb_event, or None."""


class Service(NamedTuple):
    """A VIP in the maps."""

    key: VipKey
    vip_num: int
    reals: Mapping[Address, int]
    """address -> real_num."""
    ring: list[int]
    """slot -> real_num."""

    def address(self, real_num: int) -> str:
        return str(next(a for a, number in self.reals.items() if number == real_num))

    def flow(self, port: int, source: str = "") -> oracle.Flow:
        """A flow to it, from the client of its family unless another is named."""
        to = str(self.key.address)
        ours = frames.CLIENT6 if self.key.address.version == 6 else frames.CLIENT
        return oracle.Flow(source or ours, port, to, self.key.port, self.key.protocol.value)

    def sent_to(self, out: Outcome) -> int:
        """The number of the real that the outer header names; the event says the same, if any."""
        assert out.action == TX, out
        ipv6 = out.output[12:14] == b"\x86\xdd"
        packed = out.output[38:54] if ipv6 else out.output[30:34]
        number = self.reals[ip_address(packed)]
        assert out.event is None or out.event["real_num"] == number
        return number

    def predicted(self, port: int, down: frozenset[int] = frozenset()) -> int | None:
        """The real of a new flow from CLIENT, by the oracle."""
        return oracle.real_num(oracle.hashed(self.flow(port), KEY), self.ring, down)

    def ports_of(self, real_num: int, count: int, first: int = 20000) -> list[int]:
        """Client ports whose new flows go to this real."""
        found = (p for p in range(first, 65536) if self.predicted(p) == real_num)
        return [next(found) for _ in range(count)]


class Rig:
    """The program with its maps, and the means to look into them."""

    def __init__(self, pins: Path) -> None:
        self.pins = pins
        self.dataplane = DataPlane(pins)
        self.events = EventRing(pins)
        self.program = bpf_syscall.obj_get(str(pins / "prog_lb"))
        self.jiffies = Jiffies()
        self._next_vip, self._next_real = 1, 1
        sizes = self.dataplane.cpus
        self.totals = self._view("totals", abi.Totals, sizes)
        self.flows = self._view("flows", abi.FlowSet, self._entries("flows"))
        self.reals = self._view("reals", abi.Real, abi.MAX_REALS)
        self._counters = [
            self.totals,
            self.flows,
            self._view("vip_totals", abi.Share, sizes * abi.MAX_VIPS),
            self._view("real_totals", abi.Share, sizes * abi.MAX_REALS),
            self._view("buckets", abi.Bucket, sizes * abi.BUCKETS),
            self._view("services", abi.Service, abi.MAX_VIPS),
        ]

    def _entries(self, name: str) -> int:
        with self._pin(name) as fd:
            return bpf_syscall.map_info(fd).max_entries

    def _view(self, name: str, struct: Any, entries: int) -> NDArray[Any]:  # noqa: ANN401
        with self._pin(name) as fd:
            return mapped.view(fd, struct, entries)

    @contextmanager
    def _pin(self, name: str) -> Iterator[int]:
        fd = bpf_syscall.obj_get(str(self.pins / name))
        try:
            yield fd
        finally:
            os.close(fd)

    def reset(self) -> None:
        """As freshly loaded: no VIPs, no reals, no flows, no counts, no events."""
        for key in self.dataplane.owned().vips:
            self.dataplane.remove_vip(key)
        self.dataplane.set_own_addresses(())
        self.dataplane.answer_pings_for(None)
        for counters in [*self._counters, self.reals]:
            counters.view(np.uint8)[:] = 0
        self.drain()
        self._next_vip, self._next_real = 1, 1
        self.dataplane.stop_trace()
        self.dataplane.configure(SETTINGS)

    def configure(self, **changes: Any) -> None:  # noqa: ANN401
        self.dataplane.configure(replace(SETTINGS, **changes))

    def reopen(self) -> None:
        """Adopt the maps again: another DataPlane has written meanwhile."""
        self.dataplane.close()
        self.dataplane = DataPlane(self.pins)

    def close(self) -> None:
        os.close(self.program)
        self.events.close()
        self.dataplane.close()

    # ---- services

    @staticmethod
    def address(text: str) -> Address:
        return ip_address(text)

    def serve(
        self,
        key: VipKey,
        weights: Mapping[str, int],
        encap: Encap = Encap.IPIP,
        placing: Placing = PLAIN,
    ) -> Service:
        """Put a VIP with reals of these weights; weight 0: a real without a slot."""
        members: dict[Address, int] = {ip_address(a): w for a, w in weights.items()}
        vip_num, self._next_vip = self._next_vip, self._next_vip + 1
        numbers: dict[Address, int] = {}
        for text in weights:
            numbers[ip_address(text)] = self._next_real
            self.put_real(self._next_real, vip_num, text, encap=encap)
            self._next_real += 1
        service = Service(key, vip_num, numbers, [])
        self.place(service, members)
        self.dataplane.put_vip(key, vip_num, placing)
        return service

    def put_real(
        self,
        number: int,
        vip_num: int,
        address: str,
        generation: int = 1,
        encap: Encap = Encap.IPIP,
    ) -> None:
        self.dataplane.put_real(
            OwnedReal(number, vip_num, ip_address(address), generation, 0, encap)
        )

    def place(self, service: Service, members: Mapping[Address, int]) -> None:
        """Build the ring of these weights and bring it into force."""
        ring = maglev.ring(members, str(service.key).encode(), fill=self.dataplane.fill)
        numbers = np.array([service.reals[address] for address in ring.addresses], np.uint32)
        self.dataplane.rings.put(service.vip_num, ring.slots, numbers)
        service.ring[:] = maglev.placed(ring.slots, numbers).tolist()

    def drain_real(self, service: Service, real_num: int) -> None:
        """As the agent drains: the flag, then a ring without it."""
        self.dataplane.set_flags(real_num, abi.REAL_DRAINING)
        self.place(service, {a: int(n != real_num) for a, n in service.reals.items()})

    @contextmanager
    def tampered(self, key: VipKey, vip_num: int) -> Iterator[None]:
        """With a vip_num that the agent would never write."""
        table = self._view("vips", abi.Vips, 1)["place"][0]
        number = self.dataplane.owned().vips[key]
        (place,) = np.flatnonzero((table["vip_num"] == number) & (table["key"] != 0))
        table["vip_num"][place] = vip_num
        try:
            yield
        finally:
            table["vip_num"][place] = number

    def rows(self) -> NDArray[np.uint32]:
        """The ring rows as the program sees them: [row, slot]."""
        rows = self._view("rings", abi.Ring, self._entries("rings"))
        return rows["slots"]

    def row_in_force(self, service: Service) -> int:
        services = self._view("services", abi.Service, abi.MAX_VIPS)
        return int(services["ring_row"][service.vip_num])

    # ---- packets

    def run(self, frame: bytes) -> Outcome:
        """One frame through the program; C1 is checked on the way."""
        out, events = self.run_traced(frame)
        assert len(events) <= 1
        return out._replace(event=events[0] if events else None)

    def run_traced(self, frame: bytes) -> tuple[Outcome, list[Any]]:
        """The same, and all events that it made (struct lb_event)."""
        before = self._sums()
        ran = bpf_syscall.run_program(self.program, frame)
        delta = {name: total - before[name] for name, total in self._sums().items()}
        _one_outcome(ran.result, delta, len(frame))
        _one_placement(ran.result, delta)
        dropped = [n for n in range(abi.REASON_COUNT) if delta[f"drops[{n}]"]]
        out = Outcome(
            ran.result,
            ran.output,
            reasons.name_of(dropped[0]) if dropped else "",
            {k: v for k, v in delta.items() if v and not k.startswith(("drops[", "queues"))},
            None,
        )
        return out, self.drain()

    def quick(self, frame: bytes) -> int:
        """One frame, unchecked and for floods: its action."""
        return bpf_syscall.run_program(self.program, frame).result

    def drain(self) -> list[Any]:
        events: list[Any] = []
        while (batch := self.events.drain()) is not None:
            events.extend(batch)
        return events

    def age(self, flow: oracle.Flow, seconds: float) -> None:
        """As if the flow's last packet had been so long ago."""
        stored = self.flow(flow)
        assert stored is not None
        stored["seen"] = (int(stored["seen"]) - round(seconds * HZ)) % 2**32 | 1

    def flow(self, flow: oracle.Flow) -> Any | None:  # noqa: ANN401
        """The stored entry of this flow on any CPU (struct lb_flow), or None."""
        ways = self.flows["way"].reshape(-1)
        found = np.flatnonzero((ways["tag"] == oracle.hashed(flow, KEY)) & (ways["seen"] != 0))
        assert len(found) <= 1
        return ways[found[0]] if len(found) else None

    def live_flows(self, idle: float) -> NDArray[np.int64]:
        """By real_num, counted now (the data plane's own count may be a moment old)."""
        with self._pin("flows") as fd:
            entries = self.flows.size * abi.FLOW_WAYS
            limits = self.dataplane.flows.idle_by_real(idle)
            return flowtable.census(
                fd, [range(entries)], self.reals, limits, self.jiffies.now()
            ).live

    def _sums(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for name in self.totals.dtype.names or ():
            column = self.totals[name].sum(axis=0)
            if name == "drops":
                sums |= {f"drops[{n}]": int(count) for n, count in enumerate(column)}
            elif name != "pad":
                sums[name] = int(column.sum())
        return sums


def _one_outcome(action: int, delta: Mapping[str, int], length: int) -> None:
    """C1, for one frame."""
    expected = {TX: "tx", PASS: "pass", DROP: "drop"}
    assert action in expected, f"action {action}"
    for name in ("rx", "tx", "pass", "drop"):
        counted = name in ("rx", expected[action])
        assert delta[f"{name}_packets"] == counted, (name, delta)
        assert delta[f"{name}_bytes"] == counted * length, (name, delta)
    drops = [count for name, count in delta.items() if name.startswith("drops[")]
    assert sorted(set(drops)) <= [0, 1]
    assert sum(drops) == delta["drop_packets"], "one reason per drop"
    assert delta["drops[0]"] == 0


def _one_placement(action: int, delta: Mapping[str, int]) -> None:
    """C3, for one frame: looked up (found, or missed for one cause) or placed by the ring alone."""
    misses = sum(delta[f"flow_miss_{cause}"] for cause in ("syn", "udp", "other"))
    placed = delta["flow_hits"] + misses + delta["flow_untracked"]
    assert placed + delta["icmp_forwarded"] <= 1, delta
    if action == PASS:
        assert not placed
    elif action == TX and not delta["icmp_sent"]:
        assert placed + delta["icmp_forwarded"] == 1, delta
    for of_misses in ("flow_stale", "flow_previous", "flow_unstored"):
        assert delta[of_misses] <= misses, (of_misses, delta)
    assert delta["quic_routed"] + delta["quic_initial"] + delta["quic_unknown"] <= 1
    assert delta["queues"] == delta["rx_packets"] == 1
