# SPDX-License-Identifier: Apache-2.0
"""Where a flow goes on this node: what bpf/place.h would decide, told and not done.  Pure.

The maps are read as they are; nothing is counted, stored or renewed by asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from itertools import chain
from typing import Literal, NamedTuple

from agent.core import flow_hash
from agent.core.refused import Refused
from agent.core.state import NodeState, VipState
from agent.dataplane.abi import REAL_DISABLED, REAL_DOWN
from agent.nouns import Address, Placing, Tracking, WhenDown
from shared.flows import Flow, unpacked
from shared.messages import FlowAfter, FlowOf, FlowPlace, StoredFlow
from shared.model import Protocol

By = Literal["stored", "slot", "ring", "none"]
MOST = 5000
"""Flows of one question."""
STATES: tuple[Literal["opening", "open", "closing"], ...] = ("opening", "open", "closing")
"""As enum lb_flow_state counts them."""


class Entry(NamedTuple):
    """Of a flow table."""

    cpu: int
    real_num: int
    generation: int
    state: int
    silent: float
    """Seconds since its last packet."""


class Owner(NamedTuple):
    """A real as the maps have it."""

    vip_num: int
    generation: int
    flags: int
    """enum lb_real_flag"""


class Slot(NamedTuple):
    """Real numbers; 0: none."""

    real_num: int
    previous: int


class Verdict(NamedTuple):
    """Real numbers; 0: none."""

    slot: int
    """That a new flow takes; -1: none."""
    real_num: int
    """Of a new flow."""
    going_on: int
    """Of one that began before."""
    by: By
    passed: int
    """Slots before that one."""


def flow_of(wanted: FlowOf) -> Flow:
    """Raises Refused."""
    try:
        source, destination = ip_address(wanted.source), ip_address(wanted.destination)
    except ValueError as error:
        raise Refused(f"{error}; a flow is ADDRESS:PORT ADDRESS:PORT/PROTOCOL") from None
    if source.version != destination.version:
        raise Refused(f"{source} and {destination} are of two families: no packet has both")
    protocol = Protocol(wanted.protocol)
    ports = wanted.source_port, wanted.destination_port
    return _checked(Flow(source, ports[0], destination, ports[1], protocol))


def flows_of(packed: bytes) -> list[Flow]:
    """Raises Refused."""
    try:
        flows = [_checked(flow) for flow in unpacked(packed)]
    except ValueError as error:
        raise Refused(f"flows: {error}") from None
    if len(flows) > MOST:
        raise Refused(f"{len(flows)} flows: at most {MOST} at once; ask again")
    return flows


def _checked(flow: Flow) -> Flow:
    """Raises Refused."""
    for port in (flow.source_port, flow.destination_port):
        if not 1 <= port <= 65535:
            raise Refused(f"port {port}: must be 1 to 65535")
    return flow


class Finder:
    """Which VIP a flow is of.

    The address decides first (itself, then the smallest network), then protocol and port: the VIP
    of that port, else that of all ports.
    """

    def __init__(self, state: NodeState) -> None:
        self._by_network: dict[tuple[int, int], dict[int, dict[tuple[Protocol, int], VipState]]]
        self._by_network = {}
        for vip in state.vips.values():
            listed = vip.listed
            version, length = listed.address.version, listed.length or listed.address.max_prefixlen
            networks = self._by_network.setdefault((version, length), {})
            there = networks.setdefault(_network(listed.address, length), {})
            there[listed.protocol, listed.port] = vip
        self._keys = sorted(self._by_network, reverse=True)

    def of(self, flow: Flow) -> VipState | None:
        """None: it is no VIP's here, and passed to the host."""
        to = flow.destination
        for version, length in self._keys:
            if version != to.version:
                continue
            there = self._by_network[version, length].get(_network(to, length))
            if there is not None:
                named = there.get((flow.protocol, flow.destination_port))
                return named or there.get((flow.protocol, 0))
        return None


def _network(address: Address, length: int) -> int:
    return int(address) >> (address.max_prefixlen - length)


def tag(state: NodeState, flow: Flow) -> int:
    """By which the flow tables know it."""
    return flow_hash.hashed(flow, _key(state))


def placing_hash(state: NodeState, vip: VipState, flow: Flow) -> int:
    """By which it finds its slots (flow_hash.slots)."""
    return flow_hash.hashed(flow, _key(state), vip.listed.hash)


def _key(state: NodeState) -> bytes:
    return bytes.fromhex(state.listed.node.hash_key)


