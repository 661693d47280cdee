# SPDX-License-Identifier: Apache-2.0
"""Looks at a machine for preflight: every shell is asked once, nothing is decided.

Disturbs nothing: what is attached stays, a BGP session that stands is not connected to, a probe
program is attached only when asked to (`probe`) and only where there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from agent.boundary import EffectError
from agent.checks.probe import probe as check_once
from agent.config.bgp_table import Bgp, BgpPeer
from agent.config.tree import Config, Node
from agent.dataplane import loader, pinned
from agent.dataplane.attach import attached
from agent.host import netlink
from agent.nouns import Asking, Target
from agent.preflight import (
    ethtool,
    read_host,
    read_kernel,
    read_netdev,
    read_network,
    read_tunnel,
)
from agent.preflight.rules_tunnel import asked, encapsulations
from agent.preflight.surveyed import (
    Checked,
    Compiler,
    Device,
    Gateway,
    Listener,
    NodeSurvey,
    PeerAnswer,
    Pins,
    RealSurvey,
)

AT_ONCE = 256
"""Checks under way together."""
CONNECT = 2.0
"""Seconds that a BGP peer has to accept."""
DECAP = "decap"
"""Name of the decapsulating program."""
SYSTEM_BPFFS = "/sys/fs/bpf"


def node(config: Config, *, probe: bool) -> NodeSurvey:
    """An edge node, as its config describes it.  Takes a second or two."""
    listed = config.node
    gateway, checked, peers = asyncio.run(_answers(config))  # ends before pyroute2 has its own loop
    return NodeSurvey(
        root=os.geteuid() == 0,
        cpus=len(os.sched_getaffinity(0)),
        kernel=read_kernel.kernel(),
        pins=_pins(listed),
        compiler=_compiler(listed),
        device=_device(listed.interface, _own_pin(listed), probe=listed.xdp_mode if probe else ""),
        gateway=gateway,
        network=read_network.network(),
        irqbalance=read_host.runs("irqbalance"),
        paths=read_network.paths(
            sorted({str(r.address) for vip in config.vips for r in vip.reals} | {*asked(config)})
        ),
        checked=checked,
        reached=read_tunnel.pings(listed, encapsulations(config)),
        exabgp=_exabgp() if config.bgp else "",
        peers=peers,
        places=tuple(
            read_host.place(key, Path(getattr(listed, key))) for key in ("run_dir", "state_dir")
        ),
        clock=read_host.clock_synchronised(),
        limits=read_host.limits(),
    )


def real(vip: str, interface: str, outer: int, gue_port: int) -> RealSurvey:
    """A real, for a VIP address; an empty interface means that of the default route.

    `outer`: version of the outer header; `gue_port`: 0 without GUE.
    """
    network = read_network.network()
    found = interface or _default_interface(network.routes, outer)
    sockets = read_host.listeners(ip_address("0.0.0.0" if outer == 4 else "::"))
    return RealSurvey(
        vip=vip,
        interface=found,
        device=_device(found, None, probe="") if found else None,
        network=network,
        tunnel_rp_filter={one.name: read_host.rp_filter(one.name) or 0 for one in network.tunnels},
        outer=outer,
        gue_port=gue_port,
        fou=Listener("udp", gue_port) in sockets,
        listeners=read_host.listeners(ip_address(vip)),
    )


def _default_interface(routes: Iterable[tuple[str, str]], version: int) -> str:
    default = "::/0" if version == 6 else "0.0.0.0/0"
    return next((name for name, destination in routes if destination == default), "")


# ---- the interface


def _own_pin(listed: Node) -> Path:
    pins = loader.pins(Path(listed.bpffs), listed.name)
    return pins / f"link_{listed.interface}"


def _device(name: str, own: Path | None, *, probe: str) -> Device | None:
    """`own`: the pinned link of this node's program; None: on a real, whose program is decap."""
    link = read_network.link_of(name)
    if link is None:
        return None
    xdp, ours = _xdp(link.ifindex, own)
    return Device(
        name=name,
        up=link.up,
        carrier=link.carrier,
        mtu=link.mtu,
        kind=link.kind,
        driver=ethtool.driver(name),
        native=read_netdev.has_native_xdp(link.ifindex),
        xdp=xdp,
        xdp_ours=ours,
        attach_error=read_kernel.attach_for_a_moment(link.ifindex, probe)
        if probe and not xdp
        else None,
        features=ethtool.features(name),
        queues=ethtool.queues(name),
        rings=ethtool.rings(name),
        irqs=read_host.irqs(name),
        near_cpus=read_host.near_cpus(name),
        rss=ethtool.rss(name),
        rps=read_host.rps(name),
        rp_filter=read_host.rp_filter(name),
        arp_ignore=read_host.arp_ignore(name),
    )


