# SPDX-License-Identifier: Apache-2.0
"""Where a flow goes on this node: what bpf/place.h would decide, told and not done.  Pure.

The maps are read as they are; nothing is counted, stored or renewed by asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Literal, NamedTuple

from agent.core import flow_hash
from agent.core.flow_hash import Flow
from agent.core.refused import Refused
from agent.core.state import NodeState, VipState
from agent.dataplane.abi import REAL_DISABLED, REAL_DOWN
from agent.nouns import Address, Tracking, WhenDown
from shared.messages import FlowOf, FlowPlace, StoredFlow
from shared.model import Protocol

By = Literal["stored", "slot", "ring", "none"]
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


def flow_of(wanted: FlowOf) -> Flow:
    """Raises Refused."""
    try:
        source, destination = ip_address(wanted.source), ip_address(wanted.destination)
    except ValueError as error:
        raise Refused(f"{error}; a flow is ADDRESS:PORT ADDRESS:PORT/PROTOCOL") from None
    if source.version != destination.version:
        raise Refused(f"{source} and {destination} are of two families: no packet has both")
    for port in (wanted.source_port, wanted.destination_port):
        if not 1 <= port <= 65535:
            raise Refused(f"port {port}: must be 1 to 65535")
    protocol = Protocol(wanted.protocol)
    return Flow(source, wanted.source_port, destination, wanted.destination_port, protocol)


def vip_of(state: NodeState, flow: Flow) -> VipState | None:
    """None: it is no VIP's here, and passed to the host.

    The address decides first (itself, then the smallest network), then protocol and port: the VIP
    of that port, else that of all ports.
    """
    found: list[tuple[int, VipState]] = []
    for vip in state.vips.values():
        listed = vip.listed
        network = ip_network((listed.address, listed.length or listed.address.max_prefixlen))
        if flow.destination in network:
            found.append((network.prefixlen, vip))
    longest = max((length for length, _ in found), default=0)
    mine = {
        vip.listed.port: vip
        for length, vip in found
        if length == longest and vip.listed.protocol is flow.protocol
    }
    return mine.get(flow.destination_port) or mine.get(0)


def tag(state: NodeState, flow: Flow) -> int:
    """By which the flow tables know it."""
    return flow_hash.hashed(flow, _key(state))


def slots(state: NodeState, vip: VipState, flow: Flow) -> list[int]:
    """Where a new flow looks, in order."""
    return list(flow_hash.slots(flow_hash.hashed(flow, _key(state), vip.listed.hash)))


def _key(state: NodeState) -> bytes:
    return bytes.fromhex(state.listed.node.hash_key)


def told(
    vip: VipState,
    tried: Sequence[tuple[int, Slot]],
    owners: Mapping[int, Owner],
    entries: Sequence[Entry],
) -> FlowPlace:
    """`tried`: (number, content) of the slots, in order; `owners`: of all real numbers in them and
    in `entries`."""
    names = {real.number.real_num: address for address, real in vip.reals.items()}
    placing = vip.written or vip.listed.placing
    bars = REAL_DISABLED if placing.fail_open else REAL_DISABLED | REAL_DOWN
    passed, slot, real_num = _by_ring(vip, tried, owners, bars)
    known = REAL_DISABLED if placing.when_down is WhenDown.KEEP else bars
    found, going_on = _going_on(vip, tried[0][1], owners, entries, known)
    by: By = found if going_on else "ring" if real_num else "none"
    listed = vip.listed
    return FlowPlace(
        vip=listed.name,
        hash=str(listed.hash),
        flow_table=str(placing.tracking),
        slot=slot,
        real=_named(names, real_num),
        going_on=_named(names, going_on or real_num),
        by=by,
        passed=passed,
        stored=tuple(_stored(entry, vip, owners, names) for entry in entries),
        quic=listed.quic is not None,
    )


def _by_ring(
    vip: VipState, tried: Sequence[tuple[int, Slot]], owners: Mapping[int, Owner], bars: int
) -> tuple[int, int, int]:
    """(slots whose real takes none, slot, real number) of a new flow; no slot (-1), no real: it is
    dropped."""
    for passed, (number, content) in enumerate(tried):
        if not content.real_num:
            return passed, -1, 0
        owner = owners[content.real_num]
        if _is_of(vip, owner, bars):
            return passed, number, content.real_num
    return len(tried), -1, 0


def _going_on(
    vip: VipState,
    slot: Slot,
    owners: Mapping[int, Owner],
    entries: Sequence[Entry],
    bars: int,
) -> tuple[By, int]:
    """How a packet finds its real that opens no flow, before it asks the ring; real number 0: it
    does not."""
    placing = vip.written or vip.listed.placing
    udp = vip.listed.protocol is Protocol.UDP
    for entry in entries:
        over = udp and placing.udp_idle and entry.silent > placing.udp_idle
        owner = owners[entry.real_num]
        if _is_of(vip, owner, bars) and owner.generation == entry.generation and not over:
            return "stored", entry.real_num
    remembers = placing.tracking is not Tracking.COMPUTE and (not udp or placing.pressure)
    changed = slot.previous != slot.real_num or placing.when_down is WhenDown.KEEP
    if remembers and changed and slot.previous and _is_of(vip, owners[slot.previous], bars):
        return "slot", slot.previous
    return "none", 0


def _is_of(vip: VipState, owner: Owner, bars: int) -> bool:
    return owner.vip_num == vip.vip_num and not owner.flags & bars


def _stored(
    entry: Entry, vip: VipState, owners: Mapping[int, Owner], names: Mapping[int, Address]
) -> StoredFlow:
    owner = owners[entry.real_num]
    valid = owner.vip_num == vip.vip_num and owner.generation == entry.generation
    return StoredFlow(
        cpu=entry.cpu,
        real=_named(names, entry.real_num) if valid else "",
        state=STATES[min(entry.state, len(STATES) - 1)],
        silent=round(entry.silent, 3),
    )


def _named(names: Mapping[int, Address], real_num: int) -> str:
    return str(names[real_num]) if real_num in names else ""
