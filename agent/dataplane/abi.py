# SPDX-License-Identifier: Apache-2.0
"""bpf/lb_abi.h, mirrored: structs and constants of the data plane.

The header is the contract; a unit test compares the two with the host's C compiler, and the loader
compiles `static_asserts()` with every program.  As long and as flat as the header: one place to
look a field up.  Standard library only: the loader child imports this without the project's
packages.
"""

from __future__ import annotations

import ctypes as c

ABI_VERSION = 6
MAX_VIPS = 512
MAX_REALS = 4096
RING_SLOTS = 65537
RING_ROW = 65540
RING_ROWS = MAX_VIPS + 64
FLOW_WAYS = 4
CAPTURE = 160
PLACES = 2048
QUEUES = 64
MAX_PREFIXES = 511
MAX_QUIC_IDS = 65536
SLOT_BITS = 12
SLOT_REAL = 0xFFF
SLOT_EXCEPTIONS = 0x1000000
REASON_COUNT = 32

TRACE_ALL = 1
ANSWER_PING = 2
TRACING = 4
PREFIXES = 8
ADDRESS_VIP = 1
ADDRESS_ALL_PORTS = 2
ADDRESS_OWN = 4
ADDRESS_PING = 8
VIP_ANY_SOURCE = 1
VIP_ANY_SOURCE_PORT = 2
VIP_ANY_PORT = 4
VIP_CHANGED = 8
VIP_COMPUTE = 16
VIP_PRESSURE = 32
VIP_KEEP = 64
VIP_FAIL_OPEN = 128
VIP_QUIC_LB = 256
VIP_QUIC_CID = 512
REAL_DOWN = 1
REAL_DRAINING = 2
REAL_DISABLED = 4
ENCAP_IPV6 = 1
ENCAP_GUE = 2
FLOW_OPENING = 0
FLOW_OPEN = 1
FLOW_CLOSING = 2
PASS = 0
SEND = 1
DROP = 2
ANSWER = 3
BUCKET_TOO_BIG = REASON_COUNT
BUCKET_PING = REASON_COUNT + 1
BUCKET_FLOWS = REASON_COUNT + 2
BUCKET_TRACE = REASON_COUNT + 3
BUCKETS = REASON_COUNT + 4
JUMP_RARE = 0
JUMPS = 1
EVENT_CONCLUSION = 0
EVENT_ENTRY = 1
EVENT_EXIT = 2
FILL_UNIT = 0x0000FFFF0000FFFF
FILL_BIAS = 0x400000000000
FILL_PLACE_BITS = 17
FILL_REST = 128
FILL_MORE = 0
FILL_DONE = 1
FILL_BROKEN = 2
PROBE_MARK = 0x52E00000
PROBE_MARK_BITS = 0xFFF00000
PROBE_GENERATION_SHIFT = 12


class Control(c.Structure):
    _fields_ = [
        ("hash_key", c.c_uint64 * 2),
        ("be_outer_source", c.c_uint32),
        ("be_outer_mask", c.c_uint32),
        ("be_outer_source6", c.c_uint32 * 2),
        ("event_ahead", c.c_uint64),
        ("event_interval", c.c_uint32),
        ("underlay_mtu", c.c_uint32),
        ("gateway_mac", c.c_uint8 * 6),
        ("own_mac", c.c_uint8 * 6),
        ("flags", c.c_uint16),
        ("be_gue_port", c.c_uint16),
        ("icmp_ahead", c.c_uint64),
        ("icmp_interval", c.c_uint32),
        ("flow_interval", c.c_uint32),
        ("flow_ahead", c.c_uint64),
        ("nothing", c.c_uint64),
        ("warm_at", c.c_uint64),
    ]


class Address(c.Structure):
    _fields_ = [
        ("be_address", c.c_uint32 * 4),
        ("version", c.c_uint32),
        ("number", c.c_uint16),
        ("flags", c.c_uint16),
        ("pad", c.c_uint64),
    ]


class Addresses(c.Structure):
    _fields_ = [("place", Address * PLACES)]


class Prefix(c.Structure):
    _fields_ = [
        ("length", c.c_uint32),
        ("be_version", c.c_uint32),
        ("be_address", c.c_uint32 * 4),
    ]


class Vip(c.Structure):
    _fields_ = [("vip_num", c.c_uint32), ("key", c.c_uint32)]


class Vips(c.Structure):
    _fields_ = [("place", Vip * PLACES)]


