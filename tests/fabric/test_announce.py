# SPDX-License-Identifier: Apache-2.0
"""What the router gets: attributes, several sessions, MD5, and the last error of a peer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shared.messages import Peer
from tests.fabric import bird
from tests.fabric import topology as t
from tests.fabric.agents import Agent
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
MACHINE = t.node(NODE)
ATTRIBUTES = """\
[bgp.announce]
med = 120
communities = ["65001:100", "no-export"]
large_communities = ["65001:1:2"]
prepend = 2
[[bgp.peers]]
"""


@contextmanager
def reloaded(
    fabric: Fabric, change: Callable[[str], str], *, restart: bool = False
) -> Iterator[Agent]:
    """The node's file is changed and in force; afterwards it is as before."""
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    try:
        agent.config.write_text(change(before))
        _enforce(agent, restart=restart)
        yield agent
    finally:
        agent.config.write_text(before)
        _enforce(agent, restart=restart)


def _enforce(agent: Agent, *, restart: bool) -> None:
    if restart:
        agent.kill()
        agent.start()
        return
    done = agent.ask("reload")
    assert done.returncode == 0, done.stderr


def brought(fabric: Fabric, session: str = NODE, vip: str = t.WEB) -> dict[str, str]:
    return bird.attributes(fabric.place, vip, session)


def test_h4_attributes_of_one_vip_change_without_a_withdrawal(fabric: Fabric) -> None:
    """H4: the file gives one VIP a MED and communities: one UPDATE for it, none for the other."""
    told = bird.updates(fabric.place, NODE)
    with_own = f'address = "{t.WEB}"\n'
    own = with_own + 'announce.med = 77\nannounce.communities = ["65001:7"]\n'
    with reloaded(fabric, lambda text: text.replace(with_own, own)):
        until(lambda: brought(fabric).get("med") == "77", 5, "the MED at the router")
        assert brought(fabric)["community"] == "(65001,7)"
        assert brought(fabric)["as_path"] == "65001"
        assert "med" not in brought(fabric, vip=t.ECHO)
        assert bird.updates(fabric.place, NODE) == told + 1
    until(lambda: "med" not in brought(fabric), 5, "the route as before")
    assert bird.updates(fabric.place, NODE) == told + 2


def test_all_attributes_reach_the_router(fabric: Fabric) -> None:
    with reloaded(fabric, lambda text: text.replace("[[bgp.peers]]\n", ATTRIBUTES), restart=True):
        until(lambda: brought(fabric).get("med") == "120", 10, "the MED at the router")
        seen = brought(fabric)
        assert seen["as_path"] == "65001 65001 65001"
        assert seen["community"] == "(65001,100) (65535,65281)"
        assert seen["large_community"] == "(65001, 1, 2)"
        assert seen["next_hop"] == MACHINE.address
    fabric.await_routes()


SECOND = f"""
protocol bgp second {{
  local {MACHINE.router_address6} as {t.ROUTER_AS};
  neighbor {MACHINE.address6} as {t.NODE_AS};
  password "s3cret";
  hold time 3; keepalive time 1; connect retry time 1; connect delay time 1; error wait time 1, 2;
  ipv6 {{ import all; export none; }};
}}
"""
PEER = f"""
[[bgp.peers]]
address = "{MACHINE.router_address6}"
local_address = "{MACHINE.address6}"
asn = {t.ROUTER_AS}
hold_time = 3
password = "s3cret"
multihop = 2
"""
WEB6 = f"""
[[vips]]
name = "web6"
address = "{t.WEB6}"
port = {t.WEB_PORT}
[vips.check]
kind = "http"
via = "direct"
path = "/healthz"
[[vips.reals]]
address = "{t.real("r1").address6}"
encap = "ipip"
"""


def test_a_second_peer_over_ipv6_with_md5(fabric: Fabric) -> None:
    """Each session carries its family; a wrong password is that peer's last error, not the other's
    trouble."""

    def both(text: str) -> str:
        return text.replace("\n[[vips]]", PEER + "\n[[vips]]", 1) + WEB6

    with bird.configured(fabric.place, lambda text: text + SECOND):
        with reloaded(fabric, both, restart=True):
            until(lambda: brought(fabric, "second", t.WEB6), 20, "the IPv6 route by IPv6")
            assert brought(fabric, "second", t.WEB6)["next_hop"].split()[0] == MACHINE.address6
            assert brought(fabric, "second") == {}
            assert brought(fabric) != {}
            peers = {peer.address: peer for peer in fabric.look(NODE).node.peers}
            assert {peer.state for peer in peers.values()} == {"up"}
        fabric.await_routes()

        def wrong(text: str) -> str:
            return both(text).replace("s3cret", "other")

        with reloaded(fabric, wrong, restart=True):
            until(lambda: _peer(fabric).error, 20, "an error of the second peer")
            assert _peer(fabric).state == "down"
            assert "MD5 passwords differ" in _peer(fabric).error
            assert fabric.look(NODE).node.peers[0].state == "up"
            assert brought(fabric) != {}
    fabric.await_routes()


def _peer(fabric: Fabric) -> Peer:
    return next(p for p in fabric.look(NODE).node.peers if p.address == MACHINE.router_address6)
