# SPDX-License-Identifier: Apache-2.0
"""The next hop changes its hardware address, as when a router fails over."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.fabric import load, netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
ANOTHER = "02:00:00:00:be:ef"


def _mac() -> str:
    shown = subprocess.run(
        ["ip", "-n", t.ROUTER, "-j", "link", "show", NODE], capture_output=True, check=True
    )
    return str(json.loads(shown.stdout)[0]["address"])


def _served_by(fabric: Fabric) -> bool:
    """Whether requests by way of the node are answered."""
    with fabric.only_via(NODE), fabric.load(rate=50) as running:
        until(lambda: len(running.records()) >= 10, 30, "10 requests")
        return not load.failures(running.stop())


def test_the_node_follows_its_gateway_to_another_mac(fabric: Fabric) -> None:
    """Within the agent's look-out (2 s) and the kernel's own discovery, without a restart."""
    before = _mac()
    netns.ip(f"link set {NODE} address {ANOTHER}", netns=t.ROUTER)
    try:
        until(lambda: _served_by(fabric), 60, "the node sends to the new address")
    finally:
        netns.ip(f"link set {NODE} address {before}", netns=t.ROUTER)
    until(lambda: _served_by(fabric), 60, "and back")


def test_the_node_follows_its_default_route(fabric: Fabric) -> None:
    """To another router's address, without a restart (node.gateway = "auto")."""
    node, log = t.node(NODE), fabric.agents[NODE].log
    another = node.router_address.rpartition(".")[0] + ".254"
    netns.ip(f"addr add {another}/24 dev {NODE}", netns=t.ROUTER)
    try:
        netns.ip(f"route replace default via {another}", netns=NODE)
        until(lambda: f'what="gateway {another}"' in log.read_text(), 10, "it is followed")
        assert _served_by(fabric)
    finally:
        netns.ip(f"route replace default via {node.router_address}", netns=NODE)
        netns.ip(f"addr del {another}/24 dev {NODE}", netns=t.ROUTER)
    until(lambda: f"instead of {another}" in log.read_text(), 10, "and back")
    until(lambda: _served_by(fabric), 60, "it serves")