def _xdp(index: int, own: Path | None) -> tuple[str, bool | None]:
    now = attached(index)
    if now is None:
        return "", False
    name = read_kernel.program_name(now.prog_id)
    return f"{name or f'program {now.prog_id}'}, {now.mode}", _ours(name, now.prog_id, own)


def _ours(name: str, prog_id: int, own: Path | None) -> bool | None:
    if own is None:
        return name == DECAP if name else None
    linked = read_kernel.linked_program(own)
    return None if linked is None else linked == prog_id


async def _gateway(listed: Node) -> Gateway:
    try:
        found = await netlink.resolve(listed.interface, listed.gateway_address)
    except EffectError as error:
        return Gateway(listed.gateway, "", str(error))
    return Gateway(found.gateway, found.gateway_mac.hex(":"), "")


# ---- compiler and pins


def _pins(listed: Node) -> Pins:
    default = Path(listed.bpffs) == Path(SYSTEM_BPFFS)
    return Pins(listed.bpffs, read_host.filesystem(Path(listed.bpffs)), default)


def _compiler(listed: Node) -> Compiler:
    """Let the loader child compile, load and pin pass.c, in a directory of its own."""
    place = Path(listed.bpffs) / "remora" / listed.name
    if read_host.filesystem(Path(listed.bpffs)) != "bpf":
        return Compiler("", 0.0, tried=False)
    _sweep(place)
    pins = place / f"preflight-{os.getpid()}"
    try:
        loaded = loader.load(loader.Request(pins=pins, sources=("pass.c",)))
        return Compiler("", loaded.compile_ms + loaded.load_ms)
    except loader.LoadError as error:
        return Compiler(str(error), 0.0)
    finally:
        _remove(pins)


def _sweep(place: Path) -> None:
    """What a killed preflight left.  Who may not look there cannot compile either, and is told."""
    with contextlib.suppress(OSError):
        for left in place.glob("preflight-*"):
            if not Path(f"/proc/{left.name.removeprefix('preflight-')}").exists():
                _remove(left)


def _remove(pins: Path) -> None:
    with contextlib.suppress(OSError):
        pinned.remove(pins)
    for parent in list(pins.parents)[:2]:  # <node> and remora, unless others use them
        with contextlib.suppress(OSError):
            parent.rmdir()


# ---- reals and peers


async def _answers(
    config: Config,
) -> tuple[Gateway, tuple[Checked, ...], tuple[PeerAnswer, ...]]:
    return await asyncio.gather(_gateway(config.node), _checked(config), _peers(config.bgp))


async def _checked(config: Config) -> tuple[Checked, ...]:
    """Run every real's check once."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(asking: Asking) -> Checked:
        async with turn:
            result = await check_once(asking, None)
        return Checked(asking.target.vip, str(asking.target.real), result.ok, result.detail)

    checks = [
        Asking(Target(vip.name, real.address), vip.key, vip.check)
        for vip in config.vips
        for real in vip.reals
    ]
    return tuple(await asyncio.gather(*map(one, checks)))


async def _peers(bgp: Bgp | None) -> tuple[PeerAnswer, ...]:
    return tuple(await asyncio.gather(*map(_peer, bgp.peers))) if bgp else ()


async def _peer(peer: BgpPeer) -> PeerAnswer:
    address, local = str(peer.address), str(peer.local_address)
    error = ""
    if not read_host.connected(address, peer.port):
        try:
            async with asyncio.timeout(CONNECT):
                _, writer = await asyncio.open_connection(address, peer.port, local_addr=(local, 0))
            writer.close()
        except TimeoutError:
            error = f"no answer within {CONNECT:g} s"
        except OSError as refused:
            error = os.strerror(refused.errno).lower() if refused.errno else str(refused)
    return PeerAnswer(address, local, error, peer.port)


def _exabgp() -> str:
    """What the ExaBGP that the agent would start says of its version."""
    beside = Path(sys.executable).with_name("exabgp")
    program = str(beside) if beside.exists() else shutil.which("exabgp")
    if program is None:
        return ""
    try:
        said = subprocess.run(
            [program, "version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = said.stdout.strip().splitlines()
    return lines[0] if said.returncode == 0 and lines else ""
