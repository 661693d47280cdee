# SPDX-License-Identifier: Apache-2.0
"""Agents and their BGP speakers die, stop and come back; packets do not notice."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable

import pytest

from agent.dataplane import bpf_syscall, loader
from tests.fabric import bird, load
from tests.fabric import topology as t
from tests.fabric.agents import REMORA_AGENT
from tests.fabric.fabric import Fabric, Load
from tests.fabric.waiting import until

pytestmark = pytest.mark.root


def more(running: Load, count: int) -> None:
    """Until the load has so many more records."""
    have = len(running.records())
    until(lambda: len(running.records()) >= have + count, 20, f"{count} more records", every=0.1)


def datagrams(records: Iterable[load.Record]) -> int:
    return sum(record.kind == "datagram" for record in records)


def counted(fabric: Fabric) -> int:
    """Packets to the VIP `echo` that the nodes have counted together."""
    return sum(fabric.look(node).vips["echo"].packets for node in t.NODES)


def program_on(node: str) -> str:
    """What ip(8) says of XDP on the node's interface: its id and tag, or nothing."""
    shown = subprocess.run(
        ["ip", "-n", node, "-d", "link", "show", "dev", "eth0"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in shown.stdout.splitlines() if "prog/xdp" in line]
    return " ".join(lines[0][:6]) if lines else ""


def test_what_runs_on_the_interface_is_read_back(fabric: Fabric) -> None:
    """Somebody takes the program off while no agent looks: a restart puts it back, and says so."""
    agent = fabric.agents["lb1"]
    assert fabric.look("lb1").node.xdp_attached == "native"
    agent.kill()
    link = bpf_syscall.obj_get(str(loader.pins(fabric.place / "bpffs", "lb1") / "link_eth0"))
    bpf_syscall.link_detach(link)
    os.close(link)
    assert not program_on("lb1")
    agent.start()
    assert fabric.look("lb1").node.xdp_attached == "native"
    (row,) = [row for row in fabric.rows("node") if row["name"] == "lb1"]
    assert row["xdp_attached"] == "native"
    assert row["flow_table"]["capacity"] > 0
    assert row["flow_table"]["program"]["probes_sent"] > 0, "checks travel the tunnel"


def test_f5_a_killed_agent_costs_no_packet_and_no_count(fabric: Fabric) -> None:
    """F5: SIGKILL, a second without an agent, restart: 0 lost, 0 moved, every packet counted.

    The next one keeps the program that runs.
    """
    agent, program = fabric.agents["lb1"], program_on("lb1")
    before, counted_before = fabric.look("lb1"), counted(fabric)
    with fabric.load(rate=50, downloads=1, datagrams=500) as running:
        more(running, 500)
        agent.kill()
        more(running, 1000)
        assert fabric.routes() == set(t.NODES), "the route stays: the data plane serves on"
        agent.start()
        assert program_on("lb1") == program
        more(running, 500)
        records = running.stop()
    after = fabric.look("lb1")
    assert load.failures(records) == []
    assert after.node.boot == before.node.boot
    assert after.node.ring_digest == before.node.ring_digest
    assert counted(fabric) - counted_before == datagrams(records)
    assert after.node.tx_packets > before.node.tx_packets
    reals_of_port: dict[int, set[str]] = {}
    for record in records:
        if record.kind == "datagram":
            reals_of_port.setdefault(record.port, set()).add(record.real)
    assert all(len(reals) == 1 for reals in reals_of_port.values())


def test_h2_a_clean_stop_withdraws_before_it_ends(fabric: Fabric) -> None:
    """H2: SIGTERM takes the node out of the router's routes first: no packet is lost by it."""
    agent = fabric.agents["lb1"]
    program = program_on("lb1")
    assert program
    with fabric.load(rate=50, datagrams=200) as running:
        more(running, 200)
        try:
            assert agent.stop() == 0, agent.last_words()
            assert fabric.routes(t.WEB) == fabric.routes(t.ECHO) == {"lb2"}
            assert program_on("lb1") == program, "packets under way are still served"
            more(running, 200)
            records = running.stop()
        finally:
            agent.start()
    assert load.failures(records) == []
    fabric.await_routes()
    assert program_on("lb1"), "attached again"


def test_detach_takes_the_data_plane_away(fabric: Fabric) -> None:
    """`remora-agent detach`: refused while the agent runs, complete when it does not."""
    agent = fabric.agents["lb2"]
    command = ["ip", "netns", "exec", "lb2", *REMORA_AGENT, "detach", "-c", str(agent.config)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "another agent is running" in refused.stderr
    assert program_on("lb2")
    boot = fabric.look("lb2").node.boot
    agent.stop()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert program_on("lb2") == ""
        assert not list((fabric.place / "bpffs" / "remora" / "lb2").glob("*/*"))
    finally:
        agent.start()
    fabric.await_routes()
    assert fabric.look("lb2").node.boot != boot, "new maps: totals start again, and say so"


def test_h4_routes_return_when_exabgp_is_killed(fabric: Fabric) -> None:
    """H4: SIGKILL of ExaBGP: the route goes with the session, and comes back by itself."""
    exabgp = int((fabric.agents["lb1"].run_dir / "exabgp.pid").read_text())
    os.kill(exabgp, signal.SIGKILL)
    until(lambda: fabric.routes() == {"lb2"}, 5, "lb1's route gone")
    assert fabric.request() in t.REALS
    fabric.await_routes(seconds=15)
    assert fabric.sessions() == dict.fromkeys(t.NODES, "Established")


def test_one_node_gone_the_other_serves_all(fabric: Fabric) -> None:
    """Flows of a node that withdraws go on through the other, on the same reals (F8)."""
    agent = fabric.agents["lb2"]
    with fabric.load(rate=50, downloads=2, datagrams=100) as running:
        until(lambda: all(load.per_real(running.records(), "download").values()), 10, "downloads")
        agent.stop()
        try:
            more(running, 300)
            records = running.stop()
        finally:
            agent.start()
    assert load.failures(records) == []


def test_f5_a_stop_that_keeps_the_data_plane_is_noticed_by_nobody(fabric: Fabric) -> None:
    """F5: `stop --keep-dataplane` and a start, for a new version: no packet, no route."""
    agent = fabric.agents["lb1"]
    told = bird.updates(fabric.place, "lb1")
    speaker = (agent.run_dir / "exabgp.pid").read_text()
    with fabric.load(rate=50, downloads=1, datagrams=200) as running:
        more(running, 200)
        stopped = agent.ask("stop", "--keep-dataplane")
        assert stopped.returncode == 0, stopped.stderr
        assert agent.wait() == 0, agent.last_words()
        more(running, 300)
        assert fabric.routes() == set(t.NODES)
        agent.start()
        more(running, 300)
        assert load.failures(running.stop()) == []
    assert bird.updates(fabric.place, "lb1") == told
    assert (agent.run_dir / "exabgp.pid").read_text() == speaker, "adopted"


def test_stop_detach_leaves_the_host_as_it_was_found(fabric: Fabric) -> None:
    """Program, maps, sockets: all gone, of every version; another version is not run over."""
    agent = fabric.agents["lb2"]
    pins = fabric.place / "bpffs" / "remora" / "lb2"
    try:
        done = agent.ask("stop", "--detach")
        assert done.returncode == 0, done.stderr
        assert agent.wait() == 0, agent.last_words()
        assert program_on("lb2") == ""
        assert not list(pins.glob("*"))
        assert not list(agent.run_dir.glob("*.sock"))
        assert agent.ask("stop").stdout.startswith("lb2: no agent is running")
    finally:
        agent.start()
    fabric.await_routes()
    agent.stop()
    try:
        (current,) = pins.glob("v*")
        current.rename(pins / "v1")
        refused = agent.ask("run")
        assert refused.returncode == 1
        assert "v1: the data plane of another version serves here" in refused.stderr
        assert program_on("lb2"), "left alone"
        assert agent.ask("stop", "--detach").returncode == 0
        assert program_on("lb2") == ""
    finally:
        agent.start()
    fabric.await_routes()
