# SPDX-License-Identifier: Apache-2.0
"""Network namespaces and links, by ip(8): made once, gone with the enclosure.

Holds the platform's rules for XDP on veth pairs: queues before any program, MTU for the outer
header, no transmit checksum offload towards or from a balancer (an encapsulated packet would leave
with only the pseudo-header's sum).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.fabric import topology as t

_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17
_QUEUES = 2
_ROUTER_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # ECMP by the 5-tuple and nothing else.  Policy 1 would take the packet's hash where there is
    # one: the same that picks the CPU (a node would use one CPU only), and new after a time-out.
    "net/ipv4/fib_multipath_hash_policy": "3",
    "net/ipv4/fib_multipath_hash_fields": str(0x37),
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv6/conf/all/forwarding": "1",
    # A link that a test takes down comes up as it was.
    "net/ipv6/conf/all/keep_addr_on_down": "1",
    "net/ipv6/conf/default/keep_addr_on_down": "1",
    "net/ipv6/fib_multipath_hash_policy": "3",
    "net/ipv6/fib_multipath_hash_fields": str(0x37),
}

_libc = ctypes.CDLL(None, use_errno=True)


def build() -> None:
    """Make every namespace, link, address and route.  About 0.2 s."""
    names = [t.ROUTER, *(machine.name for machine in t.MACHINES)]
    ip(*(f"netns add {name}" for name in names))
    for name in names:
        # Without it IPv6 addresses are unusable for the first two seconds.
        sysctl(name, {"net/ipv6/conf/default/accept_dad": "0"})
        ip("link set lo up", netns=name)
    sysctl(t.ROUTER, _ROUTER_SYSCTLS)
    for machine in t.MACHINES:
        _connect(machine)
    for name in t.REALS:
        vips = (f"{t.WEB}/32", f"{t.ECHO}/32", f"{t.MIXED}/32", f"{t.WEB6}/128")
        ip(*(f"addr add {vip} dev lo" for vip in vips), netns=name)
    _flows_to_cpus()
    for name in t.NODES:
        with inside(t.ROUTER):
            _transmit_checksum_off(name)
        with inside(name):  # checks through the tunnel: a real's XDP cannot complete a checksum
            _transmit_checksum_off("eth0")


Picture = dict[str, frozenset[str]]
"""Of each namespace, a line for each link, address and route that it has."""


def picture() -> Picture:
    """What is there now; equal to another while nobody changed anything."""
    return {name: frozenset(_lines(name)) for name in (t.ROUTER, *(m.name for m in t.MACHINES))}


def _lines(netns: str) -> Iterator[str]:
    for link in _shown(netns, "address"):
        name = link["ifname"]
        yield f"link {name} {link['mtu']} {link['operstate']} {link.get('address')}"
        yield from (f"address {name} {a['local']}/{a['prefixlen']}" for a in link["addr_info"])
    for family in ("-4", "-6"):
        for route in _shown(netns, family, "route"):
            hops = sorted(
                f"{hop.get('gateway')} {hop.get('dev')}" for hop in route.get("nexthops", [route])
            )
            yield f"route {route['dst']} {route.get('metric')} {hops}"


def _shown(netns: str, *words: str) -> list[dict[str, Any]]:
    answer = subprocess.run(
        ["ip", "-n", netns, "-j", *words, "show"], check=True, capture_output=True
    )
    shown: list[dict[str, Any]] = json.loads(answer.stdout or "[]")
    return shown


def ip(*commands: str, netns: str = "") -> None:
    """Run ip(8) commands as one batch.  Raises CalledProcessError with ip's words in stderr."""
    where = ["-n", netns] if netns else []
    subprocess.run(
        ["ip", *where, "-batch", "-"],
        input="\n".join(commands) + "\n",
        text=True,
        check=True,
        capture_output=True,
    )


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """This thread's network is that of `netns`.  Not for code that reads /sys/class/net."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        try:
            _setns(there)
        finally:
            os.close(there)
        yield
    finally:
        _setns(back)
        os.close(back)


def spawn(
    netns: str,
    command: Sequence[str],
    *,
    log: IO[bytes] | int,
    env: dict[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a daemon in a namespace; `ip netns exec` becomes it, so the pid is the daemon's.

    In a session of its own: a Ctrl-C at the terminal is for the demo, which ends all in order.
    """
    return subprocess.Popen(
        ["ip", "netns", "exec", netns, *command],
        stdin=stdin,
        stdout=log if stdout is None else stdout,
        stderr=log,
        env=env,
        start_new_session=True,
    )


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def sysctl(netns: str, values: dict[str, str]) -> None:
    """Names as below /proc/sys; only what belongs to a network namespace."""
    with inside(netns):
        for name, value in values.items():
            Path("/proc/sys", name).write_text(value)


def _connect(machine: t.Machine) -> None:
    size = f"numrxqueues {_QUEUES} numtxqueues {_QUEUES} mtu {machine.mtu}"
    ip(
        f"link add {machine.name} {size} type veth peer name eth0 {size} netns {machine.name}",
        f"addr add {machine.router_address}/24 dev {machine.name}",
        f"addr add {machine.router_address6}/64 dev {machine.name}",
        f"link set {machine.name} up",
        netns=t.ROUTER,
    )
    ip(
        f"addr add {machine.address}/24 dev eth0",
        f"addr add {machine.address6}/64 dev eth0",
        "link set eth0 up",
        f"route add default via {machine.router_address}",
        f"route add default via {machine.router_address6}",
        netns=machine.name,
    )


def _flows_to_cpus() -> None:
    """The router takes each flow of the client on one CPU, by hash (RPS), as a NIC's RSS does, and
    each CPU sends to the nodes by a queue of its own (XPS).

    Without RPS a packet goes all the way, the nodes' XDP included, on the CPU of its sender, and a
    flow changes CPUs, and with them flow tables, whenever the scheduler moves the sender.  Without
    XPS a queue's packets are taken by whichever CPU was there first.
    """
    cpus = min(os.cpu_count() or 1, _QUEUES)
    lines = [f"for q in {_queues(t.CLIENT)}/rx-*; do echo {(1 << cpus) - 1:x} > $q/rps_cpus; done"]
    for node in t.NODES:
        lines += [f"echo {1 << n:x} > {_queues(node)}/tx-{n}/xps_cpus" for n in range(cpus)]
    script = "\n".join(lines)
    # /sys shows the devices of the namespace that was entered when it was mounted: `exec` mounts it
    subprocess.run(["ip", "netns", "exec", t.ROUTER, "sh", "-ec", script], check=True)


def _queues(interface: str) -> str:
    return f"/sys/class/net/{interface}/queues"


def _transmit_checksum_off(interface: str) -> None:
    """`ethtool -K INTERFACE tx off` (linux/ethtool.h: struct ethtool_value in struct ifreq)."""
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0), 8)
    request = struct.pack("=16sQ16x", interface.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
