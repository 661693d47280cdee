# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a config though each of its values is right: one sentence each, with a remedy.

Pure.  Values alone are checked by their types in tree.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from agent.config import bgp_contradictions
from agent.config.check_contradictions import check_problems
from agent.config.tree import Config, Vip
from agent.config.vip_contradictions import overlap_problems, vip_option_problems
from agent.core.health import RAMP_STEPS
from agent.nouns import Address
from shared.model import host_and_port, is_loopback

MAX_REALS = 4095


def contradictions(config: Config) -> Iterator[str]:
    """What each value alone does not show, in words; the first is reported."""
    yield from _node_problems(config)
    yield from _telemetry_problems(config)
    yield from _wire_problems(config)
    yield from _metrics_problems(config)
    yield from _vip_problems(config)
    yield from bgp_contradictions.contradictions(config)
    yield from _outer_source_problems(config)


def _telemetry_problems(config: Config) -> Iterator[str]:
    to = config.telemetry.event_log
    if to not in ("", "journal") and not to.startswith("/"):
        yield f'telemetry.event_log: must be "journal" or an absolute path, got {to!r}'


def _wire_problems(config: Config) -> Iterator[str]:
    wire = config.wire
    if wire is None:
        return
    try:
        host, _ = host_and_port(wire.listen)
        ip_address(host)
    except ValueError:
        yield (
            'wire.listen: must be ADDRESS:PORT such as "192.0.2.11:7400" (commands are on the '
            f"next port), got {wire.listen!r}"
        )
        return
    for key in ("secret_key", "authorized_keys"):
        path = getattr(wire, key)
        if path and not path.startswith("/"):
            yield f"wire.{key}: must be an absolute path, got {path!r}"
    if bool(wire.secret_key) != bool(wire.authorized_keys):
        yield "wire: secret_key and authorized_keys go together; give both"
    elif wire.keyed and wire.insecure:
        yield "wire.insecure: contradicts secret_key; remove one"
    elif not wire.keyed and not wire.insecure and not is_loopback(host):
        yield (
            f"wire.listen: {wire.listen} without keys would let anybody steer this node; "
            "`remora keys FILE` makes a key for secret_key (or say insecure = true)"
        )


def _metrics_problems(config: Config) -> Iterator[str]:
    if config.metrics is None:
        return
    try:
        ip_address(config.metrics.host)
        if 1 <= config.metrics.port <= 65535:
            return
    except ValueError:
        pass
    yield (
        'metrics.listen: must be ADDRESS:PORT such as "127.0.0.1:9469" or "[::1]:9469", '
        f"got {config.metrics.listen!r}"
    )


def _node_problems(config: Config) -> list[str]:
    node = config.node
    found = []
    if node.flows_per_cpu & (node.flows_per_cpu - 1):
        near = 1 << node.flows_per_cpu.bit_length() - 1
        found.append(
            f"node.flows_per_cpu: must be a power of two, got {node.flows_per_cpu}; "
            f"use {near} or {2 * near}"
        )
    if not 8 <= node.outer_source.prefixlen <= 24:
        found.append(
            f"node.outer_source: prefix length must be 8 to 24, got {node.outer_source}: the host "
            "bits spread the flows over the reals' receive queues"
        )
    if node.outer_source6.prefixlen != 64:
        found.append(
            f"node.outer_source6: must be a /64, got {node.outer_source6}: the lower half of the "
            "address is the flow's"
        )
    try:
        zone = getattr(node.gateway_address, "scope_id", None)
    except ValueError:
        zone = ""
    if zone is not None:
        found.append(
            'node.gateway: must be an IP address without a zone (%) or "auto", '
            f"got {node.gateway!r}"
        )
    for key in ("bpffs", "run_dir", "state_dir"):
        value = getattr(node, key)
        if not re.fullmatch(r"/[!-~]+", value):
            found.append(f"node.{key}: must be an absolute path without spaces, got {value!r}")
    if len(node.run_dir) > 80:
        found.append(
            f"node.run_dir: {len(node.run_dir)} characters; a socket path has room for 80, "
            "use a shorter one such as /run/remora"
        )
    return found