class Service(c.Structure):
    _fields_ = [
        ("ring_row", c.c_uint32),
        ("flags", c.c_uint32),
        ("udp_idle", c.c_uint32),
        ("quic_id_bytes", c.c_uint8),
        ("quic_config", c.c_uint8),
        ("pad", c.c_uint8 * 2),
    ]


class Services(c.Structure):
    _fields_ = [("of", Service * MAX_VIPS)]


class QuicId(c.Structure):
    _fields_ = [("server_id", c.c_uint64), ("vip_num", c.c_uint64)]


class Real(c.Structure):
    _fields_ = [
        ("be_address", c.c_uint32 * 4),
        ("vip_num", c.c_uint16),
        ("generation", c.c_uint8),
        ("flags", c.c_uint8),
        ("encap", c.c_uint8),
        ("pad", c.c_uint8 * 3),
    ]


class Reals(c.Structure):
    _fields_ = [("of", Real * MAX_REALS)]


class Ring(c.Structure):
    _fields_ = [("slots", c.c_uint32 * RING_ROW)]


class Flow(c.Structure):
    _fields_ = [
        ("tag", c.c_uint64),
        ("seen", c.c_uint32),
        ("real_num", c.c_uint16),
        ("generation", c.c_uint8),
        ("state", c.c_uint8),
    ]


class FlowSet(c.Structure):
    _fields_ = [("way", Flow * FLOW_WAYS)]


class Totals(c.Structure):
    _fields_ = [
        ("rx_packets", c.c_uint64),
        ("rx_bytes", c.c_uint64),
        ("tx_packets", c.c_uint64),
        ("tx_bytes", c.c_uint64),
        ("pass_packets", c.c_uint64),
        ("pass_bytes", c.c_uint64),
        ("flow_hits", c.c_uint64),
        ("flow_untracked", c.c_uint64),
        ("drop_packets", c.c_uint64),
        ("drop_bytes", c.c_uint64),
        ("flow_miss_syn", c.c_uint64),
        ("flow_miss_udp", c.c_uint64),
        ("flow_miss_other", c.c_uint64),
        ("flow_restart", c.c_uint64),
        ("flow_stale", c.c_uint64),
        ("flow_moved", c.c_uint64),
        ("flow_previous", c.c_uint64),
        ("flow_unstored", c.c_uint64),
        ("flow_evictions", c.c_uint64),
        ("events", c.c_uint64),
        ("events_suppressed", c.c_uint64),
        ("events_lost", c.c_uint64),
        ("icmp_forwarded", c.c_uint64),
        ("icmp_sent", c.c_uint64),
        ("icmp_too_big", c.c_uint64),
        ("icmp_suppressed", c.c_uint64),
        ("quic_routed", c.c_uint64),
        ("quic_initial", c.c_uint64),
        ("quic_unknown", c.c_uint64),
        ("decapsulated", c.c_uint64),
        ("tagged", c.c_uint64),
        ("extended", c.c_uint64),
        ("traced", c.c_uint64),
        ("drops", c.c_uint64 * REASON_COUNT),
        ("queues", c.c_uint64 * QUEUES),
        ("pad", c.c_uint64 * 7),
    ]


class Share(c.Structure):
    _fields_ = [
        ("packets", c.c_uint64),
        ("bytes", c.c_uint64),
        ("flows", c.c_uint64),
        ("drops", c.c_uint64),
    ]


class Bucket(c.Structure):
    _fields_ = [("due", c.c_uint64)]


class Trace(c.Structure):
    _fields_ = [
        ("be_source", c.c_uint32 * 4),
        ("be_source_mask", c.c_uint32 * 4),
        ("be_destination", c.c_uint32 * 4),
        ("be_destination_mask", c.c_uint32 * 4),
        ("be_ports", c.c_uint32),
        ("be_ports_mask", c.c_uint32),
        ("vip_num", c.c_uint16),
        ("real_num", c.c_uint16),
        ("version", c.c_uint8),
        ("protocol", c.c_uint8),
        ("pad", c.c_uint8 * 2),
        ("one_in", c.c_uint32),
        ("interval", c.c_uint32),
        ("ahead", c.c_uint64),
        ("until", c.c_uint64),
    ]


class Event(c.Structure):
    _fields_ = [
        ("at", c.c_uint64),
        ("length", c.c_uint32),
        ("slot", c.c_uint32),
        ("verdict", c.c_uint16),
        ("reason", c.c_uint16),
        ("vip_num", c.c_uint16),
        ("real_num", c.c_uint16),
        ("cpu", c.c_uint16),
        ("rx_queue", c.c_uint16),
        ("kind", c.c_uint8),
        ("flow_hit", c.c_uint8),
        ("captured", c.c_uint16),
        ("packet", c.c_uint32),
        ("pad", c.c_uint32),
        ("head", c.c_uint8 * CAPTURE),
    ]


