# SPDX-License-Identifier: Apache-2.0
"""Preflight on machines that serve, and on the same ones with one thing broken."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.config import file as config
from agent.config import tree
from agent.nouns import Encap
from agent.preflight import apply, read_tunnel, settings
from tests.fabric import netns, xdp
from tests.fabric import topology as t
from tests.fabric.agents import REMORA_AGENT
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root


class Said(NamedTuple):
    status: int
    levels: dict[str, str]
    """check -> its worst level."""
    text: str


def preflight(where: str, *words: str, under: Sequence[str] = ()) -> Said:
    done = subprocess.run(
        ["ip", "netns", "exec", where, *under, *REMORA_AGENT, "preflight", "--json", *words],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    order = ("ok", "note", "warn", "fail")
    levels: dict[str, str] = {}
    for finding in answer["findings"]:
        check, level = finding["check"], finding["level"]
        levels[check] = max(level, levels.get(check, "ok"), key=order.index)
    assert answer["ok"] is (done.returncode == 0) is ("fail" not in levels.values())
    return Said(done.returncode, levels, done.stdout)


def on_node(fabric: Fabric, node: str, *words: str, under: Sequence[str] = ()) -> Said:
    """Of reals that hang nothing is tested here: a check without an answer is a slow machine's."""
    said: list[Said] = []

    def answered() -> bool:
        said[:] = [preflight(node, "-c", str(fabric.agents[node].config), *words, under=under)]
        return said[0].levels["check"] == "ok" or "no answer within" not in said[0].text

    until(answered, 15, "all checks answered")
    return said[0]


def on_real(real: str, vip: str = f"{t.WEB}:{t.WEB_PORT}") -> Said:
    return preflight(real, "--role", "real", "--vip", vip)


def not_ok(said: Said) -> dict[str, str]:
    """Without the clock, which is the test machine's own, and ARP: the fabric is routed."""
    return {
        check: level
        for check, level in said.levels.items()
        if level != "ok" and check not in ("clock", "arp")
    }


@contextmanager
def broken(where: str, breaking: str, mending: str) -> Iterator[None]:
    netns.ip(breaking, netns=where)
    try:
        yield
    finally:
        netns.ip(mending, netns=where)


@contextmanager
def strict(where: str) -> Iterator[None]:
    path = Path("/proc/sys/net/ipv4/conf/eth0/rp_filter")
    with netns.inside(where):
        was = path.read_text()
        path.write_text("1")
    try:
        yield
    finally:
        with netns.inside(where):
            path.write_text(was)


def test_a_node_that_serves_is_ready_and_is_not_disturbed(fabric: Fabric) -> None:
    """Its own program is known as such, its BGP session stands, no pin stays behind."""
    pins = fabric.place / "bpffs" / "remora" / "lb1"
    before = fabric.look("lb1").node, sorted(path.name for path in pins.iterdir())
    said = on_node(fabric, "lb1", "--probe")
    after = fabric.look("lb1").node, sorted(path.name for path in pins.iterdir())
    assert (said.status, not_ok(said)) == (0, {})
    assert {"xdp", "compiler", "route", "check", "bgp-peer", "exabgp"} <= said.levels.keys()
    assert "runs this node's program: lb, native" in said.text
    assert after[1] == before[1]
    assert after[0].peers == before[0].peers
    assert (after[0].program, after[0].boot) == (before[0].program, before[0].boot)


def test_whoever_is_not_root_is_told_so(fabric: Fabric) -> None:
    """And gets the other findings all the same."""
    under = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    # A checkout below /root is read all the same.
    under += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    said = on_node(fabric, "lb1", under=under)
    assert said.status == 1
    for check in ("root", "bpf", "compiler"):
        assert said.levels[check] == "fail", check
    assert said.levels["xdp"] == "note", "not: somebody else's, take it off"
    for check in ("mtu", "gateway", "route", "check", "bgp-peer"):
        assert said.levels[check] == "ok", check


