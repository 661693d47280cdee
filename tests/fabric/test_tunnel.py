# SPDX-License-Identifier: Apache-2.0
"""Checks through the tunnel: what a check of the real's own address cannot see."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from agent.boundary import Probed
from agent.checks.probe import probe
from agent.config.check_table import Check
from agent.dataplane import loader
from agent.dataplane.tunnel import Tunnel
from agent.nouns import Asking, Target, VipKey
from shared.model import Health, Protocol
from tests.fabric import load, netns, xdp
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE, BROKEN = "lb1", "r2"
NOTICED = t.CHECK_FALL * 2 * t.CHECK_INTERVAL + 1.0
"""Seconds: each of the failing checks waits for its time-out, which is as long as the interval."""


def row(fabric: Fabric, node: str, real: str = BROKEN, vip: str = "web") -> tuple[Health, str]:
    """(health, the last check's words) of a real."""
    found = fabric.look(node).reals[vip, t.real(real).address]
    return found.health, found.check


def ask(real: str, via: str, vip: str = t.WEB) -> Probed:
    """One check from the node, with the numbers that its maps have."""
    check = Check(kind="http", via=via, path="/healthz")  # type: ignore[arg-type]
    key = VipKey(ip_address(vip), t.WEB_PORT, Protocol.TCP)
    with netns.inside(NODE):
        return asyncio.run(
            probe(Asking(Target("web", ip_address(t.real(real).address)), key, check), None)
        )


def test_broken_decapsulation_takes_the_real_out(fabric: Fabric) -> None:
    """The application answers at its own address; clients would not be served, and are not sent."""
    with fabric.load(rate=60) as running, xdp.without_decap(fabric.pins, BROKEN):
        broke = time.monotonic()
        for node in t.NODES:
            until(lambda node=node: row(fabric, node)[0] is Health.DOWN, NOTICED, f"down at {node}")  # type: ignore[misc]
        assert "no answer within" in row(fabric, NODE)[1]
        direct = ask(BROKEN, "direct")
        assert (direct.ok, direct.detail) == (True, "http 200")
        until(
            lambda: sum(r.at > broke + NOTICED for r in running.records()) >= 60,
            NOTICED + 10,
            "60 requests after the time limit",
        )
        late = [record for record in running.records() if record.at > broke + NOTICED]
        assert load.failures(late) == []
        assert load.per_real(late)[BROKEN] == 0
    for node in t.NODES:
        until(lambda node=node: row(fabric, node)[0] is Health.UP, NOTICED, f"up at {node}")  # type: ignore[misc]


@contextmanager
def checked(fabric: Fabric, via: str) -> Iterator[None]:
    """The node's checks by this way, and afterwards as before."""
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    agent.restart_with(before.replace("[vips.check]", f'[vips.check]\nvia = "{via}"'))
    try:
        yield
    finally:
        agent.restart_with(before)


def test_both_ways_say_what_is_wrong(fabric: Fabric) -> None:
    with checked(fabric, "both"):
        until(lambda: row(fabric, NODE)[0] is Health.UP, 10, "up by both ways")
        with xdp.without_decap(fabric.pins, BROKEN):
            until(lambda: row(fabric, NODE)[0] is Health.DOWN, NOTICED, "down")
            said = row(fabric, NODE)[1]
            assert said.startswith("the application answers (http 200), the tunnel path does not")
            assert "decap" in said
        until(lambda: row(fabric, NODE)[0] is Health.UP, NOTICED, "up again")


def test_a_direct_check_does_not_see_it(fabric: Fabric) -> None:
    """Why the tunnel is the default."""
    with checked(fabric, "direct"), xdp.without_decap(fabric.pins, BROKEN):
        until(lambda: row(fabric, "lb2")[0] is Health.DOWN, NOTICED, "down at the other node")
        assert row(fabric, NODE) == (Health.UP, "http 200")
    until(lambda: row(fabric, "lb2")[0] is Health.UP, NOTICED, "up at the other node")


def test_f5_the_checks_go_on_over_a_crash(fabric: Fabric) -> None:
    """F5: the program at the egress stays, and the next agent takes it over."""
    agent = fabric.agents[NODE]
    pins = loader.pins(fabric.place / "bpffs", NODE)
    tunnel = Tunnel(pins, "eth0", t.UNDERLAY_MTU)
    before = tunnel.counts()
    assert before.sent > 0
    agent.kill()
    assert (pins / "link_egress_eth0").exists()
    agent.start()
    until(lambda: tunnel.counts().sent > before.sent, 10, "checks are sent again")
    assert tunnel.counts()[1:] == before[1:], "nothing was dropped"


def test_an_unmarked_packet_to_the_vip_goes_its_way(fabric: Fabric) -> None:
    """P5: what others on the node send to a VIP is not touched: the router has it balanced."""
    with netns.inside(NODE):
        connection = socket.create_connection((t.WEB, t.WEB_PORT), timeout=20)
    with connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