class Work(c.Structure):
    _fields_ = [("words", c.c_uint64 * 32)]


class DecapTotals(c.Structure):
    _fields_ = [
        ("rx_packets", c.c_uint64),
        ("rx_bytes", c.c_uint64),
        ("decapsulated_packets", c.c_uint64),
        ("decapsulated_bytes", c.c_uint64),
        ("pass_packets", c.c_uint64),
        ("drop_packets", c.c_uint64),
        ("pad", c.c_uint64 * 2),
    ]


class ProbeTotals(c.Structure):
    _fields_ = [
        ("sent", c.c_uint64),
        ("stale", c.c_uint64),
        ("odd", c.c_uint64),
        ("too_big", c.c_uint64),
        ("failed", c.c_uint64),
        ("pad", c.c_uint64 * 3),
    ]


class FillMember(c.Structure):
    _fields_ = [
        ("next", c.c_uint64),
        ("skip", c.c_uint64),
    ]


class Fill(c.Structure):
    _fields_ = [
        ("taken", c.c_uint8 * (1 << FILL_PLACE_BITS)),
        ("turn", c.c_uint32),
        ("free_slots", c.c_uint32),
        ("members", FillMember * MAX_REALS),
        ("inverse", c.c_uint32 * MAX_REALS),
        ("free", c.c_uint32 * FILL_REST),
        ("order", c.c_uint16 * RING_ROW),
        ("slots", c.c_uint16 * RING_ROW),
    ]


STRUCTS: dict[str, type[c.Structure]] = {
    "lb_control": Control,
    "lb_address": Address,
    "lb_addresses": Addresses,
    "lb_prefix": Prefix,
    "lb_vip": Vip,
    "lb_vips": Vips,
    "lb_service": Service,
    "lb_services": Services,
    "lb_quic_id": QuicId,
    "lb_real": Real,
    "lb_reals": Reals,
    "lb_ring": Ring,
    "lb_flow": Flow,
    "lb_flow_set": FlowSet,
    "lb_totals": Totals,
    "lb_share": Share,
    "lb_bucket": Bucket,
    "lb_trace": Trace,
    "lb_event": Event,
    "lb_work": Work,
    "lb_decap_totals": DecapTotals,
    "lb_fill_member": FillMember,
    "lb_fill": Fill,
    "lb_probe_totals": ProbeTotals,
}
"""C name -> mirror: every struct of the header."""