def _vip_problems(config: Config) -> list[str]:
    found = []
    seen: dict[object, int] = {}
    addresses: set[Address] = {vip.address for vip in config.vips}
    for i, vip in enumerate(config.vips):
        where = f"vips[{i}]"
        for what, value in (("name", vip.name), ("address, port, protocol", vip.key)):
            if value in seen:
                found.append(f"{where}: {what} {value} stands in vips[{seen[value]}] already")
            seen[value] = i
        if trouble := _no_host(vip.address):
            found.append(f"{where}.address: {vip.address} is {trouble}; use a global or unique one")
        if vip.quorum > len(vip.reals):
            found.append(
                f"{where}.quorum: {vip.quorum} reals are needed, {len(vip.reals)} are listed: "
                "the VIP could never be announced"
            )
        found += _policy_problems(vip, where)
        found += vip_option_problems(vip, where)
        found += check_problems(vip, where)
        found += _real_problems(vip, where, addresses)
    found += overlap_problems(config)
    total = sum(len(vip.reals) for vip in config.vips)
    if total > MAX_REALS:
        found.append(f"vips: {total} reals in all, at most {MAX_REALS} fit the maps")
    return found


def _policy_problems(vip: Vip, where: str) -> list[str]:
    """Quorum, panic and slow start together."""
    found = []
    if vip.comes_at > len(vip.reals):
        found.append(
            f"{where}.announce_at: {vip.comes_at} reals are needed, {len(vip.reals)} are listed: "
            "the VIP could never be announced"
        )
    if vip.leaves_below > vip.comes_at:
        found.append(
            f"{where}.withdraw_below: {vip.leaves_below} is more than announce_at "
            f"({vip.comes_at}): the route would come and go; make it smaller"
        )
    if vip.panic and vip.all_down == "drop":
        found.append(
            f'{where}.panic: with all_down = "drop" it would drop what the reals that are up could '
            'serve; take it out, or choose all_down = "fail-open" or "withdraw"'
        )
    if 0 < vip.ramp < 10:
        found.append(
            f"{where}.ramp: {vip.ramp} s in {RAMP_STEPS} steps is too quick to be one; make it 10 "
            "or more, or 0 for none"
        )
    return found


def _real_problems(vip: Vip, where: str, vip_addresses: set[Address]) -> list[str]:
    found = []
    listed: set[Address] = set()
    for j, real in enumerate(vip.reals):
        key = f"{where}.reals[{j}].address"
        if real.address in listed:
            found.append(f"{key}: {real.address} is listed twice; raise its weight instead")
        if real.address in vip_addresses:
            found.append(f"{key}: {real.address} is a VIP address: packets would loop; use its own")
        if trouble := _no_host(real.address):
            found.append(
                f"{key}: {real.address} is {trouble}, not an address by which packets reach a "
                "machine; use such a one"
            )
        listed.add(real.address)
    return found


def _no_host(address: Address) -> str:
    """Why no packet can be sent to a machine by this address from afar; else empty."""
    for trouble in ("multicast", "unspecified", "loopback", "link_local"):
        if getattr(address, f"is_{trouble}"):
            return trouble.replace("_", "-")
    return "IPv4-mapped" if getattr(address, "ipv4_mapped", None) else ""


def _outer_source_problems(config: Config) -> list[str]:
    """No machine may have an address that goes out as a flow's outer source (P8)."""
    node = config.node
    return [
        f"{key}: {address} lies in node.{name} ({network}); choose a prefix that no machine uses"
        for key, address in _machines(config)
        for name, network in (
            ("outer_source", node.outer_source),
            ("outer_source6", node.outer_source6),
        )
        if address in network
    ]


def _machines(config: Config) -> Iterator[tuple[str, Address]]:
    """Every address in the file that is some machine's, by its key."""
    for i, vip in enumerate(config.vips):
        yield f"vips[{i}].address", vip.address
        for j, real in enumerate(vip.reals):
            yield f"vips[{i}].reals[{j}].address", real.address
    if config.node.gateway_address:
        yield "node.gateway", config.node.gateway_address
    if config.bgp is None:
        return
    if config.bgp.next_hop6:
        yield "bgp.next_hop6", config.bgp.next_hop6
    for i, peer in enumerate(config.bgp.peers):
        yield f"bgp.peers[{i}].address", peer.address
        yield f"bgp.peers[{i}].local_address", peer.local_address
