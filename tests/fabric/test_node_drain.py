# SPDX-License-Identifier: Apache-2.0
"""A node leaves service, step by step, seen from the router and the client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.messages import Drain, Undrain
from tests.fabric import bird, load, wire
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE, OTHER = "lb1", "lb2"
SHUT = "(65535,0)"


@contextmanager
def leaving(fabric: Fabric) -> Iterator[None]:
    """The node was told to drain; afterwards it is in service."""
    told = wire.ask(fabric.agents[NODE].address, Drain(node=True))
    assert told.status == "applied", told
    try:
        yield
    finally:
        undone = wire.ask(fabric.agents[NODE].address, Undrain(node=True))
        assert undone.status in ("applied", "unchanged"), undone
        fabric.await_routes()


def phase(fabric: Fabric) -> str:
    return fabric.look(NODE).node.phase


def brought(fabric: Fabric, vip: str = t.WEB) -> dict[str, str]:
    """Attributes of the node's route at the router; empty: there is none."""
    return bird.attributes(fabric.place, vip, NODE)


def flaps(fabric: Fabric) -> int:
    """How often the router saw the node's session go down or a route of it withdrawn."""
    log = (fabric.place / "bird.log").read_text(errors="replace")
    return log.count(f"{NODE}: State changed to stop") + bird.withdrawals(fabric.place, NODE)


def test_h3_a_node_is_drained_without_a_lost_request(fabric: Fabric) -> None:
    """H3: GRACEFUL_SHUTDOWN at the router moves the traffic while the route stands; then quiet,
    withdrawn, drained; the client loses nothing, back and forth."""
    with fabric.load(rate=100, downloads=1, datagrams=100) as running:
        until(lambda: len(running.records()) >= 200, 20, "200 requests")
        with leaving(fabric):
            until(lambda: brought(fabric).get("community") == SHUT, 5, "65535:0 at the router")
            assert phase(fabric) == "shutting"
            until(lambda: fabric.routes() == {OTHER}, 5, "packets by the other node only")
            assert brought(fabric), "the route stands while the traffic moves"
            until(lambda: phase(fabric) == "withdrawn", 20, "quiet, withdrawn")
            until(lambda: not brought(fabric), 5, "no route of the node at the router")
            until(lambda: phase(fabric) == "drained", 20, "drained")
            have = len(running.records())
            until(lambda: len(running.records()) >= have + 100, 20, "100 more requests")
        have = len(running.records())
        until(lambda: len(running.records()) >= have + 200, 20, "200 requests, both nodes again")
        assert load.failures(running.stop()) == []
    assert "community" not in brought(fabric)


def test_h3_an_abort_while_it_asks_for_other_paths_is_no_flap(fabric: Fabric) -> None:
    """H3: back in service before the withdrawal: the route is replaced twice, never withdrawn."""
    before, told = flaps(fabric), bird.updates(fabric.place, NODE)
    with leaving(fabric):
        until(lambda: brought(fabric).get("community") == SHUT, 5, "65535:0 at the router")
        assert phase(fabric) == "shutting"
    assert phase(fabric) == ""
    both = told + 4
    until(lambda: bird.updates(fabric.place, NODE) >= both, 5, "two addresses, there and back")
    assert "community" not in brought(fabric)
    assert flaps(fabric) == before
    assert bird.updates(fabric.place, NODE) == both


@pytest.mark.parametrize("reached", ["withdrawn", "drained"])
def test_h3_an_abort_later_brings_the_route_back_once(fabric: Fabric, reached: str) -> None:
    with leaving(fabric):
        until(lambda: phase(fabric) == reached, 30, reached)
        until(lambda: not brought(fabric), 5, "no route of the node at the router")
        until(lambda: not brought(fabric, t.ECHO), 5, "none of the other VIP")
        told = bird.updates(fabric.place, NODE)
    assert "community" not in brought(fabric)
    assert bird.updates(fabric.place, NODE) == told + 2, "each address once"


def test_h3_a_restart_does_not_bring_back_what_was_withdrawn(fabric: Fabric) -> None:
    with leaving(fabric):
        until(lambda: phase(fabric) == "drained", 30, "drained")
        told = bird.updates(fabric.place, NODE)
        agent = fabric.agents[NODE]
        agent.kill()
        agent.start()
        assert phase(fabric) == "withdrawn" or phase(fabric) == "drained"
        until(lambda: phase(fabric) == "drained", 30, "drained again")
        assert bird.updates(fabric.place, NODE) == told
        assert fabric.routes() == {OTHER}


def test_h3_a_vip_is_drained_alone(fabric: Fabric) -> None:
    address = fabric.agents[NODE].address
    assert wire.ask(address, Drain(vip="web")).status == "applied"
    try:
        until(lambda: fabric.look(NODE).vips["web"].phase == "drained", 30, "the VIP drained")
        until(lambda: fabric.routes(t.WEB) == {OTHER}, 5, "its route gone")
        assert fabric.routes(t.ECHO) == {NODE, OTHER}
    finally:
        assert wire.ask(address, Undrain(vip="web")).status == "applied"
    fabric.await_routes()


def test_the_cli_drains_a_node_and_waits_for_it(fabric: Fabric) -> None:
    """`remora drain node/lb1 --wait=drained`, and back with `undrain`; connections that the routers
    moved to the other node are still in this one's table, and not waited for."""
    with fabric.load(rate=50, downloads=2) as running:
        until(lambda: fabric.look(NODE).node.live_flows > 0, 20, "flows on the node")
        done = fabric.cli(
            "drain", f"node/{NODE}", "--yes", "--reason", "test", "--wait=drained", seconds=90
        )
        try:
            assert done.returncode == 0, done.stderr
            assert f"{NODE}: accepted -> applied -> verified" in done.stdout, "its routes too"
            assert "node enabled -> draining" in " ".join(done.stdout.split())
            assert f"{NODE} drained, after" in done.stderr
            assert phase(fabric) == "drained"
        finally:
            assert fabric.cli("undrain", f"node/{NODE}", "--yes").returncode == 0
        fabric.await_routes()
        assert load.failures(running.stop()) == []


def test_the_cli_changes_for_a_while_and_reloads(fabric: Fabric) -> None:
    """`--for`, `vip/`, `maint`, `confirm`, `reload`, `rollback`: words that reach the agents."""
    real = f"real/{t.real('r1').address}@web"
    plain = ("--yes", "--reason", "test")
    assert fabric.cli("weight", real, "50", *plain, "--for", "2s").returncode == 0
    until(lambda: _weight(fabric) == 100, 10, "the weight as before")
    assert fabric.cli("drain", real, *plain, "--confirm-within", "60s").returncode == 0
    confirmed = fabric.cli("confirm")
    assert (confirmed.returncode, confirmed.stdout.count("it stays")) == (0, 2), confirmed
    assert fabric.cli("undrain", real, *plain).returncode == 0
    refused = fabric.cli("weight", real, "50", *plain, "--allow", "nonsense")
    assert refused.returncode == 4
    assert "no such guard" in refused.stderr
    unchanged = fabric.cli("reload", f"node/{NODE}", f"node/{OTHER}", *plain)
    assert unchanged.returncode == 0, unchanged.stderr
    assert "already so" in unchanged.stderr


def _weight(fabric: Fabric) -> int:
    return fabric.look(NODE).reals["web", t.real("r1").address].weight
