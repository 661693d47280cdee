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
    rx_queues: int | None
    rx_queues_most: int | None
    rx_ring: int | None
    rx_ring_most: int | None
    irq_cpus: Mapping[int, str]
    """IRQ -> CPUs that it may go to, as a list (`0-3`)."""
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


class Network(NamedTuple):
    addresses: tuple[tuple[str, str], ...]
    """(interface, `address/prefix length`)."""
    routes: tuple[tuple[str, str], ...]
    """Of the main table: (interface, destination); the default route is `0.0.0.0/0` or `::/0`."""
    tunnels: tuple[tuple[str, bool], ...]
    """IPIP devices that take packets from anywhere: (name, up)."""


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


class PeerAnswer(NamedTuple):
    peer: str
    local: str
    error: str
    """Empty: port 179 accepts, or a session stands."""


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
    paths: Mapping[str, WayTo | None]
    """Address of a real, or of a VIP that checks ask -> way to it; None: no route."""
    checked: tuple[Checked, ...]
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
    """In force, of each IPIP device."""
    listeners: tuple[Listener, ...]
    """Sockets that take packets for the VIP address."""