def test_a_node_s_mtu_and_prefix(fabric: Fabric) -> None:
    with (
        broken(
            "lb1", f"link set eth0 mtu {t.UNDERLAY_MTU - 1}", f"link set eth0 mtu {t.UNDERLAY_MTU}"
        ),
        broken("lb1", "addr add 172.16.9.9/24 dev lo", "addr del 172.16.9.9/24 dev lo"),
    ):
        said = on_node(fabric, "lb1")
    assert (said.status, not_ok(said)) == (1, {"mtu": "fail", "outer-source": "fail"})
    assert f"ip link set dev eth0 mtu {t.UNDERLAY_MTU}" in said.text


def test_a_node_s_rp_filter_and_reals(fabric: Fabric) -> None:
    fabric.stop_service("r2")
    try:
        with strict("lb1"):
            said = on_node(fabric, "lb1")
    finally:
        fabric.start_service("r2")
    assert (said.status, not_ok(said)) == (0, {"rp_filter": "note", "check": "warn"})
    assert "connection refused" in said.text


def test_a_fresh_interface_is_probed_only_when_asked(fabric: Fabric) -> None:
    """And what was attached for it is gone afterwards."""
    agent = fabric.agents["lb2"]
    assert agent.stop() == 0
    detach = ["ip", "netns", "exec", "lb2", *REMORA_AGENT, "detach", "-c", str(agent.config)]
    subprocess.run(detach, check=True, capture_output=True)
    try:
        looked, probed = on_node(fabric, "lb2"), on_node(fabric, "lb2", "--probe")
        again = on_node(fabric, "lb2")
    finally:
        agent.start()
    for said in (looked, probed, again):
        assert (said.status, not_ok(said)) == (0, {})
    assert "free, its driver has native XDP" in looked.text
    assert "a program was attached in native mode, and taken off" in probed.text
    assert "free, its driver has native XDP" in again.text


@pytest.mark.parametrize("vip", [f"{t.WEB}:80", f"{t.ECHO}:53/udp", t.WEB])
def test_a_real_that_serves_is_ready(fabric: Fabric, vip: str) -> None:
    assert fabric.request() in t.REALS
    said = on_real("r1", vip)
    assert (said.status, not_ok(said)) == (0, {})
    assert "an XDP program does it: decap, native" in said.text


def test_a_real_without_the_vip(fabric: Fabric) -> None:
    with broken("r1", f"addr del {t.WEB}/32 dev lo", f"addr add {t.WEB}/32 dev lo"):
        said = on_real("r1")
    assert (said.status, not_ok(said)) == (1, {"vip-address": "fail"})
    assert f"ip addr add {t.WEB}/32 dev lo" in said.text


def test_a_real_with_a_small_mtu(fabric: Fabric) -> None:
    with broken("r1", "link set eth0 mtu 1500", f"link set eth0 mtu {t.UNDERLAY_MTU}"):
        said = on_real("r1")
    assert (said.status, not_ok(said)) == (0, {"mtu": "warn"})


def test_a_real_that_filters_strictly(fabric: Fabric) -> None:
    """Harmless while the way to clients is by the same interface, and said nevertheless."""
    router = t.real("r1").router_address
    with strict("r1"):
        lucky = on_real("r1")
        half = "0.0.0.0/0"
        with broken("r1", f"route del {half} via {router}", f"route add default via {router}"):
            unlucky = preflight(
                "r1", "--role", "real", "--vip", f"{t.WEB}:80", "--interface", "eth0"
            )
    assert (lucky.status, not_ok(lucky)) == (0, {"rp_filter": "note"})
    assert (unlucky.status, not_ok(unlucky)) == (1, {"rp_filter": "fail"})


def test_a_real_without_its_service(fabric: Fabric) -> None:
    said = on_real("r1", f"{t.WEB}:8080")
    assert (said.status, not_ok(said)) == (1, {"service": "fail"})


# ---- what becomes of encapsulated packets


