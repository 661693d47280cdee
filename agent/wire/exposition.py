# SPDX-License-Identifier: Apache-2.0
"""Snapshots -> Prometheus metrics: the one table of names, labels and help texts.  Pure.

Names follow Prometheus' conventions (prometheus.io/docs/practices/naming): `remora_` in front, the
unit in the name, `_total` on counters.  Nothing here is a rate.  Counters start again from zero
when the maps are made anew, which is what a Prometheus counter may do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from agent.core.shutdown import Phase
from shared.messages import (
    CpuSnapshot,
    DropSnapshot,
    Emptying,
    FlowtableSnapshot,
    LabelSnapshot,
    NodeSnapshot,
    RealRow,
    RealSnapshot,
    Snapshot,
    VipRow,
    VipSnapshot,
)
from shared.model import Admin, Health

PENDING = ("expire", "confirm", "wait", "kill")
"""Kinds of changes that end by themselves."""
Sample = tuple[tuple[str, ...], float]
"""Label values in the family's order, and the value."""


class Seen(NamedTuple):
    """One snapshot of every topic, of the same moment."""

    node: NodeSnapshot
    vip: VipSnapshot
    real: RealSnapshot
    cpu: CpuSnapshot
    flowtable: FlowtableSnapshot
    drop: DropSnapshot
    label: LabelSnapshot | None = None


class Family(NamedTuple):
    name: str
    """As it is exposed; a counter's ends in `_total`."""
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Seen], Iterable[Sample]]


def seen(snapshots: Sequence[Snapshot | LabelSnapshot]) -> Seen:
    """The snapshots that are published together, in whatever order.  Raises KeyError."""
    by_kind = {type(snapshot): snapshot for snapshot in snapshots}
    kinds = Seen.__annotations__
    labels = next((each for each in snapshots if isinstance(each, LabelSnapshot)), None)
    counted = (by_kind[_KINDS[topic]] for topic in kinds if topic in _KINDS)
    return Seen(*counted, label=labels)  # type: ignore[arg-type,misc]


_KINDS: dict[str, type[Snapshot]] = {
    "node": NodeSnapshot,
    "vip": VipSnapshot,
    "real": RealSnapshot,
    "cpu": CpuSnapshot,
    "flowtable": FlowtableSnapshot,
    "drop": DropSnapshot,
}


def _one(read: Callable[[Seen], float]) -> Callable[[Seen], Iterable[Sample]]:
    return lambda s: [((), read(s))]


def _node(field: str) -> Callable[[Seen], Iterable[Sample]]:
    return _one(lambda s: getattr(s.node, field))


def _flowtable(field: str) -> Callable[[Seen], Iterable[Sample]]:
    return _one(lambda s: getattr(s.flowtable, field))


def _program(field: str) -> Callable[[Seen], Iterable[Sample]]:
    return _one(lambda s: getattr(s.flowtable.program, field))


def _vips(read: Callable[[VipRow], float]) -> Callable[[Seen], Iterable[Sample]]:
    return lambda s: [((row.name,), read(row)) for row in s.vip.vips]


def _reals(read: Callable[[RealRow], float]) -> Callable[[Seen], Iterable[Sample]]:
    return lambda s: (((row.vip, row.address), read(row)) for row in s.real.reals)


def _drains(
    read: Callable[[Seen, Emptying], float], when: Callable[[Emptying], bool] = lambda _: True
) -> Callable[[Seen], Iterable[Sample]]:
    return lambda s: [
        ((row.vip, row.address), read(s, row.emptying))
        for row in s.real.reals
        if row.emptying and when(row.emptying)
    ]


def _cpus(field: str) -> Callable[[Seen], Iterable[Sample]]:
    return lambda s: [((str(cpu),), n) for cpu, n in enumerate(getattr(s.cpu, field))]


def _real_states(
    states: Iterable[str], read: Callable[[RealRow], str]
) -> Callable[[Seen], Iterator[Sample]]:
    """One sample per state, 1 for the one that holds: the ecosystem's state set."""
    every = tuple(states)

    def samples(s: Seen) -> Iterator[Sample]:
        for row in s.real.reals:
            for state in every:
                yield (row.vip, row.address, state), float(read(row) == state)

    return samples


