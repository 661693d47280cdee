# SPDX-License-Identifier: Apache-2.0
"""Peers, sockets and metrics change while packets flow: what stays as it was does not notice."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fabric import bird, load, netns, wire
from tests.fabric import topology as t
from tests.fabric.agents import Agent
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
SILENT = "10.9.9.9"
"""The router drops what goes there: not even a refusal comes back."""
HERE, THERE = "10.2.1.102", "10.2.1.101"
"""Second addresses of the node and of the router, for a second session."""
PEER = f"""
[[bgp.peers]]
address = "{THERE}"
local_address = "{HERE}"
asn = {t.ROUTER_AS}
hold_time = 3
"""
SESSION = f"""
protocol bgp second from node {{
  neighbor {HERE} as {t.NODE_AS};
  source address {THERE};
  ipv4 {{ import filter {{ bgp_local_pref = 50; accept; }}; }};
}}
"""


@contextmanager
def file_restored(fabric: Fabric) -> Iterator[Agent]:
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    try:
        yield agent
    finally:
        agent.config.write_text(before)
        done = agent.ask("reload")
        assert done.returncode == 0, done.stderr
        fabric.await_routes()


@contextmanager
def second_addresses() -> Iterator[None]:
    places = ((NODE, "eth0", HERE), (t.ROUTER, NODE, THERE))
    for namespace, link, address in places:
        netns.ip(f"address add {address}/24 dev {link}", netns=namespace)
    try:
        yield
    finally:
        for namespace, link, address in places:
            netns.ip(f"address del {address}/24 dev {link}", netns=namespace)


@contextmanager
def black_hole() -> Iterator[None]:
    netns.ip(f"route add blackhole {SILENT}/32", netns=t.ROUTER)
    try:
        yield
    finally:
        netns.ip(f"route del blackhole {SILENT}/32", netns=t.ROUTER)


def with_peers(text: str, peers: str) -> str:
    """The config with more peers in front of the VIPs."""
    return text.replace("[[vips]]", f"{peers}\n[[vips]]", 1)


def reload(agent: Agent, text: str, *words: str) -> str:
    agent.config.write_text(text)
    done = agent.ask("reload", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_h4_a_peer_comes_changes_and_goes_and_the_other_stands(fabric: Fabric) -> None:
    """H4: a second router is told all routes; the first hears no UPDATE, its session stands, and
    no client notices, though a third peer that is listed never answers."""
    silent = PEER.replace(THERE, SILENT).replace(HERE, t.node(NODE).address)
    with (
        second_addresses(),
        black_hole(),
        bird.configured(fabric.place, lambda text: text + SESSION),
        file_restored(fabric) as agent,
        fabric.load(rate=100, downloads=1) as running,
    ):
        plain, place = agent.config.read_text(), fabric.place
        exabgp = (agent.run_dir / "exabgp.pid").read_text()
        told, since = bird.updates(place, NODE), bird.since(place, NODE)
        reload(agent, with_peers(plain, silent))
        reload(agent, with_peers(plain, silent + PEER))
        until(
            lambda: all(bird.attributes(place, vip, "second") for vip in (t.WEB, t.ECHO)),
            15,
            "the routes at the second",
        )
        until(
            lambda: (
                {p.address: p.state for p in fabric.look(NODE).node.peers}
                == {t.node(NODE).router_address: "up", THERE: "up", SILENT: "down"}
            ),
            10,
            "the peers in telemetry",
        )
        longer = PEER.replace("hold_time = 3", "hold_time = 6")
        began = bird.since(place, "second")
        said = reload(agent, with_peers(plain, silent + longer))
        assert f"sessions that begin anew, with their routes: {THERE}" in said
        until(lambda: bird.since(place, "second") != began, 10, "the second session anew")
        until(lambda: bird.attributes(place, t.WEB, "second"), 10, "its routes again")
        reload(agent, plain)
        until(lambda: not bird.attributes(place, t.WEB, "second"), 10, "its routes gone")
        assert bird.updates(place, NODE) == told
        assert bird.since(place, NODE) == since
        assert (agent.run_dir / "exabgp.pid").read_text() == exabgp
        assert load.failures(running.stop()) == []


def test_h4_attributes_of_all_routes_change_in_place(fabric: Fabric) -> None:
    """H4: [bgp.announce] changes: one UPDATE per route, no withdrawal, the session stands."""
    with file_restored(fabric) as agent, fabric.load(rate=100) as running:
        plain, place = agent.config.read_text(), fabric.place
        told, gone = bird.updates(place, NODE), bird.withdrawals(place, NODE)
        since = bird.since(place, NODE)
        reload(agent, with_peers(plain, "[bgp.announce]\nmed = 77"))
        until(lambda: bird.attributes(place, t.WEB, NODE).get("med") == "77", 10, "the MED")
        until(lambda: bird.updates(place, NODE) == told + 2, 5, "one UPDATE for each route")
        assert bird.withdrawals(place, NODE) == gone
        assert bird.since(place, NODE) == since
        assert load.failures(running.stop()) == []


def test_without_bgp_the_routes_go_and_with_it_they_return(fabric: Fabric) -> None:
    with file_restored(fabric) as agent:
        plain = agent.config.read_text()
        first, last = plain.index("[bgp]"), plain.index("[[vips]]")
        reload(agent, plain[:first] + plain[last:])
        fabric.await_routes(["lb2"])
        assert fabric.look(NODE).node.peers == ()
        reload(agent, plain)
        fabric.await_routes()


def test_metrics_and_wire_open_move_and_close(fabric: Fabric) -> None:
    with file_restored(fabric) as agent:
        plain = agent.config.read_text()
        tables = '[metrics]\nlisten = "127.0.0.1:{}"\n[wire]\nlisten = "127.0.0.1:{}"\n'
        for ports in ((9469, 7400), (9470, 7410)):
            reload(agent, plain + tables.format(*ports))
            with netns.inside(NODE):
                page = f"http://127.0.0.1:{ports[0]}/metrics"
                assert b"remora_" in urllib.request.urlopen(page, timeout=20).read()
                assert wire.look(f"tcp://127.0.0.1:{ports[1]}").node.node == NODE
        with netns.inside(NODE), pytest.raises(OSError, match="refused"):
            urllib.request.urlopen("http://127.0.0.1:9469/metrics", timeout=20)
        reload(agent, plain)
        with netns.inside(NODE), pytest.raises(OSError, match="refused"):
            urllib.request.urlopen("http://127.0.0.1:9470/metrics", timeout=20)


def test_k5_a_port_that_is_taken_leaves_the_old_one_open(fabric: Fabric) -> None:
    """K5: nothing of such a file is in force, and what was listened on still is."""
    with file_restored(fabric) as agent:
        plain = agent.config.read_text()
        reload(agent, plain + '[metrics]\nlisten = "127.0.0.1:9469"\n')
        with netns.inside(NODE):
            taken = socket.create_server(("127.0.0.1", 9471))
        with taken:
            agent.config.write_text(plain + '[metrics]\nlisten = "127.0.0.1:9471"\n')
            failed = agent.ask("reload")
        assert failed.returncode == 1
        assert "metrics.listen 127.0.0.1:9471: Address already in use" in failed.stderr
        with netns.inside(NODE):
            assert urllib.request.urlopen("http://127.0.0.1:9469/metrics", timeout=20).read()
