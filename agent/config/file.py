# SPDX-License-Identifier: Apache-2.0
"""The agent's config file: TOML -> one frozen tree, or one ConfigError that says what to do.

Every key, its default and its meaning stand in configs/agent.toml; a test compares the two.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.config.bgp_table import Announce, Bgp, BgpPeer
from agent.config.check_table import Check
from agent.config.contradictions import contradictions
from agent.config.drain_table import DrainTable
from agent.config.tables import Address, Name, Port, Table
from agent.core.guard import Limits
from agent.core.policy import AllDown
from agent.nouns import Encap, Hashed, Placing, Quic, Tracking, VipKey, WhenDown
from shared.model import Protocol

MAX_VIPS = 511


class ConfigError(ValueError):
    """The config file is wrong; the text names file, key and value, and what to do."""


class Node(Table, frozen=True, kw_only=True):
    name: Name
    interface: Annotated[str, Meta(pattern=r"^[^\s/.]{1,15}$")]
    xdp_mode: Literal["native", "generic"] = "native"
    gateway: str = "auto"
    underlay_mtu: Annotated[int, Meta(ge=576, le=9000)] = 1500
    outer_source: IPv4Network = IPv4Network("172.16.0.0/16")
    outer_source6: IPv6Network = IPv6Network("100::/64")
    gue_port: Port = 9886
    answer_ping: bool | Literal["announced"] = True
    icmp_per_second: Annotated[int, Meta(ge=0, le=100000)] = 100
    hash_key: Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$")]
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


class QuicCid(Table, frozen=True, kw_only=True):
    scheme: Literal["quic-lb", "cid"]
    id_bytes: Annotated[int, Meta(ge=1, le=8)] = 2
    config: Annotated[int, Meta(ge=0, le=6)] = 0


class Vip(Table, frozen=True, kw_only=True):
    name: Name
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


def read(path: Path) -> Config:
    """Read and check a file.  Raises ConfigError."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def parse(text: str, name: str) -> Config:
    """Check the text of a file called `name`.  Raises ConfigError."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from error
    try:
        config = msgspec.convert(raw, Config, dec_hook=_address)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_explain(str(error), raw)}") from error
    for problem in contradictions(config):
        raise ConfigError(f"{name}: {problem}")
    return config


_ADDRESSES: dict[object, tuple[str, Callable[[str], object]]] = {
    Address: ("an IP address", ip_address),
    IPv4Address: ("an IPv4 address", IPv4Address),
    IPv6Address: ("an IPv6 address", IPv6Address),
    IPv4Network: ("an IPv4 network without host bits", IPv4Network),
    IPv6Network: ("an IPv6 network without host bits", IPv6Network),
}


def _address(kind: type, value: object) -> object:
    what, make = _ADDRESSES[kind]
    if not isinstance(value, str):
        raise ValueError(f"Expected {what} in quotes")  # noqa: TRY004  # as msgspec takes it
    if "%" in value:
        raise ValueError(f"Expected {what} without a zone (%)")
    try:
        return make(value)
    except ValueError:
        raise ValueError(f"Expected {what}") from None


_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]+)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_NAME_RULE = "letters, digits, - and _, at most 32, the first a letter or digit"
_RULES = {
    "protocol": "tcp or udp",
    "kind": "tcp, http, https, tls, dns, udp, exec or file",
    "all_down": "withdraw, fail-open or drop",
    "via": "tunnel, direct or both",
    "status": "codes and ranges such as 200 or 200-399",
    "host": "a host name or address, with a port if need be",
    "sni": "a host name",
    "method": "GET or HEAD",
    "transport": "udp or tcp",
    "record": "a record type in capitals, such as A or SOA",
    "weight_header": "the name of an HTTP header",
    "xdp_mode": "native or generic",
    "encap": "ipip or gue",
    "hash": "flow, source, source+port or port",
    "flow_table": "track, changed or compute",
    "real_down": "migrate or keep",
    "scheme": "quic-lb or cid",
    "answer_ping": 'true, false or "announced"',
    "name": _NAME_RULE,
    "when": "any or all",
    "families": "ipv4 and ipv6",
    "communities": "ASN:VALUE, each 0 to 65535, or no-export, no-advertise, no-peer, blackhole",
    "large_communities": "A:B:C, each 0 to 4294967295",
    "password": "at most 80 visible ASCII characters",
    "hash_key": "32 hexadecimal digits; make one with `openssl rand -hex 16`",
    "interface": "an interface name of at most 15 characters, as `ip link` shows it",
    "path": "an absolute path of visible ASCII characters, such as /healthz",
}
SECRETS = ("hash_key", "password")
"""Never repeated in an error: errors end in logs."""


def _explain(problem: str, raw: dict[str, Any]) -> str:
    """msgspec's words -> `key: what is wrong, got VALUE; remedy`."""
    at = _AT.search(problem)
    path = at["path"] if at else ""
    problem = _AT.sub("", problem)
    if unknown := _UNKNOWN.search(problem):
        return f"{_join(path, unknown['field'])}: unknown key; {_nearest(path, unknown['field'])}"
    if missing := _MISSING.search(problem):
        return f"{_join(path, missing['field'])}: missing; add it (configs/agent.toml explains it)"
    key = path.rsplit(".", 1)[-1].partition("[")[0]
    if "matching regex" in problem or "Invalid enum value" in problem:
        problem = f"Expected {_RULES.get(key, 'another form')}"
    value = _look(raw, path)
    shown = not isinstance(value, dict | list) and key not in SECRETS
    got = f", got {value!r}" if shown else ""
    problem = re.sub(r", got `\w+`$", "", problem)
    return f"{path or 'file'}: {problem[:1].lower()}{problem[1:]}{got}"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


_TABLES: dict[str, type[Table]] = {
    "": Config,
    "node": Node,
    "telemetry": Telemetry,
    "wire": Wire,
    "metrics": Metrics,
    "bgp": Bgp,
    "bgp.announce": Announce,
    "bgp.peers": BgpPeer,
    "vips.announce": Announce,
    "drain": DrainTable,
    "guards": Limits,
    "vips": Vip,
    "vips.quic": QuicCid,
    "vips.check": Check,
    "vips.reals": Real,
}


def _nearest(path: str, field: str) -> str:
    table = _TABLES.get(re.sub(r"\[[^\]]*\]", "", path))
    known = table.__struct_fields__ if table else ()
    near = difflib.get_close_matches(field, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _look(raw: object, path: str) -> object:
    """The value at msgspec's path (`vips[0].reals[1].weight`)."""
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(raw, list) and step.isdigit():
            raw = raw[int(step)]
        elif isinstance(raw, dict) and step in raw:
            raw = raw[step]
        else:
            return {}
    return raw
