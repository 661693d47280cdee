# SPDX-License-Identifier: Apache-2.0
"""Records -> plain dictionaries for `-o json`, `jsonl` and `csv`.  Pure.

Raw numbers with the unit in the key; unknown is null.  Keys are an interface: none is renamed
within one apiVersion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from console.model.labels import Said, common, differing
from console.model.rates import Sum
from console.model.records import Drop, Emptied, Node, Real, State, Vip
from shared.messages import Withdrawn
from shared.reasons import BY_NUMBER

API_VERSION = "remora/1"
Item = dict[str, Any]


def listing(kind: str, items: Sequence[Item], *, at: str, missing: Sequence[str]) -> Item:
    """The object around the items; absent agents are said, never silently left out."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "generatedAt": at,
        "complete": not missing,
        "missing": list(missing),
        "items": list(items),
    }


def word(state: State) -> str:
    """`drain` of `◐ drain`."""
    return state.text[2:]


def node(row: Node) -> Item:
    snapshot = row.snapshot
    return {
        "name": row.name,
        "address": row.address,
        "state": word(row.state),
        "live": row.live,
        "age_s": rounded(row.age),
        **_labels(row.labels),
        "admin": snapshot.admin.value if snapshot else None,
        "revision": snapshot.revision if snapshot else None,
        "version": snapshot.version if snapshot else None,
        "interface": snapshot.interface if snapshot else None,
        "xdp_mode": snapshot.xdp_mode if snapshot else None,
        "xdp_attached": (snapshot.xdp_attached or None) if snapshot else None,
        "ring_digest": snapshot.ring_digest if snapshot else None,
        "ring_differs": row.ring_differs,
        "rx_packets": snapshot.rx_packets if snapshot else None,
        "rx_bytes": snapshot.rx_bytes if snapshot else None,
        "tx_packets": snapshot.tx_packets if snapshot else None,
        "tx_bytes": snapshot.tx_bytes if snapshot else None,
        "pass_packets": snapshot.pass_packets if snapshot else None,
        "drop_packets": snapshot.drop_packets if snapshot else None,
        "flow_hits": snapshot.flow_hits if snapshot else None,
        "flow_misses": snapshot.flow_misses if snapshot else None,
        "new_flows": snapshot.new_flows if snapshot else None,
        "live_flows": snapshot.live_flows if snapshot else None,
        "vips": snapshot.vips if snapshot else None,
        "vips_announced": snapshot.vips_announced if snapshot else None,
        "reals": snapshot.reals if snapshot else None,
        "reals_up": snapshot.reals_up if snapshot else None,
        "peers": [
            {
                "address": p.address,
                "asn": p.asn,
                "state": p.state,
                "detail": p.detail,
                "withdrawn": withdrawal(p.withdrawn),
            }
            for p in (snapshot.peers if snapshot else ())
        ],
        "withdrawn": withdrawal(snapshot.withdrawn if snapshot else None),
        "cpu_s": snapshot.cpu_seconds if snapshot else None,
        "rss_bytes": snapshot.rss_bytes if snapshot else None,
        "rx_packets_per_s": rounded(row.pps),
        "rx_bytes_per_s": rounded(row.bytes_per_second),
        "drop_packets_per_s": rounded(row.drop_pps),
        "new_flows_per_s": rounded(row.new_flows_per_second),
    }


def vip(row: Vip) -> Item:
    return {
        "name": row.name,
        "address": row.endpoint,
        "state": word(row.state),
        "age_s": rounded(row.age),
        **_labels(row.labels),
        "reals": row.reals,
        "reals_up": row.reals_up,
        "quorum": row.quorum,
        "nodes": row.nodes,
        "nodes_announcing": row.announced,
        "withdrawn": [{"node": node, **said_by(said)} for node, said in row.withdrawn],
        "ring_digests": list(row.digests),
        **_rates(row.pps, row.bytes_per_second, row.new_flows_per_second),
        "drop_packets_per_s": rounded(row.drop_pps.value),
    }


def withdrawal(said: Withdrawn | None) -> Item | None:
    return said_by(said) if said else None


def said_by(said: Withdrawn) -> Item:
    return {"who": said.who, "at": round(said.at, 3), "why": said.why}


def real(row: Real) -> Item:
    return {
        "name": f"{row.address}@{row.vip}",
        "vip": row.vip,
        "address": row.address,
        "state": word(row.state),
        "age_s": rounded(row.age),
        **_labels(row.labels),
        "weights": list(row.weights),
        "effective_weights": list(row.effective_weights),
        "nodes": row.nodes,
        "nodes_up": row.up,
        "ring_share": row.slots,
        "live_flows": row.live_flows.value,
        "live_flows_nodes_left_out": row.live_flows.left_out,
        "check": row.check,
        "check_ms": row.check_ms,
        "changed_s_ago": rounded(row.changed),
        "drain": _drain(row.emptied) if row.emptied else None,
        **_rates(row.pps, row.bytes_per_second, row.new_flows_per_second),
    }


def _drain(found: Emptied) -> Item:
    return {
        "seconds": rounded(found.seconds),
        "flows_at_start": found.at_start,
        "left_s": rounded(found.left),
        "heard_s_ago": rounded(found.heard),
        "silent_longest_s": rounded(found.silent),
        "unknown_s": rounded(found.unknown),
        "unknown_why": found.unknown_why or None,
    }


def drop(row: Drop) -> Item:
    known = BY_NUMBER.get(row.reason)
    return {
        "name": row.name,
        "reason": row.reason,
        "packets": row.packets,
        "packets_per_s": rounded(row.pps.value),
        "nodes": list(row.nodes),
        "meaning": known.meaning if known else None,
        "cause": known.cause if known else None,
        "remedy": known.remedy if known else None,
    }


def _labels(said: Said) -> Item:
    """Those about which all nodes agree, and the keys of the others; null: not known."""
    return {"labels": common(said), "labels_differ": differing(said)}


def _rates(packets: Sum, octets: Sum, flows: Sum) -> Item:
    return {
        "packets_per_s": rounded(packets.value),
        "bytes_per_s": rounded(octets.value),
        "new_flows_per_s": rounded(flows.value),
        "rates_nodes_left_out": packets.left_out,
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
