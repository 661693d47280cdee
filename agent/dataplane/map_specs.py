# SPDX-License-Identifier: Apache-2.0
"""bpf/lb_maps.h from the agent's side: what kind of map each is, and how large.

Standard library only: the loader child makes the maps and runs without the project's packages.
"""

from __future__ import annotations

import ctypes as c
from typing import NamedTuple

from agent.dataplane import abi
from agent.dataplane.abi import CONSTANTS

EVENTS_BYTES = 1 << 19
"""Size of the ring buffer: 2,520 events, a page multiple and a power of two."""

# enum bpf_map_type and flags of BPF_MAP_CREATE (include/uapi/linux/bpf.h)
HASH, ARRAY, PROG_ARRAY, LPM_TRIE, RINGBUF = 1, 2, 3, 11, 27
NO_PREALLOC, MMAPABLE = 1 << 0, 1 << 10


class Sizes(NamedTuple):
    """What of the maps' sizes is the node's choice."""

    cpus: int
    """Possible CPUs: the rows of every per-CPU map."""
    flows_per_cpu: int
    """Flow-table entries, a power of two."""
    ring_rows: int = abi.RING_ROWS
    """Rings in force and in the making, and the empty row 0; 256 KiB each."""

    @property
    def flow_sets(self) -> int:
        """Flow sets per CPU."""
        return self.flows_per_cpu // abi.FLOW_WAYS


class MapSpec(NamedTuple):
    """A map as the kernel describes it."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


def _array(name: str, value: type[c.Structure], entries: int) -> MapSpec:
    return MapSpec(name, ARRAY, 4, c.sizeof(value), entries, MMAPABLE)


def _sparse(name: str, kind: int, key: type[c.Structure], value_size: int, entries: int) -> MapSpec:
    return MapSpec(name, kind, c.sizeof(key), value_size, entries, NO_PREALLOC)


def map_specs(sizes: Sizes) -> dict[int, MapSpec]:
    """Number in the code (enum lb_map) -> what the map must be."""
    n = CONSTANTS
    return {
        n["LB_MAP_CONTROL"]: _array("control", abi.Control, 1),
        n["LB_MAP_VIPS"]: _array("vips", abi.Vips, 1),
        n["LB_MAP_SERVICES"]: _array("services", abi.Services, 1),
        n["LB_MAP_REALS"]: _array("reals", abi.Reals, 1),
        n["LB_MAP_RINGS"]: _array("rings", abi.Ring, sizes.ring_rows),
        n["LB_MAP_FLOWS"]: _array("flows", abi.FlowSet, sizes.cpus * sizes.flow_sets),
        n["LB_MAP_TOTALS"]: _array("totals", abi.Totals, sizes.cpus),
        n["LB_MAP_VIP_TOTALS"]: _array("vip_totals", abi.Share, sizes.cpus * abi.MAX_VIPS),
        n["LB_MAP_REAL_TOTALS"]: _array("real_totals", abi.Share, sizes.cpus * abi.MAX_REALS),
        n["LB_MAP_BUCKETS"]: _array("buckets", abi.Bucket, sizes.cpus * abi.BUCKETS),
        n["LB_MAP_EVENTS"]: MapSpec("events", RINGBUF, 0, 0, EVENTS_BYTES, 0),
        n["LB_MAP_DECAP_TOTALS"]: _array("decap_totals", abi.DecapTotals, sizes.cpus),
        n["LB_MAP_FILL"]: _array("fill", abi.Fill, 1),
        n["LB_MAP_ADDRESSES"]: _array("addresses", abi.Addresses, 1),
        n["LB_MAP_PREFIXES"]: _sparse(
            "prefixes", LPM_TRIE, abi.Prefix, c.sizeof(abi.Address), abi.MAX_PREFIXES
        ),
        n["LB_MAP_QUIC_IDS"]: _sparse("quic_ids", HASH, abi.QuicId, 4, abi.MAX_QUIC_IDS),
        n["LB_MAP_TRACE"]: _array("trace", abi.Trace, 1),
        n["LB_MAP_WORK"]: _array("work", abi.Work, sizes.cpus),
        n["LB_MAP_JUMPS"]: MapSpec("jumps", PROG_ARRAY, 4, 4, abi.JUMPS, 0),
        n["LB_MAP_PROBE_TOTALS"]: _array("probe_totals", abi.ProbeTotals, sizes.cpus),
    }
