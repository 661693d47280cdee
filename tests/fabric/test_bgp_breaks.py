# SPDX-License-Identifier: Apache-2.0
"""What joins the agent to its routers breaks, piece by piece: seen at the router and the client."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.fabric import bird, load
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.test_reload_settings import file_restored, reload, with_peers
from tests.fabric.test_restarts import more
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"


def bridge(fabric: Fabric) -> int:
    """The pid of the process that ExaBGP started; 0: there is none."""
    exabgp = int((fabric.agents[NODE].run_dir / "exabgp.pid").read_text())
    children = Path(f"/proc/{exabgp}/task/{exabgp}/children").read_text().split()
    return int(children[0]) if children else 0


def test_h4_a_broken_pipe_is_mended_and_nobody_hears_of_it(fabric: Fabric) -> None:
    """H4: the bridge is killed: ExaBGP starts another, routes and session stand, no UPDATE; what
    the agent announces and withdraws afterwards arrives."""
    place, first = fabric.place, bridge(fabric)
    told, since = bird.updates(place, NODE), bird.since(place, NODE)
    with file_restored(fabric) as agent, fabric.load(rate=50, downloads=1) as running:
        os.kill(first, signal.SIGKILL)
        until(lambda: bridge(fabric) not in (0, first), 10, "another bridge")
        more(running, 150)
        assert bird.updates(place, NODE) == told
        assert bird.since(place, NODE) == since
        plain = agent.config.read_text()
        reload(agent, with_peers(plain, "[bgp.announce]\nmed = 11"))
        until(lambda: bird.attributes(place, t.WEB, NODE).get("med") == "11", 10, "the MED")
        until(lambda: bird.updates(place, NODE) == told + 2, 5, "one UPDATE for each route")
        assert bird.since(place, NODE) == since
        assert load.failures(running.stop()) == []


def test_h4_exabgp_is_killed_under_load(fabric: Fabric) -> None:
    """H4: its routes go with it and come back once each; the client loses no request, because the
    other node places every flow alike (F8)."""
    run_dir = fabric.agents[NODE].run_dir
    exabgp = int((run_dir / "exabgp.pid").read_text())
    with fabric.load(rate=50, downloads=1) as running:
        more(running, 100)
        os.kill(exabgp, signal.SIGKILL)
        until(lambda: fabric.routes() == {"lb2"}, 10, "the route is gone")
        fabric.await_routes()
        more(running, 100)
        assert load.failures(running.stop()) == []
    assert int((run_dir / "exabgp.pid").read_text()) != exabgp
    assert bird.updates(fabric.place, NODE) == 2, "since the session is new: one for each route"


def test_a_dead_agent_that_does_not_return_attracts_nobody(fabric: Fabric) -> None:
    """Dead man: within it nothing moves, after it the routes go, and a new agent brings them back;
    it was changed by a reload, of which only the bridge was told."""
    with file_restored(fabric) as agent:
        plain = agent.config.read_text()
        reload(agent, plain.replace("dead_man = 120", "dead_man = 5", 1))
        with fabric.load(rate=50, downloads=1) as running:
            more(running, 25)
            agent.kill()
            more(running, 25)
            assert fabric.routes() == set(t.NODES)
            until(lambda: fabric.routes() == {"lb2"}, 20, "the route is gone")
            more(running, 100)
            assert load.failures(running.stop()) == []
        agent.start()
        fabric.await_routes()