def _wall(s: Seen, at: float) -> float:
    """Agent-monotonic seconds -> Unix time."""
    return s.node.wall - (s.node.at - at)


_NODE = (
    Family(
        "remora_node_info", "gauge", "The node, always 1; what it runs is in the labels.",
        ("node", "version", "interface", "xdp_mode", "program"),
        lambda s: [((s.node.node, s.node.version, s.node.interface, s.node.xdp_mode,
                     s.node.program), 1)],
    ),
    Family("remora_xdp_attached", "gauge",
           "How the program runs on the interface, read back from the kernel, always 1: native, "
           "generic, offloaded, none, or foreign (somebody else's program).", ("mode",),
           lambda s: [((s.node.xdp_attached,), 1)]),
    Family("remora_snapshot_timestamp_seconds", "gauge",
           "Unix time when these values were read; it stands still when the agent does.", (),
           _node("wall")),
    Family("remora_start_time_seconds", "gauge", "Unix time when the agent started.", (),
           _one(lambda s: _wall(s, s.node.started))),
    Family("remora_agent_cpu_seconds_total", "counter",
           "Processor time of the agent; the data plane's is not in it.", (),
           _node("cpu_seconds")),
    Family("remora_agent_resident_memory_bytes", "gauge", "Resident memory of the agent.", (),
           _node("rss_bytes")),
    Family("remora_node_admin_state", "gauge",
           "1 for the state that operators gave the node, 0 for the others.", ("state",),
           lambda s: [((state,), float(s.node.admin == state)) for state in Admin]),
    Family("remora_revision", "gauge", "Goes up with every change that was applied.", (),
           _node("revision")),
    Family("remora_config_generation", "gauge", "Number of the config in force.", (),
           _node("generation")),
    Family("remora_insecure", "gauge",
           "1 while the agent listens on a network without keys: anybody there can steer it.", (),
           _node("insecure")),
    Family("remora_state_disk_silent_seconds", "gauge",
           "Seconds for which the state directory's disk has not answered: changes are refused.",
           (), _node("disk_silent")),
    Family("remora_state_disk_lost_records_total", "counter",
           "Records of the audit and blocks of the last hour that this disk did not take.", (),
           _node("disk_lost")),
    Family("remora_telemetry_overruns_total", "counter",
           "Times that a reader of telemetry (a console, a relay) did not keep up: it lost what "
           "came until it had read some.", (), _node("overruns")),
    Family("remora_ring_info", "gauge",
           "All rings of the node, always 1: equal digests on nodes that place every flow alike.",
           ("digest",), lambda s: [((s.node.ring_digest,), 1)]),
    Family("remora_node_drain_phase", "gauge",
           "1 for the phase that a drain of the node has come to, 0 for the others.", ("phase",),
           lambda s: [((phase,), float(s.node.phase == phase)) for phase in Phase]),
    Family("remora_node_drain_phase_timestamp_seconds", "gauge",
           "Unix time when it came to that phase; not there while the node is not drained.", (),
           lambda s: [((), _wall(s, s.node.phase_since))] if s.node.phase else []),
    Family("remora_node_withdrawn_timestamp_seconds", "gauge",
           "Unix time when an operator withdrew all routes of the node; not there otherwise.", (),
           lambda s: [((), s.node.withdrawn.at)] if s.node.withdrawn else []),
    Family("remora_pending_changes", "gauge",
           "Changes that end by themselves: expire or confirm (they go back), wait or kill (the "
           "deadline of a drain).", ("kind",),
           lambda s: [((kind,), sum(row.kind == kind for row in s.node.pending))
                      for kind in PENDING]),
    Family("remora_pending_next_timestamp_seconds", "gauge",
           "Unix time when the first of these ends; not there without one.", ("kind",),
           lambda s: [((kind,), _wall(s, min(ends))) for kind in PENDING
                      if (ends := [row.at for row in s.node.pending if row.kind == kind])]),
    Family("remora_rollouts", "gauge",
           "Operations that come to their nodes one after the other and are not over.",
           ("state",),
           lambda s: [((state,), sum(row.state == state for row in s.node.rollouts))
                      for state in ("running", "held")]),
    Family("remora_rx_packets_total", "counter", "Packets that the program saw.", (),
           _node("rx_packets")),
    Family("remora_rx_bytes_total", "counter", "Bytes that the program saw, from the Ethernet "
           "header on.", (), _node("rx_bytes")),
    Family("remora_tx_packets_total", "counter", "Packets sent to reals, or "
           "answered.", (), _node("tx_packets")),
    Family("remora_tx_bytes_total", "counter", "Bytes of these, as received: without the "
           "outer header.", (), _node("tx_bytes")),
    Family("remora_pass_packets_total", "counter", "Packets for no VIP, left to the host.", (),
           _node("pass_packets")),
    Family("remora_drop_packets_total", "counter", "Packets to VIPs that were dropped, whatever "
           "the reason.", (), _node("drop_packets")),
)  # fmt: skip
_DROPS = (
    Family("remora_drops_total", "counter", "Packets dropped, by reason (`remora reasons`).",
           ("reason",), lambda s: [((row.name,), row.packets) for row in s.drop.drops]),
    Family("remora_drop_events_total", "counter",
           "Events of dropped packets: sent, suppressed by the event rate, lost to a full ring.",
           ("result",),
           lambda s: [(("sent",), s.drop.events), (("suppressed",), s.drop.suppressed),
                      (("lost",), s.drop.lost)]),
)  # fmt: skip
_CPUS = tuple(
    Family(f"remora_cpu_{field}_total", "counter", text, ("cpu",), _cpus(field))
    for field, text in (
        ("rx_packets", "Packets that the program saw on this CPU."),
        ("rx_bytes", "Bytes that the program saw on this CPU."),
        ("tx_packets", "Packets sent to reals by this CPU."),
        ("pass_packets", "Packets left to the host by this CPU."),
        ("drop_packets", "Packets dropped by this CPU."),
        ("flow_hits", "Packets that found their flow in this CPU's flow table."),
        ("flow_misses", "Packets that did not."),
    )
)
_SOFTIRQ = (
    Family("remora_cpu_softirq_seconds_total", "counter",
           "Time that the CPU spent in soft interrupts since the machine started: XDP runs there.",
           ("cpu",), lambda s: [((str(cpu),), n / 100) for cpu, n in enumerate(s.cpu.softirq)]),
)  # fmt: skip
_QUEUES = (
    Family("remora_queue_rx_packets_total", "counter",
           "Packets by receive queue and the CPU that served it; queue 63 stands for all behind "
           "it.", ("queue", "cpu"),
           lambda s: [((str(queue), str(cpu)), n) for queue, packets in enumerate(s.cpu.queues)
                      for cpu, n in enumerate(packets) if n]),
)  # fmt: skip
_FLOWS = (
    Family("remora_flowtable_capacity_flows", "gauge",
           "Flow table entries, over the CPUs that received packets.", (),
           _flowtable("capacity")),
    Family("remora_flowtable_occupied_flows", "gauge", "Entries in use.", (),
           _flowtable("occupied")),
    Family("remora_flowtable_live_flows", "gauge",
           "Flows seen within `flow_idle` that are not closing.", (), _flowtable("live")),
    Family("remora_flowtable_hits_total", "counter", "Packets that found their flow.", (),
           _flowtable("hits")),
    Family("remora_flowtable_misses_total", "counter",
           "Packets that did not, by cause: a new TCP connection, UDP, anything else.",
           ("cause",),
           lambda s: [(("syn",), s.flowtable.miss_syn), (("udp",), s.flowtable.miss_udp),
                      (("other",), s.flowtable.miss_other)]),
    Family("remora_flowtable_stale_total", "counter",
           "Flows found whose real was down or no longer theirs: placed anew.", (),
           _flowtable("stale")),
    Family("remora_flowtable_evictions_total", "counter",
           "Live flows that lost their entry to a new one.", (), _flowtable("evictions")),
    Family("remora_flowtable_untracked_total", "counter",
           "Packets placed by the ring alone, without a lookup.", (), _flowtable("untracked")),
    Family("remora_flowtable_previous_total", "counter",
           "Of the misses: placed as before the ring changed.", (), _flowtable("previous")),
    Family("remora_flowtable_unstored_total", "counter",
           "Of the misses: not stored, too many new flows came at once and the ring would place "
           "them alike.", (), _flowtable("unstored")),
    Family("remora_flowtable_restart_total", "counter",
           "Of the misses with cause other: while the table is so new that it cannot know.", (),
           _flowtable("restart")),
    Family("remora_flowtable_moved_total", "counter",
           "Flows fetched from another CPU's flow table.", (), _flowtable("moved")),
)  # fmt: skip
_PROGRAM = (
    Family("remora_icmp_forwarded_packets_total", "counter",
           "ICMP errors sent to the real of the flow that they quote.", (),
           _program("icmp_forwarded")),
    Family("remora_icmp_sent_packets_total", "counter",
           "ICMP messages of the node's own: too big, or answers to pings.", ("kind",),
           lambda s: [(("too_big",), s.flowtable.program.icmp_too_big),
                      (("ping",), s.flowtable.program.icmp_sent
                       - s.flowtable.program.icmp_too_big)]),
    Family("remora_icmp_suppressed_packets_total", "counter",
           "Dropped without an ICMP message because of `icmp_per_second`.", (),
           _program("icmp_suppressed")),
    Family("remora_quic_packets_total", "counter",
           "QUIC packets: to the real that the connection id names (routed), opening a connection "
           "(initial), with a connection id of no known server (unknown).", ("result",),
           lambda s: [(("routed",), s.flowtable.program.quic_routed),
                      (("initial",), s.flowtable.program.quic_initial),
                      (("unknown",), s.flowtable.program.quic_unknown)]),
    Family("remora_decapsulated_packets_total", "counter",
           "Packets encapsulated for this node, which is a real itself.", (),
           _program("decapsulated")),
    Family("remora_tagged_packets_total", "counter", "Packets with a VLAN tag.", (),
           _program("tagged")),
    Family("remora_extended_packets_total", "counter",
           "Packets to VIPs behind IPv6 extension headers.", (), _program("extended")),
    Family("remora_traced_packets_total", "counter",
           "Packets that matched the filter of a trace.", (), _program("traced")),
    Family("remora_probe_packets_total", "counter",
           "Packets of checks through the tunnel: sent, or dropped because of what `result` says.",
           ("result",),
           lambda s: [((name,), getattr(s.flowtable.program, f"probes_{name}"))
                      for name in ("sent", "stale", "odd", "too_big", "failed")]),
)  # fmt: skip
_VIPS = (
    Family("remora_vip_info", "gauge", "The VIP, always 1; where it is, is in the labels.",
           ("vip", "address", "port", "protocol"),
           lambda s: [((v.name, v.address, str(v.port), v.protocol), 1) for v in s.vip.vips]),
    Family("remora_vip_ring_info", "gauge",
           "The VIP's ring, always 1: equal digests on all nodes that place every flow alike.",
           ("vip", "digest"), lambda s: [((v.name, v.ring_digest), 1) for v in s.vip.vips]),
    Family("remora_vip_packets_total", "counter", "Packets sent to the VIP's reals.", ("vip",),
           _vips(lambda v: v.packets)),
    Family("remora_vip_bytes_total", "counter", "Bytes sent to the VIP's reals.", ("vip",),
           _vips(lambda v: v.bytes)),
    Family("remora_vip_new_flows_total", "counter", "Flows that began.", ("vip",),
           _vips(lambda v: v.new_flows)),
    Family("remora_vip_drops_total", "counter", "Packets to the VIP that were dropped.", ("vip",),
           _vips(lambda v: v.drops)),
    Family("remora_vip_reals", "gauge", "Reals in the config.", ("vip",), _vips(lambda v: v.reals)),
    Family("remora_vip_reals_serving", "gauge", "Reals that take new flows.", ("vip",),
           _vips(lambda v: v.reals_up)),
    Family("remora_vip_quorum", "gauge", "Reals that must take new flows for the VIP to be "
           "announced.", ("vip",), _vips(lambda v: v.quorum)),
    Family("remora_vip_announced", "gauge", "1 while the VIP's address is announced by this node.",
           ("vip",), _vips(lambda v: v.announced)),
    Family("remora_vip_ring_changes_total", "counter", "Rings that took effect.", ("vip",),
           _vips(lambda v: v.ring_changes)),
    Family("remora_vip_drain_phase", "gauge",
           "1 for the phase that a drain of the VIP has come to, 0 for the others.",
           ("vip", "phase"),
           lambda s: [((v.name, phase), float(v.phase == phase)) for v in s.vip.vips
                      for phase in Phase]),
    Family("remora_vip_withdrawn_timestamp_seconds", "gauge",
           "Unix time when an operator withdrew the VIP's route; not there otherwise.", ("vip",),
           lambda s: [((v.name,), v.withdrawn.at) for v in s.vip.vips if v.withdrawn]),
    Family("remora_vip_flow_table_info", "gauge",
           "Which flows of the VIP are stored, always 1: track (all), changed, compute (none).",
           ("vip", "mode"), lambda s: [((v.name, v.flow_table), 1) for v in s.vip.vips]),
    Family("remora_vip_pressure", "gauge",
           "1 while more new flows come than the flow table should take.", ("vip",),
           _vips(lambda v: float(v.pressure))),
    Family("remora_vip_pressure_seconds_total", "counter", "Time under such pressure.", ("vip",),
           _vips(lambda v: v.pressure_seconds)),
)  # fmt: skip
_REAL = ("vip", "real")
_REALS = (
    Family("remora_real_packets_total", "counter", "Packets sent to the real.", _REAL,
           _reals(lambda r: r.packets)),
    Family("remora_real_bytes_total", "counter", "Bytes sent to the real.", _REAL,
           _reals(lambda r: r.bytes)),
    Family("remora_real_new_flows_total", "counter", "Flows that began.", _REAL,
           _reals(lambda r: r.new_flows)),
    Family("remora_real_live_flows", "gauge", "Flows seen lately that are not closing.", _REAL,
           _reals(lambda r: r.live_flows)),
    Family("remora_real_health_state", "gauge",
           "1 for what the checks say of the real, 0 for the others.", (*_REAL, "state"),
           _real_states(Health, lambda r: r.health)),
    Family("remora_real_admin_state", "gauge",
           "1 for the state that operators gave the real, 0 for the others.", (*_REAL, "state"),
           _real_states(Admin, lambda r: r.admin)),
    Family("remora_real_weight", "gauge", "Configured or overridden share.", _REAL,
           _reals(lambda r: r.weight)),
    Family("remora_real_effective_weight", "gauge", "Share in force: 0 while it takes no new "
           "flows.", _REAL, _reals(lambda r: r.effective_weight)),
    Family("remora_real_ring_slots", "gauge", "Slots of the VIP's 65,537 that are the real's.",
           _REAL, _reals(lambda r: r.slots)),
    Family("remora_real_check_duration_seconds", "gauge", "Time that the last check took.", _REAL,
           _reals(lambda r: r.check_ms / 1000)),
    Family("remora_real_changed_timestamp_seconds", "gauge",
           "Unix time of the last change of state, health or weight; 0: none yet.", _REAL,
           lambda s: (((r.vip, r.address), _wall(s, r.changed) if r.changed else 0)
                      for r in s.real.reals)),
)  # fmt: skip
_DRAINS = (
    Family("remora_real_drain_start_timestamp_seconds", "gauge",
           "Unix time when its drain began; this and the next ones are there while it is drained.",
           _REAL, _drains(lambda s, e: _wall(s, e.since))),
    Family("remora_real_drain_start_flows", "gauge", "Live flows when its drain began.", _REAL,
           _drains(lambda _, e: e.at_start)),
    Family("remora_real_drain_half_life_seconds", "gauge",
           "Time in which half of its flows end, over the last minute; not there when not known.",
           _REAL, _drains(lambda _, e: e.half_life, when=lambda e: e.half_life >= 0)),
    Family("remora_real_drain_remaining_seconds", "gauge",
           "Estimate until none is left; not there when not known.", _REAL,
           _drains(lambda _, e: e.left, when=lambda e: e.left >= 0)),
    Family("remora_real_drain_silent_seconds", "gauge",
           "Of the flows that are left: how long the one that is silent longest has been so; not "
           "there when not known.", _REAL,
           _drains(lambda _, e: e.silent, when=lambda e: e.silent >= 0)),
    Family("remora_real_drain_heard_seconds", "gauge",
           "How long ago any of them was last heard of; not there when not known.", _REAL,
           _drains(lambda _, e: e.heard, when=lambda e: e.heard >= 0)),
    Family("remora_real_drain_empty_timestamp_seconds", "gauge",
           "Unix time when it was found empty; not there before.", _REAL,
           _drains(lambda s, e: _wall(s, e.empty_at), when=lambda e: e.empty_at > 0)),
    Family("remora_real_drain_unknown_until_timestamp_seconds", "gauge",
           "Unix time until which silent flows may live that are not counted; not there when all "
           "are.", _REAL,
           _drains(lambda s, e: _wall(s, e.unknown_until), when=lambda e: e.unknown_until > 0)),
    Family("remora_real_drain_deadline_timestamp_seconds", "gauge",
           "Unix time of the deadline of its drain, if it has one: flows that are left are waited "
           "for then, or killed.", (*_REAL, "then"),
           lambda s: [((r.vip, r.address, r.emptying.then), _wall(s, r.emptying.deadline))
                      for r in s.real.reals if r.emptying and r.emptying.deadline]),
)  # fmt: skip
_LABEL = ("key", "value")


