# SPDX-License-Identifier: Apache-2.0
"""From a config to a program on an interface: what a start does before there is an agent."""

from __future__ import annotations

import logging
from pathlib import Path

from agent import conformance, loader, netlink
from agent.config import Config, Node
from agent.packing import Control

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


def load(config: Config) -> None:
    """Compile, load and attach by the child, after a trial where one runs.  Raises LoadError."""
    conformance.prove(config)
    node = config.node
    loaded = loader.load(
        loader.Request(
            pins=pins(node),
            sources=(*loader.BALANCER, "probe.c"),
            flows_per_cpu=node.flows_per_cpu,
            attach=loader.Attach(node.interface, node.xdp_mode),
        )
    )
    conformance.remember(config)
    for name, program in loaded.programs.items():
        log.info("loaded program=%s tag=%s instructions=%d", name, *program[1:])
    log.info(
        "attached interface=%s mode=%s created=%s adopted=%s ms=%.0f",
        node.interface,
        loaded.mode,
        ",".join(loaded.created) or "-",
        ",".join(loaded.adopted) or "-",
        loaded.compile_ms + loaded.load_ms,
    )
    if not loaded.no_egress:
        return
    refused = f"interface {node.interface}: checks cannot go through the tunnel: {loaded.no_egress}"
    for vip in config.vips:
        if vip.check.via != "direct" and vip.check.kind not in ("exec", "file"):
            raise loader.LoadError(f'{refused}; set via = "direct" in the check of {vip.name}')
    log.warning("%s", refused)
