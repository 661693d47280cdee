# SPDX-License-Identifier: Apache-2.0
"""What is wrong with how a VIP's packets are to be placed: one sentence each.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from agent.config.tree import Config, Vip
from agent.dataplane.abi import MAX_QUIC_IDS
from agent.nouns import Address, Hashed, Tracking, WhenDown
from shared.model import Protocol

_HASHES_PORTS = (Hashed.PORT,)


def vip_option_problems(vip: Vip, where: str) -> Iterator[str]:
    """Of one VIP, apart from the others; `where`: its key."""
    yield from _network_problems(vip, where)
    yield from _quic_problems(vip, where)
    if vip.port == 0 and not vip.check.port and vip.check.kind not in ("exec", "file"):
        yield (
            f"{where}.check.port: needed, for a VIP of all ports (port = 0) has none of its own; "
            "name one on which the reals answer"
        )
    if vip.flow_table is Tracking.COMPUTE and vip.real_down is WhenDown.KEEP:
        yield (
            f'{where}.real_down: "keep" needs to know which flows a real has, and flow_table = '
            '"compute" stores none; choose "migrate", or another flow_table'
        )
    if vip.hash in _HASHES_PORTS and vip.port:
        yield (
            f'{where}.hash: "port" would send all packets of a VIP with one port to one real; '
            "choose another, or port = 0"
        )


def _network_problems(vip: Vip, where: str) -> Iterator[str]:
    if vip.length is None:
        return
    longest = vip.address.max_prefixlen
    if vip.length > longest:
        yield (
            f"{where}.prefix: must be 1 to {longest} for {vip.address}, got {vip.length}; leave it "
            "out for a single address"
        )
        return
    network = ip_network((vip.address, vip.length), strict=False)
    if network.network_address != vip.address:
        yield (
            f"{where}.address: {vip.address} is not where a /{vip.length} begins; "
            f"use {network.network_address}"
        )
    for j, real in enumerate(vip.reals):
        if real.address in network:
            yield (
                f"{where}.reals[{j}].address: {real.address} lies in the VIP's own network "
                f"{network}: packets would loop; use an address outside of it"
            )
    asks = vip.check.kind not in ("exec", "file")
    if asks and vip.check.via != "direct" and vip.check.address is None:
        yield (
            f"{where}.check.address: needed, for the VIP is a network ({network}); name an address "
            'of it that the reals answer on, or check with via = "direct"'
        )


def _quic_problems(vip: Vip, where: str) -> Iterator[str]:
    named = [(j, i) for j, real in enumerate(vip.reals) for i in real.quic_ids]
    if vip.quic is None:
        for j, _ in named[:1]:
            yield f"{where}.reals[{j}].quic_ids: nobody reads them without {where}.quic; add it"
        return
    if vip.protocol is not Protocol.UDP:
        yield f'{where}.quic: QUIC is carried by UDP; set protocol = "udp"'
    owner: dict[int, int] = {}
    largest = (1 << 8 * vip.quic.id_bytes) - 1 if vip.quic.scheme == "quic-lb" else (1 << 32) - 1
    for j, server_id in named:
        key = f"{where}.reals[{j}].quic_ids"
        if owner.setdefault(server_id, j) != j:
            yield f"{key}: {server_id} is reals[{owner[server_id]}]'s already; ids are unique"
        if server_id > largest:
            yield f"{key}: {server_id} is larger than the connection id has room for ({largest})"


def overlap_problems(config: Config) -> Iterator[str]:
    """Of VIPs beside each other."""
    yield from _two_sizes(config)
    yield from _reals_in_others(config)
    count = sum(len(real.quic_ids) for vip in config.vips for real in vip.reals)
    if count > MAX_QUIC_IDS:
        yield f"vips: {count} quic_ids in all, at most {MAX_QUIC_IDS} fit the map; list fewer"


def _reals_in_others(config: Config) -> Iterator[str]:
    """What is encapsulated to a real in a VIP's network comes to a balancer, maybe for ever."""
    networks: dict[int, dict[object, int]] = {}  # length -> network -> its VIP's place
    for j, vip in enumerate(config.vips):
        if vip.length is not None and vip.length <= vip.address.max_prefixlen:
            networks.setdefault(vip.length, {})[_network(vip.address, vip.length)] = j
    for i, vip in enumerate(config.vips):
        for k, real in enumerate(vip.reals):
            for length, known in networks.items():
                network = _network(real.address, min(length, real.address.max_prefixlen))
                if known.get(network, i) != i:
                    yield (
                        f"vips[{i}].reals[{k}].address: {real.address} lies in the network of "
                        f"vips[{known[network]}] ({network}): packets would loop; use an address "
                        "outside of it"
                    )


def _network(address: Address, length: int) -> object:
    return ip_network((address, length), strict=False)


def _two_sizes(config: Config) -> Iterator[str]:
    """One address cannot begin networks of two sizes."""
    sizes: dict[object, tuple[int, int | None]] = {}
    for i, vip in enumerate(config.vips):
        j, prefix = sizes.setdefault(vip.address, (i, vip.length))
        if prefix != vip.length:
            yield (
                f"vips[{i}].prefix: {vip.where} and vips[{j}]'s {config.vips[j].where} begin with "
                "the same address; give the smaller one an address of its own"
            )