def _label_of(labels: Mapping[str, str], *of: str) -> list[Sample]:
    return [((*of, key, value), 1) for key, value in labels.items()]


def _node_labels(s: Seen) -> list[Sample]:
    return _label_of(s.label.labels) if s.label else []


def _vip_labels(s: Seen) -> Iterator[Sample]:
    if s.label:
        for name, number in s.label.vips.items():
            yield from _label_of(s.label.sets[number], name)


def _real_labels(s: Seen) -> Iterator[Sample]:
    if s.label:
        for name, reals in s.label.reals.items():
            for address, number in reals.items():
                yield from _label_of(s.label.sets[number], name, address)


_LABELS = (
    Family("remora_node_label", "gauge", "A label of the node, always 1.", _LABEL, _node_labels),
    Family("remora_vip_label", "gauge", "A label of the VIP, always 1.", ("vip", *_LABEL),
           _vip_labels),
    Family("remora_real_label", "gauge", "A label of the real, always 1: for joins (on vip, real).",
           (*_REAL, *_LABEL), _real_labels),
)  # fmt: skip
_PEER = ("peer", "asn")
_BGP = (
    Family("remora_bgp_peer_up", "gauge", "1 while the session is established.", _PEER,
           lambda s: [((p.address, str(p.asn)), float(p.state == "up")) for p in s.node.peers]),
    Family("remora_bgp_peer_changed_timestamp_seconds", "gauge",
           "Unix time of the session's last change.", _PEER,
           lambda s: [((p.address, str(p.asn)), _wall(s, p.since))
                      for p in s.node.peers]),
    Family("remora_bgp_peer_failed_timestamp_seconds", "gauge",
           "Unix time when the session failed last; not there when it never did.", _PEER,
           lambda s: [((p.address, str(p.asn)), _wall(s, p.failed))
                      for p in s.node.peers if p.failed]),
    Family("remora_bgp_peer_withdrawn_timestamp_seconds", "gauge",
           "Unix time when an operator withdrew all routes from the peer; not there otherwise.",
           _PEER, lambda s: [((p.address, str(p.asn)), p.withdrawn.at)
                             for p in s.node.peers if p.withdrawn]),
)  # fmt: skip

FAMILIES: tuple[Family, ...] = (
    *_NODE,
    *_DROPS,
    *_CPUS,
    *_SOFTIRQ,
    *_QUEUES,
    *_FLOWS,
    *_PROGRAM,
    *_VIPS,
    *_REALS,
    *_DRAINS,
    *_LABELS,
    *_BGP,
)