class Rules(NamedTuple):
    """What decides about a VIP's packets besides its ring and its flow table."""

    vip_num: int
    placing: Placing
    udp: bool
    owners: Mapping[int, Owner]
    """Of all real numbers in the ring and in the entries."""


def rules(vip: VipState, owners: Mapping[int, Owner]) -> Rules:
    """As the program has them."""
    udp = vip.listed.protocol is Protocol.UDP
    return Rules(vip.vip_num, vip.written or vip.listed.placing, udp, owners)


def told(
    vip: VipState,
    tried: Iterable[tuple[int, Slot]],
    owners: Mapping[int, Owner],
    entries: Sequence[Entry],
) -> FlowPlace:
    """`tried`: (number, content) of the slots, in order; `owners`: as in Rules."""
    names, by = names_of(vip), rules(vip, owners)
    found = verdict(by, tried, entries)
    listed = vip.listed
    return FlowPlace(
        vip=listed.name,
        hash=str(listed.hash),
        flow_table=str(by.placing.tracking),
        slot=found.slot,
        real=named(names, found.real_num),
        going_on=named(names, found.going_on),
        by=found.by,
        passed=found.passed,
        stored=tuple(_stored(entry, by, names) for entry in entries),
        quic=listed.quic is not None,
    )


def after(vip: VipState, found: Verdict, *, leaves: bool) -> FlowAfter:
    """The same of a change that is supposed; `leaves`: it takes the VIP's route away."""
    names = names_of(vip)
    return FlowAfter(
        slot=found.slot,
        real=named(names, found.real_num),
        going_on=named(names, found.going_on),
        by=found.by,
        passed=found.passed,
        leaves=leaves,
    )


def verdict(by: Rules, tried: Iterable[tuple[int, Slot]], entries: Sequence[Entry]) -> Verdict:
    """What place.h decides; `tried` as in `told`."""
    bars = REAL_DISABLED if by.placing.fail_open else REAL_DISABLED | REAL_DOWN
    slots = iter(tried)
    first = next(slots)
    passed, slot, real_num = _by_ring(by, chain([first], slots), bars)
    known = REAL_DISABLED if by.placing.when_down is WhenDown.KEEP else bars
    found, going_on = _going_on(by, first[1], entries, known)
    way: By = found if going_on else "ring" if real_num else "none"
    return Verdict(slot, real_num, going_on or real_num, way, passed)


def names_of(vip: VipState) -> dict[int, Address]:
    """By real number."""
    return {real.number.real_num: address for address, real in vip.reals.items()}


def named(names: Mapping[int, Address], real_num: int) -> str:
    """Empty: none."""
    return str(names[real_num]) if real_num in names else ""


def _by_ring(by: Rules, tried: Iterable[tuple[int, Slot]], bars: int) -> tuple[int, int, int]:
    """(slots whose real takes none, slot, real number) of a new flow; no slot (-1), no real: it is
    dropped."""
    passed = 0
    for number, content in tried:
        if not content.real_num:
            break
        if _is_of(by, by.owners[content.real_num], bars):
            return passed, number, content.real_num
        passed += 1
    return passed, -1, 0


def _going_on(by: Rules, slot: Slot, entries: Sequence[Entry], bars: int) -> tuple[By, int]:
    """How a packet finds its real that opens no flow, before it asks the ring; real number 0: it
    does not."""
    placing = by.placing
    computes = placing.tracking is Tracking.COMPUTE
    for entry in () if computes else sorted(entries, key=lambda entry: entry.silent):
        over = by.udp and placing.udp_idle and entry.silent > placing.udp_idle
        owner = by.owners[entry.real_num]
        if _is_of(by, owner, bars) and owner.generation == entry.generation and not over:
            return "stored", entry.real_num
    remembers = not computes and (not by.udp or placing.pressure)
    changed = slot.previous != slot.real_num or placing.when_down is WhenDown.KEEP
    if remembers and changed and slot.previous and _is_of(by, by.owners[slot.previous], bars):
        return "slot", slot.previous
    return "none", 0


def _is_of(by: Rules, owner: Owner, bars: int) -> bool:
    return owner.vip_num == by.vip_num and not owner.flags & bars


def _stored(entry: Entry, by: Rules, names: Mapping[int, Address]) -> StoredFlow:
    owner = by.owners[entry.real_num]
    valid = owner.vip_num == by.vip_num and owner.generation == entry.generation
    return StoredFlow(
        cpu=entry.cpu,
        real=named(names, entry.real_num) if valid else "",
        state=STATES[min(entry.state, len(STATES) - 1)],
        silent=round(entry.silent, 3),
    )