CONSTANTS: dict[str, int] = {
    "LB_ABI_VERSION": ABI_VERSION,
    "LB_MAX_VIPS": MAX_VIPS,
    "LB_MAX_REALS": MAX_REALS,
    "LB_RING_SLOTS": RING_SLOTS,
    "LB_RING_ROW": RING_ROW,
    "LB_RING_ROWS": RING_ROWS,
    "LB_FLOW_WAYS": FLOW_WAYS,
    "LB_CAPTURE": CAPTURE,
    "LB_PLACES": PLACES,
    "LB_QUEUES": QUEUES,
    "LB_MAX_PREFIXES": MAX_PREFIXES,
    "LB_MAX_QUIC_IDS": MAX_QUIC_IDS,
    "LB_SLOT_BITS": SLOT_BITS,
    "LB_SLOT_REAL": SLOT_REAL,
    "LB_SLOT_EXCEPTIONS": SLOT_EXCEPTIONS,
    "REASON_COUNT": REASON_COUNT,
    "LB_TRACE_ALL": TRACE_ALL,
    "LB_ANSWER_PING": ANSWER_PING,
    "LB_TRACING": TRACING,
    "LB_PREFIXES": PREFIXES,
    "LB_ADDRESS_VIP": ADDRESS_VIP,
    "LB_ADDRESS_ALL_PORTS": ADDRESS_ALL_PORTS,
    "LB_ADDRESS_OWN": ADDRESS_OWN,
    "LB_ADDRESS_PING": ADDRESS_PING,
    "LB_VIP_ANY_SOURCE": VIP_ANY_SOURCE,
    "LB_VIP_ANY_SOURCE_PORT": VIP_ANY_SOURCE_PORT,
    "LB_VIP_ANY_PORT": VIP_ANY_PORT,
    "LB_VIP_CHANGED": VIP_CHANGED,
    "LB_VIP_COMPUTE": VIP_COMPUTE,
    "LB_VIP_PRESSURE": VIP_PRESSURE,
    "LB_VIP_KEEP": VIP_KEEP,
    "LB_VIP_FAIL_OPEN": VIP_FAIL_OPEN,
    "LB_VIP_QUIC_LB": VIP_QUIC_LB,
    "LB_VIP_QUIC_CID": VIP_QUIC_CID,
    "LB_REAL_DOWN": REAL_DOWN,
    "LB_REAL_DRAINING": REAL_DRAINING,
    "LB_REAL_DISABLED": REAL_DISABLED,
    "LB_ENCAP_IPV6": ENCAP_IPV6,
    "LB_ENCAP_GUE": ENCAP_GUE,
    "LB_FLOW_OPENING": FLOW_OPENING,
    "LB_FLOW_OPEN": FLOW_OPEN,
    "LB_FLOW_CLOSING": FLOW_CLOSING,
    "LB_PASS": PASS,
    "LB_SEND": SEND,
    "LB_DROP": DROP,
    "LB_ANSWER": ANSWER,
    "LB_BUCKET_TOO_BIG": BUCKET_TOO_BIG,
    "LB_BUCKET_PING": BUCKET_PING,
    "LB_BUCKET_FLOWS": BUCKET_FLOWS,
    "LB_BUCKET_TRACE": BUCKET_TRACE,
    "LB_BUCKETS": BUCKETS,
    "LB_EVENT_CONCLUSION": EVENT_CONCLUSION,
    "LB_EVENT_ENTRY": EVENT_ENTRY,
    "LB_EVENT_EXIT": EVENT_EXIT,
    "LB_MAP_CONTROL": 1,
    "LB_MAP_VIPS": 2,
    "LB_MAP_SERVICES": 3,
    "LB_MAP_REALS": 4,
    "LB_MAP_RINGS": 5,
    "LB_MAP_FLOWS": 6,
    "LB_MAP_TOTALS": 7,
    "LB_MAP_VIP_TOTALS": 8,
    "LB_MAP_REAL_TOTALS": 9,
    "LB_MAP_BUCKETS": 10,
    "LB_MAP_EVENTS": 11,
    "LB_MAP_DECAP_TOTALS": 12,
    "LB_MAP_FILL": 13,
    "LB_MAP_ADDRESSES": 14,
    "LB_MAP_PREFIXES": 15,
    "LB_MAP_QUIC_IDS": 16,
    "LB_MAP_TRACE": 17,
    "LB_MAP_WORK": 19,
    "LB_MAP_JUMPS": 20,
    "LB_JUMP_RARE": JUMP_RARE,
    "LB_JUMPS": JUMPS,
    "LB_FILL_UNIT": FILL_UNIT,
    "LB_FILL_BIAS": FILL_BIAS,
    "LB_FILL_PLACE_BITS": FILL_PLACE_BITS,
    "LB_FILL_REST": FILL_REST,
    "LB_FILL_MORE": FILL_MORE,
    "LB_FILL_DONE": FILL_DONE,
    "LB_FILL_BROKEN": FILL_BROKEN,
    "LB_MAP_PROBE_TOTALS": 21,
    "LB_PROBE_MARK": PROBE_MARK,
    "LB_PROBE_MARK_BITS": PROBE_MARK_BITS,
    "LB_PROBE_GENERATION_SHIFT": PROBE_GENERATION_SHIFT,
}
"""C name -> value: every constant and enumerator of the header but the drop reasons."""


def probe_mark(real_num: int, generation: int) -> int:
    """The mark of packets that bpf/probe.c encapsulates to this real, and to no later owner."""
    return PROBE_MARK | generation << PROBE_GENERATION_SHIFT | real_num


def static_asserts() -> str:
    """C text that fails to compile where the header and this module differ."""
    lines = ['#include "lb_abi.h"']
    for name, value in CONSTANTS.items():
        lines.append(f'_Static_assert({name} == {value}, "agent/dataplane/abi.py: {name}");')
    for name, struct in STRUCTS.items():
        size = f"sizeof(struct {name})"
        lines.append(f'_Static_assert({size} == {c.sizeof(struct)}, "abi.py: {size}");')
        for field, *_ in struct._fields_:
            offset = f"__builtin_offsetof(struct {name}, {field})"
            expected = getattr(struct, field).offset
            lines.append(f'_Static_assert({offset} == {expected}, "abi.py: {name}.{field}");')
    return "\n".join(lines) + "\n"
