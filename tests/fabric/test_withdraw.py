# SPDX-License-Identifier: Apache-2.0
"""`remora withdraw` and `announce`, seen from the router and the client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from shared.messages import Announce, Drain, Undrain, Withdraw
from tests.fabric import bird, load, wire
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE, OTHER = "lb1", "lb2"
MACHINE = t.node(NODE)
PLAIN = ("--yes", "--reason", "INC-7")
WEB_THERE = f"vip/web --node {NODE}".split()


@pytest.fixture(autouse=True)
def announced(fabric: Fabric) -> Iterator[None]:
    """Whatever a test withdrew is announced again."""
    yield
    for name in (NODE, OTHER):
        address = fabric.agents[name].address
        for action in (Announce(node=True), Announce(vip="web"), Announce(vip="echo")):
            wire.ask(address, action)
    fabric.await_routes()


def updates(fabric: Fabric) -> int:
    return bird.updates(fabric.place, NODE)


def test_h2_a_vip_goes_at_once_and_nobody_notices(fabric: Fabric) -> None:
    """H2: the router has no route of the node any more, its packets are served by the other, and no
    request is lost; back by `undo`.  Each is one UPDATE."""
    told = updates(fabric)
    with fabric.load(rate=100, downloads=1) as running:
        until(lambda: len(running.records()) >= 100, 20, "100 requests")
        done = fabric.cli("withdraw", *WEB_THERE, *PLAIN)
        assert done.returncode == 0, done.stderr
        assert f"{NODE}: accepted -> applied -> verified" in done.stdout
        plan = " ".join(done.stdout.split())
        assert f"web by 2 nodes -> 1: {OTHER}; each gets 50.0% -> 100.0% by ECMP" in plan
        until(lambda: fabric.routes() == {OTHER}, 5, "packets by the other node only")
        assert fabric.routes(t.ECHO) == {NODE, OTHER}, "another VIP is left alone"
        assert updates(fabric) == told + 1
        have = len(running.records())
        until(lambda: len(running.records()) >= have + 100, 20, "100 more requests")
        undone = fabric.cli("undo", "--yes")
        assert undone.returncode == 0, undone.stderr
        until(lambda: fabric.routes() == {NODE, OTHER}, 5, "both nodes again")
        have = len(running.records())
        until(lambda: len(running.records()) >= have + 100, 20, "100 requests, by both")
        assert load.failures(running.stop()) == []
    assert updates(fabric) == told + 2


def test_k1_it_is_told_and_no_failure(fabric: Fabric) -> None:
    """K1: the same words again are `already`, exit 0; status is healthy and says by whom and why;
    metrics are in tests/unit."""
    assert fabric.cli("withdraw", *WEB_THERE, *PLAIN).returncode == 0
    again = fabric.cli("withdraw", *WEB_THERE, "--yes", "--reason", "another")
    assert again.returncode == 0
    assert "vip/web is already withdrawn by" in again.stderr
    assert again.stderr.rstrip().endswith("INC-7")
    status = fabric.cli("status")
    assert status.returncode == 0, status.stdout
    assert f"note vip/web: withdrawn on {NODE}" in status.stdout
    (peer,) = [
        p for p in json.loads(fabric.cli("get", "peer", "-o", "json").stdout)["items"]
        if p["node"] == NODE
    ]  # fmt: skip
    assert (peer["vips_announced"], peer["withdrawn"]) == ("1/2", None)


def test_k2_the_last_node_is_refused_whoever_asks(fabric: Fabric) -> None:
    """K2: by the agent: a command that does not know of another node that announces is refused."""
    refused = fabric.cli("withdraw", "vip/web", *PLAIN)
    assert refused.returncode == 4
    assert "last-announcer" in refused.stderr
    blind = wire.ask(fabric.agents[NODE].address, Withdraw(node=True))
    assert (blind.status, blind.guard) == ("refused", "last-announcer")
    assert fabric.routes() == {NODE, OTHER}
    assert fabric.cli("withdraw", *WEB_THERE, *PLAIN).returncode == 0
    until(lambda: fabric.routes() == {OTHER}, 5, "packets by the other node only")
    second = fabric.cli("withdraw", "vip/web", "--node", OTHER, *PLAIN)
    assert second.returncode == 4, "the first one is withdrawn by now"
    allowed = fabric.cli(
        "withdraw", "vip/web", "--node", OTHER, *PLAIN, "--allow", "last-announcer"
    )
    assert allowed.returncode == 0, allowed.stderr
    until(lambda: not fabric.routes(), 5, "no route")
    status = fabric.cli("status")
    assert status.returncode == 1, "a VIP without a route is a problem, whoever wanted it"
    assert f"announced by no node: withdrawn on {NODE}, {OTHER} by" in status.stdout


def test_a_node_by_the_clock_and_over_a_restart(fabric: Fabric) -> None:
    """`--for`, and what it left of that when the agent was killed and came back: no UPDATE."""
    told = updates(fabric)
    done = fabric.cli("withdraw", f"node/{NODE}", *PLAIN, "--for", "15s")
    assert done.returncode == 0, done.stderr
    until(lambda: fabric.routes() == {OTHER} == fabric.routes(t.ECHO), 5, "no route of the node")
    agent = fabric.agents[NODE]
    agent.kill()
    agent.start()
    assert fabric.routes() == {OTHER}
    withdrawn = fabric.look(NODE).node.withdrawn
    assert withdrawn is not None
    assert withdrawn.why == "INC-7"
    assert updates(fabric) == told + 2
    fabric.await_routes()
    assert updates(fabric) == told + 4
    assert fabric.look(NODE).node.withdrawn is None


def test_h2_announce_forces_nothing(fabric: Fabric) -> None:
    """H2: the override is gone, the drain stands, and the plan says so."""
    address = fabric.agents[NODE].address
    assert fabric.cli("withdraw", *WEB_THERE, *PLAIN).returncode == 0
    assert wire.ask(address, Drain(vip="web")).status == "applied"
    try:
        until(lambda: fabric.look(NODE).vips["web"].phase == "drained", 30, "drained")
        back = fabric.cli("announce", "vip/web", *PLAIN)
        assert back.returncode == 0, back.stderr
        assert "still not announced: VIP draining" in " ".join(back.stdout.split())
        assert fabric.look(NODE).vips["web"].withdrawn is None
        assert fabric.routes() == {OTHER}
    finally:
        assert wire.ask(address, Undrain(vip="web")).status == "applied"


# ---- one peer of two

# BIRD keeps two sessions with one neighbour apart by ports.
SECOND = f"""
protocol bgp second from node {{
  local 10.1.1.1 port 1179 as {t.ROUTER_AS};
  neighbor {MACHINE.address} port 1790 as {t.NODE_AS};
  passive;
  multihop 2;
}}
"""
PEER = "10.1.1.1"
LISTED = f"""
[[bgp.peers]]
address = "{PEER}"
local_address = "{MACHINE.address}"
asn = {t.ROUTER_AS}
port = 1179
hold_time = 3
multihop = 2
"""


@pytest.fixture
def two_peers(fabric: Fabric) -> Iterator[None]:
    """The router has a second session with the node."""
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    with bird.configured(fabric.place, lambda text: text + SECOND):
        agent.config.write_text(before.replace("\n[[vips]]", LISTED + "\n[[vips]]", 1))
        assert agent.ask("reload").returncode == 0
        until(lambda: both(fabric) == (True, True), 20, "its routes by both sessions")
        try:
            yield
        finally:
            wire.ask(agent.address, Announce(peer=PEER))
            wire.ask(agent.address, Announce(peer=MACHINE.router_address))
            agent.config.write_text(before)
            assert agent.ask("reload").returncode == 0
    fabric.await_routes()


def both(fabric: Fabric, vip: str = t.WEB) -> tuple[bool, bool]:
    """Whether the first and the second session bring a route of the VIP."""
    brought = [bird.attributes(fabric.place, vip, name) for name in (NODE, "second")]
    return bool(brought[0]), bool(brought[1])


def heard(fabric: Fabric) -> tuple[int, int]:
    return bird.updates(fabric.place, NODE), bird.updates(fabric.place, "second")


@pytest.mark.usefixtures("two_peers")
def test_h4_one_peer_is_told_nothing_and_the_other_notices_nothing(fabric: Fabric) -> None:
    """H4: each route is withdrawn from one session once; what changes meanwhile reaches the other
    alone; a new session and a new agent do not tell it anything either; back: each route once."""
    agent = fabric.agents[NODE]
    peer = f"peer/{NODE}/{PEER}"
    first, second = heard(fabric)
    done = fabric.cli("withdraw", peer, *PLAIN)
    assert done.returncode == 0, done.stderr
    assert f"{NODE}: accepted -> applied -> verified" in done.stdout
    until(lambda: both(fabric) == (True, False), 5, "no route by the second session")
    until(lambda: both(fabric, t.ECHO) == (True, False), 5, "none of the other VIP")
    assert heard(fabric) == (first, second + 2)

    assert fabric.cli("withdraw", *WEB_THERE, *PLAIN).returncode == 0
    until(lambda: both(fabric) == (False, False), 5, "no route of the VIP at all")
    assert fabric.cli("announce", "vip/web", *PLAIN).returncode == 0
    until(lambda: both(fabric) == (True, False), 5, "the VIP's route by the first alone")
    assert heard(fabric) == (first + 2, second + 2)

    agent.kill()
    agent.start()
    assert fabric.look(NODE).node.peers[1].withdrawn is not None
    assert heard(fabric) == (first + 2, second + 2)
    _begin_anew(fabric, "second")
    assert both(fabric) == both(fabric, t.ECHO) == (True, False)

    told = heard(fabric)
    assert fabric.cli("announce", peer, *PLAIN).returncode == 0
    until(lambda: both(fabric) == both(fabric, t.ECHO) == (True, True), 5, "both sessions again")
    assert heard(fabric) == (told[0], told[1] + 2)


@pytest.mark.usefixtures("two_peers")
def test_the_last_peer_is_the_node(fabric: Fabric) -> None:
    address = fabric.agents[NODE].address
    assert fabric.cli("withdraw", f"peer/{NODE}/{PEER}", *PLAIN).returncode == 0
    last = wire.ask(address, Withdraw(peer=MACHINE.router_address))
    assert (last.status, last.guard) == ("refused", "last-announcer")
    known = fabric.cli("withdraw", f"peer/{NODE}/{MACHINE.router_address}", *PLAIN)
    assert known.returncode == 0, known.stderr
    until(lambda: fabric.routes() == {OTHER}, 5, "no route of the node")


def _begin_anew(fabric: Fabric, session: str) -> None:
    """The router ends the session; the node comes again, and says what it has to say."""
    since = bird.since(fabric.place, session)
    command = ["birdc", "-s", str(fabric.place / "bird.ctl"), "restart", session]
    subprocess.run(command, check=True, capture_output=True)
    until(lambda: bird.since(fabric.place, session) != since, 10, "the session ended")
    until(lambda: fabric.sessions().get(session) == "Established", 20, "the session again")
