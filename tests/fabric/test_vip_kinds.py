# SPDX-License-Identifier: Apache-2.0
"""VIPs that are more than an address and a port, on the real network: a network with all ports, one
whose flows are hardly stored, one that the node itself is a real of."""

from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

import pytest

from agent.dataplane import loader, slots
from agent.dataplane.maps import DataPlane
from agent.nouns import VipKey
from shared.messages import Drain, Undrain, Weight
from shared.model import RING_SLOTS, Protocol
from tests.fabric import netns, wire
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.service import pattern
from tests.fabric.test_drain import LENGTH, Download
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
OWN = t.node(NODE).address
NET, NETWORK, SELF = "10.200.9.0", "10.200.9.0/28", "10.200.10.1"
CHECK = (
    f'[vips.check]\nkind = "http"\nvia = "direct"\nport = {t.WEB_PORT}\npath = "/healthz"\n'
    f"interval = {t.CHECK_INTERVAL}\ntimeout = {t.CHECK_INTERVAL}\n"
)
SERVER = f"""
import http.server

class Here(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{NODE} itself")

http.server.ThreadingHTTPServer(("", {t.WEB_PORT}), Here).serve_forever()
"""


def extended(text: str) -> str:
    """A node's config with VIP `web` in mode `changed`, and the other two."""
    text = text.replace('name = "web"\n', 'name = "web"\nflow_table = "changed"\n')
    text = text.replace("[node]", "[node]\ndecap = true")
    text += f'\n[[vips]]\nname = "net"\naddress = "{NET}"\nprefix = 28\nport = 0\n{CHECK}'
    text += "".join(f'[[vips.reals]]\naddress = "{t.real(real).address}"\n' for real in t.REALS)
    text += f'\n[[vips]]\nname = "self"\naddress = "{SELF}"\nport = {t.WEB_PORT}\n{CHECK}'
    for address in (OWN, t.real("r1").address):
        text += f'[[vips.reals]]\naddress = "{address}"\n'
    return text


@pytest.fixture(scope="module")
def kinds(lent: Fabric) -> Iterator[Fabric]:
    """One node serves these, and web alone; afterwards as before."""
    fabric = lent
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    for real in t.REALS:
        netns.ip(f"route add local {NETWORK} dev lo", netns=real)
    for name in (NODE, "r1"):
        netns.ip(f"addr add {SELF}/32 dev lo", netns=name)
    with (fabric.place / "self.log").open("ab") as log:
        server = netns.spawn(NODE, [sys.executable, "-c", SERVER], log=log)
    try:
        agent.restart_with(extended(before))
        for vip in (NETWORK, SELF):
            until(lambda vip=vip: fabric.routes(vip) == {NODE}, 20, f"route of {vip}")  # type: ignore[misc]
        until(lambda: _all_up(fabric), 10, "all reals up")
        with fabric.only_via(NODE):
            yield fabric
    finally:
        agent.restart_with(before)
        server.kill()
        server.wait(20)
        for real in t.REALS:
            netns.ip(f"route del local {NETWORK} dev lo", netns=real)
        for name in (NODE, "r1"):
            netns.ip(f"addr del {SELF}/32 dev lo", netns=name)
    until(lambda: not fabric.routes(NETWORK), 10, "the network's route gone")


def _all_up(fabric: Fabric) -> bool:
    rows = fabric.look(NODE).reals.values()
    return len(rows) == 11 and all(row.health == "up" for row in rows)


def test_h2_a_network_of_all_ports_is_announced_and_served(kinds: Fabric) -> None:
    """Every address and every port of it reaches a real, spread over all; its neighbours none."""
    hosts = [f"10.200.9.{n}" for n in range(1, 15)]
    answered = Counter(kinds.request(vip=host) for host in hosts * 4)
    assert set(answered) == set(t.REALS)
    with netns.inside(t.CLIENT), pytest.raises(ConnectionRefusedError):
        socket.create_connection((hosts[0], 4711), timeout=3)  # the real's own refusal
    seen = kinds.look(NODE)
    assert seen.vips["net"].address == NETWORK
    assert seen.vips["net"].new_flows >= len(hosts) * 4 + 1
    with netns.inside(t.CLIENT), pytest.raises(OSError, match=r"timed out|unreachable"):
        socket.create_connection(("10.200.9.17", t.WEB_PORT), timeout=1)


def test_p9_a_node_that_is_a_real_itself_serves_what_it_gets(kinds: Fabric) -> None:
    """Encapsulated to its own address, back by the router, decapsulated, and not balanced again."""
    answered = Counter(kinds.request(vip=SELF) for _ in range(40))
    assert set(answered) == {NODE, "r1"}
    assert min(answered.values()) >= 8


def test_f1_changed_keeps_downloads_over_a_drain_and_many_rings(kinds: Fabric) -> None:
    """Flows that no table holds stay where they are while the ring changes a dozen times."""
    running = [Download() for _ in range(6)]
    drained = running[0].real
    address = t.real(drained).address
    answer = wire.ask(kinds.agents[NODE].address, Drain(real=address, vip="web"))
    assert answer.status == "applied"
    other = next(t.real(real).address for real in t.REALS if real != drained)
    for weight in (60, 120, 50, 110, 70, 140, 60, 130, 80, 120, 100):
        change = Weight(real=other, vip="web", weight=weight)
        assert wire.ask(kinds.agents[NODE].address, change).status == "applied"
    assert drained not in {kinds.request() for _ in range(40)}
    for download in running:
        assert download.finish() == pattern(0, LENGTH), download.real
    done = wire.ask(kinds.agents[NODE].address, Undrain(real=address, vip="web"))
    assert done.status == "applied"
    row = kinds.look(NODE).vips["web"]
    assert row.flow_table == "changed"


def test_f8_slots_remember_no_ring_that_is_over_though_nothing_else_happens(kinds: Fabric) -> None:
    """`flow_idle` after the last change, no sooner, none of its flows needs the table any more."""
    agent = kinds.agents[NODE]
    text = agent.config.read_text()
    agent.restart_with(text.replace("[node]", "[node]\nflow_idle = 3"))
    until(lambda: _all_up(kinds), 10, "all reals up")
    for weight in (40, 100):
        change = Weight(real=t.real("r2").address, vip="web", weight=weight)
        assert wire.ask(agent.address, change).status == "applied"
        assert not _settled(kinds)
        until(lambda: _settled(kinds), 10, "no slot remembers the ring before")


def _settled(fabric: Fabric) -> bool:
    """Of the ring of VIP `web`, in the map."""
    with closing(DataPlane(loader.pins(fabric.place / "bpffs", NODE))) as dataplane:
        key = VipKey(ip_address(t.WEB), t.WEB_PORT, Protocol.TCP)
        row = int(dataplane.rings.in_force[dataplane.owned().vips[key]])
        return slots.settled(dataplane.rings.row(row)[:RING_SLOTS])
