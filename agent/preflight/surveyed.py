# SPDX-License-Identifier: Apache-2.0
"""What a survey of a machine brought: the facts that preflight judges.  Values only.

None means that it could not be found out (no such file in this namespace, another driver), which
is no finding by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Kernel(NamedTuple):
    release: str
    btf: bool
    jited: bool | None
    """Whether a program that was loaded now got compiled; None: none could be loaded."""
    errors: Mapping[str, str]
    """Functional probe (`maps`, `programs`, `ring buffer`, `mapped arrays`) -> why it failed."""


class Pins(NamedTuple):
    path: str
    filesystem: str
    """Type of the filesystem there: `bpf` is right."""
    default: bool
    """/sys/fs/bpf, which the agent mounts itself."""


class Compiler(NamedTuple):
    error: str
    """Empty: pass.c was compiled, loaded and pinned, all by the loader child."""
    ms: float
    tried: bool = True


class Amount(NamedTuple):
    now: int
    most: int


class Queues(NamedTuple):
    """Receive queues."""

    kind: str
    """combined (with transmission) | rx: how ethtool -L calls them."""
    now: int
    most: int


class Irq(NamedTuple):
    number: int
    name: str
    """Its driver's: `virtio2-input.0`; empty: nobody uses it."""
    cpus: str
    """That take it, as a list (`0-3`)."""


class Rss(NamedTuple):
    """Receive side scaling: how a NIC spreads flows over its queues."""

    queues: int
    """That its table leads to."""
    udp4_ports: bool | None
    """Whether UDP's ports have a say in the hash; IPv4."""
    udp6_ports: bool | None


class Device(NamedTuple):
    """An interface as the kernel, ethtool and sysfs have it."""

    name: str
    up: bool
    carrier: bool
    mtu: int
    kind: str
    """`veth`, `bond`, ...; empty: a physical one."""
    driver: str
    native: bool | None
    """The driver says that it does XDP (netdev genetlink, Linux 6.3)."""
    xdp: str
    """Mode and name of an attached program; empty: none."""
    xdp_ours: bool | None
    """On a node: this agent's; on a real: one that decapsulates."""
    attach_error: str | None
    """None: attaching was not tried."""
    features: Mapping[str, bool]
    """ethtool -k, by its names."""
    queues: Queues | None
    rings: Mapping[str, Amount]
    """Descriptors of a queue, rx and tx; empty: not known."""
    irqs: tuple[Irq, ...]
    """Its message-signalled interrupts."""
    near_cpus: tuple[int, ...]
    """CPUs that we may use, those on its NUMA node if it has one."""
    rss: Rss | None
    rps: bool | None
    """Receive packet steering is on for a queue."""
    rp_filter: int | None
    """In force: the larger of `all` and the interface's."""
    arp_ignore: int | None


class Gateway(NamedTuple):
    address: str
    mac: str
    error: str
    """Why it could not be resolved, with the remedy."""


class Link(NamedTuple):
    ifindex: int
    up: bool
    carrier: bool
    mtu: int
    kind: str
    """`veth`, `bond`, ...; empty: a physical one."""


class TunnelDevice(NamedTuple):
    name: str
    kind: str
    """ipip | sit | ip6tnl"""
    up: bool


class Network(NamedTuple):
    addresses: tuple[tuple[str, str], ...]
    """(interface, `address/prefix length`)."""
    routes: tuple[tuple[str, str], ...]
    """Of the main table: (interface, destination); the default route is `0.0.0.0/0` or `::/0`."""
    tunnels: tuple[TunnelDevice, ...]
    """That take packets from anywhere."""


class WayTo(NamedTuple):
    interface: str
    gateway: str
    """Empty: on the link itself."""
    neighbour: bool
    """The next hop's MAC is known."""


class Checked(NamedTuple):
    """A real's check, run once."""

    vip: str
    real: str
    ok: bool
    detail: str


class Reached(NamedTuple):
    """Pings to a VIP, encapsulated to one of its reals as clients' packets are."""

    vip: str
    """Its address."""
    real: str
    plain: bool
    """From this node's own address: the real answered."""
    spread: bool
    """From an outer source as the data plane takes them."""
    full: bool
    """And as large as the underlay carries."""
    size: int
    """Bytes of that, outer header included."""


class PeerAnswer(NamedTuple):
    peer: str
    local: str
    error: str
    """Empty: its port accepts, or a session stands."""
    port: int = 179


class Place(NamedTuple):
    """A directory of the config."""

    key: str
    path: str
    error: str
    """Empty: a file can be written there."""


class Limits(NamedTuple):
    files: int
    """RLIMIT_NOFILE, soft."""
    memlock: int | None
    """RLIMIT_MEMLOCK, soft, bytes; None: unlimited."""


class NodeSurvey(NamedTuple):
    root: bool
    cpus: int
    kernel: Kernel
    pins: Pins
    compiler: Compiler
    device: Device | None
    """None: no such interface in this network namespace."""
    gateway: Gateway
    network: Network
    irqbalance: bool
    """Runs: it moves interrupts as it likes."""
    paths: Mapping[str, WayTo | None]
    """Address of a real, or of a VIP that checks ask -> way to it; None: no route."""
    checked: tuple[Checked, ...]
    reached: tuple[Reached, ...]
    """One per real and family of VIPs; empty: not tried."""
    exabgp: str
    """Its version; empty: not found."""
    peers: tuple[PeerAnswer, ...]
    places: tuple[Place, ...]
    clock: bool | None
    """The kernel's clock is synchronised."""
    limits: Limits


class Listener(NamedTuple):
    protocol: str
    port: int


class RealSurvey(NamedTuple):
    vip: str
    interface: str
    """Where encapsulated packets arrive; empty: none found."""
    device: Device | None
    network: Network
    tunnel_rp_filter: Mapping[str, int]
    """In force, of each tunnel device."""
    outer: int
    """4 | 6: the outer header's version."""
    gue_port: int
    """0: no GUE."""
    fou: bool
    """A UDP socket takes that port."""
    listeners: tuple[Listener, ...]
    """Sockets that take packets for the VIP address."""