def test_a_filter_of_outer_sources_is_told_from_a_dead_real(fabric: Fabric) -> None:
    """The router lets nothing pass from lb1 that is not routed to it, as providers do."""
    path = Path("/proc/sys/net/ipv4/conf/lb1/rp_filter")
    with netns.inside(t.ROUTER):
        was = path.read_text()
        path.write_text("1")
    try:
        said = on_node(fabric, "lb1")
    finally:
        with netns.inside(t.ROUTER):
            path.write_text(was)
    assert (said.status, not_ok(said)) == (1, {"outer-source": "fail"})
    assert "from this node's own address they do" in said.text


def test_a_narrow_link_on_the_way_to_a_real(fabric: Fabric) -> None:
    with broken(t.ROUTER, "link set r2 mtu 1500", f"link set r2 mtu {t.UNDERLAY_MTU}"):
        said = on_node(fabric, "lb1")
    assert (said.status, not_ok(said)) == (1, {"encap-mtu": "fail"})
    assert "packets of 1520 bytes do not arrive, small ones do" in said.text


def test_a_real_that_does_not_decapsulate(fabric: Fabric) -> None:
    with xdp.without_decap(fabric.pins, "r2"):
        said = on_node(fabric, "lb1")
    assert (said.status, not_ok(said)) == (0, {"encapsulated": "warn"})
    assert f"{t.real('r2').address}: remora-agent preflight --role real" in said.text


def test_a_nodes_queues_are_put_right_and_back(fabric: Fabric) -> None:
    """An interface with fewer receive queues than its far end sends from takes no program."""
    agent = fabric.agents["lb2"]
    assert agent.stop() == 0
    detach = ["ip", "netns", "exec", "lb2", *REMORA_AGENT, "detach", "-c", str(agent.config)]
    subprocess.run(detach, check=True, capture_output=True)
    one = settings.queues("eth0", "rx", 1)
    try:
        with netns.inside("lb2"), strict("lb2"):
            apply.write(one)
            before = on_node(fabric, "lb2", "--probe")
            fixed = on_node(fabric, "lb2", "--fix")
            assert apply.read(one.setting) == "2"
            after = on_node(fabric, "lb2", "--probe")
            undone = preflight_undo(fabric, "lb2")
            assert apply.read(one.setting) == "1"
            apply.write(settings.queues("eth0", "rx", 2))
    finally:
        agent.start()
    assert not_ok(before) == {"xdp": "fail", "rx-queues": "warn", "rp_filter": "note"}
    assert (fixed.status, not_ok(fixed)) == (0, {})
    assert (after.status, not_ok(after)) == (0, {})
    assert {one["check"] for one in undone} == {"rx-queues", "rp_filter"}
    assert not [one for one in undone if one["failed"] or one["said"]]


def preflight_undo(fabric: Fabric, node: str) -> list[dict[str, str]]:
    done = subprocess.run(
        ["ip", "netns", "exec", node, *REMORA_AGENT, "preflight", "--undo", "--json", "-c",
         str(fabric.agents[node].config)],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    found: list[dict[str, str]] = json.loads(done.stdout)["undone"]
    return found


@pytest.mark.parametrize("encap", list(Encap))
def test_pings_go_the_way_of_every_encapsulation(fabric: Fabric, encap: Encap) -> None:
    """IPv4 and IPv6 in either, and both in UDP (GUE): the reals' decap.c takes all of them off."""
    node = config.read(fabric.agents["lb1"].config).node
    real = t.real("r1")
    pairs = [
        (ip_address(vip), tree.Real(address=ip_address(to), encap=encap))
        for vip in (t.WEB, t.WEB6)
        for to in (real.address, real.address6)
    ]
    with netns.inside("lb1"):
        found = read_tunnel.pings(node, pairs)
    assert [(one.vip, one.real) for one in found] == [(str(v), str(r.address)) for v, r in pairs]
    outer = {(one.vip, one.real): one.size - 1500 for one in found}
    more = 8 if encap is Encap.GUE else 0
    assert set(outer.values()) == {20 + more, 40 + more}
    for one in found:
        assert (one.plain, one.spread, one.full) == (True, True, True), one
