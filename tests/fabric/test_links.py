# SPDX-License-Identifier: Apache-2.0
"""Links go down and come up, the router's speaker dies: the node finds its way back by itself."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from agent.dataplane import bpf_syscall, loader
from agent.dataplane.attach import MODES
from agent.preflight.read_kernel import PASS
from shared.model import Health
from tests.fabric import bird, load, netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE, OTHER = "lb1", "lb2"
_XDP = 6
"""BPF_PROG_TYPE_XDP"""


def test_h4_a_link_that_goes_down_and_up(fabric: Fabric) -> None:
    """The other node carries on alone; the link, its route and its flows come back, and it is
    said (the program stays on the interface)."""
    log = fabric.agents[NODE].log
    begins = len(log.read_text())
    try:
        netns.ip(f"link set {NODE} down", netns=t.ROUTER)
        until(lambda: fabric.routes() == {OTHER}, 10, "the other node only")
        said = 'what="link eth0" result="down'
        until(lambda: _said_since(log, begins, said), 10, "the node says so")
        with fabric.load(rate=50) as running:
            until(lambda: len(running.records()) >= 100, 20, "100 requests")
            assert load.failures(running.stop()) == []
    finally:
        netns.ip(f"link set {NODE} up", netns=t.ROUTER)
    until(lambda: _said_since(log, begins, 'what="link eth0" result=up'), 10, "up again")
    fabric.await_routes()
    until(lambda: _checks_pass(fabric), 10, "checks, which went through it, pass again")
    with fabric.only_via(NODE):
        assert {fabric.request() for _ in range(60)} == set(t.REALS)


def test_h4_the_routers_speaker_is_killed_and_comes_back(fabric: Fabric) -> None:
    """H4: sessions and routes return by themselves, each route once; the last error is kept."""
    fabric.router.kill()
    fabric.router.wait(20)
    until(lambda: fabric.look(NODE).node.peers[0].state == "down", 10, "the session is down")
    fabric.router = bird.start(fabric.place)
    until(lambda: fabric.look(NODE).node.peers[0].state == "up", 10, "the session is up")
    # The kernel still has those of the speaker that was killed.
    until(lambda: all(_brought(fabric, vip) for vip in (t.WEB, t.ECHO)), 10, "both routes, anew")
    fabric.await_routes()
    assert fabric.look(NODE).node.peers[0].error
    assert bird.updates(fabric.place, NODE) == 2, "each address once"
    assert fabric.request() in t.REALS


def _brought(fabric: Fabric, vip: str) -> dict[str, str]:
    return bird.attributes(fabric.place, vip, NODE)


# ---- what somebody does to the interface


def test_h2_a_program_that_was_taken_off_is_put_back(fabric: Fabric) -> None:
    """The kernel tells nobody; the agent sees it, withdraws, puts it back and announces again."""
    link = bpf_syscall.obj_get(str(loader.pins(fabric.place / "bpffs", NODE) / "link_eth0"))
    before = fabric.look(NODE).node
    log = fabric.agents[NODE].log
    begins = len(log.read_text())
    try:
        bpf_syscall.link_detach(link)
    finally:
        os.close(link)
    until(lambda: _said_since(log, begins, "our program is gone"), 10, "it is seen")
    until(lambda: _said_since(log, begins, "our program runs: native"), 10, "it is back")
    fabric.await_routes()
    after = fabric.look(NODE).node
    assert (after.xdp_attached, after.boot) == ("native", before.boot), "the same maps"
    assert after.rx_packets >= before.rx_packets
    with fabric.only_via(NODE):
        assert {fabric.request() for _ in range(60)} == set(t.REALS)
    until(lambda: _checks_pass(fabric), 10, "checks go through the tunnel again")


def test_h2_somebody_elses_program_takes_our_place(fabric: Fabric) -> None:
    """The node withdraws and leaves it alone; once it is gone, ours is back."""
    log = fabric.agents[NODE].log
    begins = len(log.read_text())
    theirs = until(lambda: _attach_a_stranger(fabric), 10, "it is quicker than the agent")
    try:
        until(lambda: fabric.routes() == {OTHER}, 10, "the other node only")
        until(lambda: fabric.look(NODE).node.xdp_attached == "foreign", 10, "whose it is")
        assert "somebody else's program took its place" in log.read_text()[begins:]
        assert {fabric.request() for _ in range(60)} == set(t.REALS), "the other node serves"
    finally:
        os.close(theirs)
    until(lambda: _said_since(log, begins, "our program runs: native"), 10, "ours is back")
    fabric.await_routes()
    until(lambda: _checks_pass(fabric), 10, "checks pass again")


def _attach_a_stranger(fabric: Fabric) -> int:
    """Its link, which ends when it is closed; 0: ours was put back before."""
    ours = bpf_syscall.obj_get(str(loader.pins(fabric.place / "bpffs", NODE) / "link_eth0"))
    program = bpf_syscall.program_load(_XDP, "stranger", PASS)
    try:
        with netns.inside(NODE):
            bpf_syscall.link_detach(ours)
            return bpf_syscall.link_xdp(program, socket.if_nametoindex("eth0"), MODES["native"])
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return 0
    finally:
        os.close(ours)
        os.close(program)


def _said_since(log: Path, begins: int, what: str) -> bool:
    return what in log.read_text()[begins:]


def _checks_pass(fabric: Fabric) -> bool:
    return all(real.health is Health.UP for real in fabric.look(NODE).reals.values())


def test_addresses_that_come_and_go_are_said_with_what_they_mean(fabric: Fabric) -> None:
    log = fabric.agents[NODE].log
    begins = len(log.read_text())
    address = "172.16.0.9/24"
    netns.ip(f"addr add {address} dev lo", "addr add 10.2.1.77/24 dev eth0", netns=NODE)
    try:
        until(lambda: "it lies in node.outer_source" in log.read_text()[begins:], 10, "one")
        until(lambda: 'what="address 10.2.1.77/24"' in log.read_text()[begins:], 10, "the other")
    finally:
        netns.ip(f"addr del {address} dev lo", "addr del 10.2.1.77/24 dev eth0", netns=NODE)
    until(lambda: "gone from eth0" in log.read_text()[begins:], 10, "and that they went")
    assert "it lies in node.outer_source" in fabric.cli("events", "-o", "json").stdout


def test_a_gateway_that_does_not_answer_is_said(fabric: Fabric) -> None:
    """By the kernel's neighbour state: nobody pings it."""
    log = fabric.agents[NODE].log
    begins = len(log.read_text())
    netns.ip(f"link set {NODE} arp off", netns=t.ROUTER)
    try:
        netns.ip(f"neigh del {t.node(NODE).router_address} dev eth0", netns=NODE)
        until(lambda: "does not answer" in log.read_text()[begins:], 30, "it is said")
    finally:
        netns.ip(f"link set {NODE} arp on", netns=t.ROUTER)
    until(lambda: "answers again" in log.read_text()[begins:], 30, "and that it is back")
    fabric.await_routes()
