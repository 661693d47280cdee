# SPDX-License-Identifier: Apache-2.0
"""What must be right on a machine before traffic: survey -> findings.  Pure.

Rules only; survey.py reads the machine.  A fact that is not known is a note at most.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from agent.config.tree import Config
from agent.preflight import rules_network, rules_service, rules_tunnel
from agent.preflight.findings import Finding
from agent.preflight.rules_host import host
from agent.preflight.rules_real import real
from agent.preflight.surveyed import Listener, NodeSurvey, RealSurvey
from shared.model import Protocol


def judge_node(config: Config, survey: NodeSurvey) -> tuple[Finding, ...]:
    """An edge node: from the kernel up to the BGP peers."""
    findings = [
        *host(
            root=survey.root,
            kernel=survey.kernel,
            pins=survey.pins,
            compiler=survey.compiler,
            places=survey.places,
            limits=survey.limits,
            clock=survey.clock,
            reals=sum(len(vip.reals) for vip in config.vips),
        ),
        *rules_network.interface(
            *(config.node, rules_network.outer_size(config), survey.device, survey.cpus),
            udp=any(vip.protocol is Protocol.UDP for vip in config.vips),
            irqbalance=survey.irqbalance,
        ),
        rules_network.gateway(survey.gateway),
        *rules_network.outer_sources(config, survey.network),
        *rules_service.reals(config, survey.paths, survey.checked),
        *rules_tunnel.tunnel(config, survey.paths, survey.network, survey.device),
        *rules_tunnel.reached(config.node, survey.reached),
    ]
    if config.bgp:
        findings.append(rules_network.exabgp(survey.exabgp))
        findings += rules_service.peers(survey.peers)
    return tuple(findings)


def judge_real(survey: RealSurvey, wanted: Listener | None) -> tuple[Finding, ...]:
    """A real, for one VIP address."""
    return tuple(real(survey, wanted))


_SERVICE = re.compile(r"(?P<port>\d{1,5})(/(?P<protocol>tcp|udp))?")


def service(text: str) -> tuple[str, Listener | None]:
    """`10.200.0.1`, `10.200.0.1:53/udp`, `[2001:db8::1]:80` -> VIP address, and the service.

    Raises ValueError.
    """
    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    vip = str(ip_address(address))
    if not port:
        return vip, None
    found = _SERVICE.fullmatch(port)
    if not found or not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"{port!r} is no port; write ADDRESS:80 or ADDRESS:53/udp")
    return vip, Listener(found["protocol"] or "tcp", int(found["port"]))
