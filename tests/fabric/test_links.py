# SPDX-License-Identifier: Apache-2.0
"""Links go down and come up, the router's speaker dies: the node finds its way back by itself."""

from __future__ import annotations

import pytest

from tests.fabric import bird, load, netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE, OTHER = "lb1", "lb2"


def test_h4_a_link_that_goes_down_and_up(fabric: Fabric) -> None:
    """The other node carries on alone; the link, its route and its flows come back, and it is
    said (the program stays on the interface)."""
    log = fabric.agents[NODE].log
    try:
        netns.ip(f"link set {NODE} down", netns=t.ROUTER)
        until(lambda: fabric.routes() == {OTHER}, 10, "the other node only")
        until(lambda: "link eth0 down" in log.read_text(), 10, "the node says so")
        with fabric.load(rate=50) as running:
            until(lambda: len(running.records()) >= 100, 20, "100 requests")
            assert load.failures(running.stop()) == []
    finally:
        netns.ip(f"link set {NODE} up", netns=t.ROUTER)
    until(lambda: "link eth0 up" in log.read_text(), 10, "up again")
    fabric.await_routes()
    with fabric.only_via(NODE):
        assert {fabric.request() for _ in range(20)} == set(t.REALS)


def test_h4_the_routers_speaker_is_killed_and_comes_back(fabric: Fabric) -> None:
    """H4: sessions and routes return by themselves, each route once; the last error is kept."""
    fabric.router.kill()
    fabric.router.wait(5)
    until(lambda: fabric.look(NODE).node.peers[0].state == "down", 10, "the session is down")
    fabric.router = bird.start(fabric.place)
    fabric.await_routes()
    until(lambda: fabric.look(NODE).node.peers[0].state == "up", 10, "the session is up")
    assert fabric.look(NODE).node.peers[0].error
    assert bird.updates(fabric.place, NODE) == 2, "each address once"
    assert fabric.request() in t.REALS
