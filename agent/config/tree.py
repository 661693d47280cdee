# SPDX-License-Identifier: Apache-2.0
"""The config as a frozen tree: what file.py reads, and everybody works by.  Pure.

Every key, its default and its meaning stand in configs/agent.toml; a test compares the two.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.bgp_table import Announce, Bgp
from agent.config.check_table import Check
from agent.config.drain_table import DrainTable
from agent.config.tables import Address, Name, Port, Table
from agent.core.guard import Limits
from agent.core.policy import AllDown
from agent.nouns import Encap, Hashed, Placing, Quic, Tracking, VipKey, WhenDown
from shared.labels import NO_LABELS, Labels
from shared.model import Protocol

MAX_VIPS = 511


class Node(Table, frozen=True, kw_only=True):
    name: Name
    labels: Labels = NO_LABELS
    interface: Annotated[str, Meta(pattern=r"^[^\s/.]{1,15}\Z")]
    xdp_mode: Literal["native", "generic"] = "native"
    gateway: str = "auto"
    underlay_mtu: Annotated[int, Meta(ge=576, le=9000)] = 1500
    outer_source: IPv4Network = IPv4Network("172.16.0.0/16")
    outer_source6: IPv6Network = IPv6Network("100::/64")
    gue_port: Port = 9886
    answer_ping: bool | Literal["announced"] = True
    icmp_per_second: Annotated[int, Meta(ge=0, le=100000)] = 100
    hash_key: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{32}\Z")]
    flows_per_cpu: Annotated[int, Meta(ge=1024, le=1 << 24)] = 262144
    flow_idle: Annotated[float, Meta(ge=1, le=86400)] = 300.0
    turnover: Annotated[float, Meta(ge=0, le=86400)] = 10.0
    decap: bool = False
    bpffs: str = "/sys/fs/bpf"
    run_dir: str
    state_dir: str

    @property
    def gateway_address(self) -> Address | None:
        """The configured next hop; None: that of the default route."""
        return None if self.gateway == "auto" else ip_address(self.gateway)


Hz = Annotated[float, Meta(ge=0.1, le=20)]


class TopicHz(Table, frozen=True, kw_only=True):
    """Snapshots a second of single topics; None: as `hz`."""

    node: Hz | None = None
    vip: Hz | None = None
    real: Hz | None = None
    cpu: Hz | None = None
    flowtable: Hz | None = None
    drop: Hz | None = None


class Telemetry(Table, frozen=True, kw_only=True):
    hz: Hz = 1.0
    topic_hz: TopicHz = TopicHz()
    events_per_second: Annotated[int, Meta(ge=0, le=10000)] = 20
    history_mib: Annotated[int, Meta(ge=0, le=4096)] = 64
    event_log: str = ""

    @property
    def rates(self) -> dict[str, float]:
        """Topic -> snapshots a second."""
        own = msgspec.structs.asdict(self.topic_hz)
        return {topic: self.hz if hz is None else hz for topic, hz in own.items()}


class Wire(Table, frozen=True, kw_only=True):
    listen: str
    secret_key: str = ""
    authorized_keys: str = ""
    insecure: bool = False

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def keyed(self) -> bool:
        return bool(self.secret_key)


class Metrics(Table, frozen=True, kw_only=True):
    listen: str = "127.0.0.1:9469"

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Real(Table, frozen=True, kw_only=True):
    address: Address
    weight: Annotated[int, Meta(ge=1, le=1000)] = 100
    encap: Encap = Encap.IPIP
    capacity: Annotated[int, Meta(ge=0)] = 0
    quic_ids: tuple[Annotated[int, Meta(ge=0, le=(1 << 62) - 1)], ...] = ()
    labels: Labels = NO_LABELS


class QuicCid(Table, frozen=True, kw_only=True):
    scheme: Literal["quic-lb", "cid"]
    id_bytes: Annotated[int, Meta(ge=1, le=8)] = 2
    config: Annotated[int, Meta(ge=0, le=6)] = 0


class Vip(Table, frozen=True, kw_only=True):
    name: Name
    labels: Labels = NO_LABELS
    address: Address
    prefix: Annotated[int, Meta(ge=0, le=128)] = 0
    port: Annotated[int, Meta(ge=0, le=65535)]
    protocol: Protocol = Protocol.TCP
    hash: Hashed = Hashed.FLOW
    flow_table: Tracking = Tracking.TRACK
    real_down: WhenDown = WhenDown.MIGRATE
    udp_idle: Annotated[float, Meta(ge=0, le=86400)] = 120.0
    quic: QuicCid | None = None
    quorum: Annotated[int, Meta(ge=1)] = 1
    announce_at: Annotated[int, Meta(ge=0)] = 0
    withdraw_below: Annotated[int, Meta(ge=0)] = 0
    all_down: AllDown = "withdraw"
    panic: Annotated[int, Meta(ge=0, le=100)] = 0
    ramp: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    check: Check = Check()
    announce: Announce = Announce()
    reals: Annotated[tuple[Real, ...], Meta(min_length=1)]

    @property
    def key(self) -> VipKey:
        return VipKey(self.address, self.port, self.protocol, self.length)

    @property
    def length(self) -> int | None:
        """Prefix length of a network; None: the VIP is one address."""
        return self.prefix if self.prefix not in (0, self.address.max_prefixlen) else None

    @property
    def where(self) -> str:
        """The address, or the network that it begins."""
        return str(self.address) if self.length is None else f"{self.address}/{self.length}"

    @property
    def placing(self) -> Placing:
        """How its packets are placed while nothing is the matter."""
        quic = None
        if self.quic:
            quic = Quic(self.quic.scheme, self.quic.id_bytes, self.quic.config)
        udp_idle = self.udp_idle if self.protocol is Protocol.UDP else 0.0
        return Placing(self.hash, self.flow_table, self.real_down, udp_idle, quic)

    @property
    def comes_at(self) -> int:
        """Reals taking new flows with which its route is announced."""
        return self.announce_at or max(self.quorum, self.leaves_below)

    @property
    def leaves_below(self) -> int:
        """Fewer, and the route is withdrawn."""
        return self.withdraw_below or self.quorum


class Config(Table, frozen=True, kw_only=True):
    node: Node
    telemetry: Telemetry = Telemetry()
    wire: Wire | None = None
    metrics: Metrics | None = None
    bgp: Bgp | None = None
    drain: DrainTable = DrainTable()
    guards: Limits = Limits()
    vips: Annotated[tuple[Vip, ...], Meta(min_length=1, max_length=MAX_VIPS)]
