# SPDX-License-Identifier: Apache-2.0
"""From a config to a program on an interface: what a start does before there is an agent."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from msgspec.structs import replace

from agent.boundary import EffectError
from agent.config.tree import Config, Node
from agent.conformance import proof
from agent.dataplane import attach, carry, egress, inherited, loader, pinned
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.maps import DataPlane
from agent.dataplane.packing import Control
from agent.host import netlink

log = logging.getLogger("remora")


def control(config: Config, path: netlink.WayOut) -> Control:
    """The data plane's settings."""
    node = config.node
    rate = config.telemetry.events_per_second
    return Control(
        hash_key=bytes.fromhex(node.hash_key),
        outer_source=node.outer_source,
        outer_source6=node.outer_source6,
        gue_port=node.gue_port,
        underlay_mtu=node.underlay_mtu,
        event_rate=rate,
        event_burst=2 * rate,
        icmp_rate=node.icmp_per_second,
        answer_ping=bool(node.answer_ping),
        gateway_mac=path.gateway_mac,
        own_mac=path.own_mac,
        flow_idle=node.flow_idle,
        flow_rate=round(node.flows_per_cpu / node.turnover) if node.turnover else 0,
    )


def pins(node: Node) -> Path:
    return loader.pins(Path(node.bpffs), node.name)


def load(config: Config, path: netlink.WayOut) -> None:
    """The program of the agent before us, where it is this code; else compile, load and attach by
    the child, after a trial where one runs.  Raises LoadError."""
    node = config.node
    how, before = "loaded", carry.known(node.state_dir)
    with loader.Compiler() as compiler:
        if old := carry.other(pins(node)):
            loaded = _take_over(config, path, old, compiler)
        elif there := inherited.inherited(node):
            how, loaded = "kept", _attached(config, there)
        else:
            proof.prove(config, compiler)
            loaded = compiler.load(_request(config, attached=True))
    if not before:
        _begin_knowing(pins(node))
    inherited.remember(node, loaded)
    carry.remember(node.state_dir)
    _say(config, loaded, how)


def _take_over(
    config: Config, path: netlink.WayOut, old: Path, compiler: loader.Compiler
) -> loader.Loaded:
    """From a version with another ABI: with its maps, and in one step on the interface.

    The program is attached last, when every setting is where it looks for it.  Until then the old
    one serves, and a failure leaves it alone.
    """
    node, new = config.node, pins(config.node)
    if wrong := carry.differing(node.state_dir, old):
        raise carry.refused(old, wrong)
    proof.prove(config, compiler, always=True)
    try:
        carried = carry.carry(node.state_dir, old, new)
        loaded = compiler.load(_request(config, attached=False))
        dataplane = DataPlane(new)
        dataplane.know_flows_from(carry.warm_at(node.state_dir, old))
        dataplane.configure(control(config, path))
        dataplane.close()
    except (loader.LoadError, EffectError) as error:
        pinned.remove(new)
        raise loader.LoadError(str(error)) from error
    carry.carry_links(old, new)
    loaded = _attached(config, loaded)
    pinned.remove(old)
    log.info("taken over from=%s maps=%s", old.name, ",".join(carried))
    return loaded


def _begin_knowing(pins: Path) -> None:
    """Nothing was ever placed by this node: no flow is older than its table."""
    try:
        dataplane = DataPlane(pins)
        dataplane.know_flows_from(carry.LONG_AGO)
        dataplane.close()
    except EffectError as error:
        raise loader.LoadError(str(error)) from error


def _attached(config: Config, loaded: loader.Loaded) -> loader.Loaded:
    """The pinned programs behind the links, each in one step."""
    node = config.node
    lb, probe = (bpf.obj_get(str(loaded.programs[name].pin)) for name in ("lb", "probe"))
    try:
        mode = attach.attach(pins(node), node.interface, node.xdp_mode, lb)
        no_egress = egress.attach(pins(node), node.interface, probe)
    finally:
        os.close(lb)
        os.close(probe)
    return replace(loaded, mode=mode, no_egress=no_egress)


def _request(config: Config, *, attached: bool) -> loader.Request:
    node = config.node
    return loader.Request(
        pins=pins(node),
        sources=(*loader.BALANCER, "probe.c"),
        flows_per_cpu=node.flows_per_cpu,
        attach=loader.Attach(node.interface, node.xdp_mode) if attached else None,
    )


def _say(config: Config, loaded: loader.Loaded, how: str) -> None:
    for name, program in loaded.programs.items():
        log.info("%s program=%s tag=%s instructions=%d", how, name, *program[1:])
    log.info(
        "attached interface=%s mode=%s created=%s adopted=%s ms=%.0f",
        config.node.interface,
        loaded.mode,
        ",".join(loaded.created) or "-",
        ",".join(loaded.adopted) or "-",
        loaded.compile_ms + loaded.load_ms,
    )
    if not loaded.no_egress:
        return
    interface = config.node.interface
    refused = f"interface {interface}: checks cannot go through the tunnel: {loaded.no_egress}"
    for vip in config.vips:
        if vip.check.via != "direct" and vip.check.kind not in ("exec", "file"):
            raise loader.LoadError(f'{refused}; set via = "direct" in the check of {vip.name}')
    log.warning("%s", refused)
