# SPDX-License-Identifier: Apache-2.0
"""Where packets go: as simulated, alike on both nodes, and over both nodes."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.fabric import load, netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric, syn
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

PORTS = range(20001, 20101)


def test_r1_a_request_returns_from_the_real_that_both_nodes_simulate(fabric: Fabric) -> None:
    """R1, F8: 100 source ports, through each node; simulation, nodes and network agree."""
    frames = [syn(port) for port in PORTS]
    predicted = {
        node: [t.real_at(result["real"]) for result in fabric.simulate(node, frames)]
        for node in t.NODES
    }
    assert predicted["lb1"] == predicted["lb2"]
    assert set(predicted["lb1"]) == set(t.REALS)
    for node in t.NODES:
        before = fabric.look(node).vips["web"]
        with fabric.only_via(node):
            answered = [fabric.request(port) for port in PORTS]
        after = fabric.look(node).vips["web"]
        assert answered == predicted[node]
        assert after.new_flows - before.new_flows == len(PORTS)


def test_both_nodes_and_all_reals_share_the_load(fabric: Fabric) -> None:
    """Connections spread over both nodes (ECMP); the nodes' rings are equal."""
    before = {node: fabric.look(node) for node in t.NODES}
    with fabric.load(rate=200) as running:
        until(lambda: len(running.records()) >= 300, 10, "300 requests")
        records = running.stop()
    after = {node: fabric.look(node) for node in t.NODES}
    assert load.failures(records) == []
    assert min(load.per_real(records).values()) > len(records) / 5
    flows = {n: after[n].vips["web"].new_flows - before[n].vips["web"].new_flows for n in t.NODES}
    # Not exactly all: a client port that an earlier test left half-open is no new flow (F2).
    assert 0.9 * len(records) <= sum(flows.values()) <= len(records)
    assert min(flows.values()) > len(records) / 5
    assert len({after[node].node.ring_digest for node in t.NODES}) == 1


def test_c1_totals_add_up_on_every_cpu(fabric: Fabric) -> None:
    """C1: rx = tx + pass + drop on each CPU, and the CPUs' sum is the node's total."""
    for node in t.NODES:
        seen = fabric.look(node)
        cpu = seen.cpu
        for rx, tx, passed, dropped in zip(
            cpu.rx_packets, cpu.tx_packets, cpu.pass_packets, cpu.drop_packets, strict=True
        ):
            assert rx == tx + passed + dropped
        assert sum(cpu.tx_packets) == seen.node.tx_packets > 0


def test_a_udp_vip_answers_from_its_own_address(fabric: Fabric) -> None:
    """UDP: each datagram comes back, every real serves, and a flow stays on its real."""
    with fabric.load(datagrams=400) as running:
        until(lambda: len(running.records()) >= 400, 10, "400 datagrams")
        records = running.stop()
    assert load.failures(records) == []
    assert all(load.per_real(records, "datagram").values())
    reals_of_port: dict[int, set[str]] = {}
    for record in records:
        reals_of_port.setdefault(record.port, set()).add(record.real)
    assert all(len(reals) == 1 for reals in reals_of_port.values())


def test_what_is_not_a_vip_reaches_the_node_itself(fabric: Fabric) -> None:
    """P5: another port of a VIP address is nobody's: no answer from a real, no drop."""
    before = {node: fabric.look(node).node.drop_packets for node in t.NODES}
    with netns.inside(t.CLIENT), socket.socket() as connection:
        connection.settimeout(0.3)
        with pytest.raises(OSError, match=r"timed out|refused|unreachable"):
            connection.connect((t.WEB, t.WEB_PORT + 1))
    assert {node: fabric.look(node).node.drop_packets for node in t.NODES} == before


def test_p8_on_the_wire_flows_have_their_own_outer_source_and_answers_go_direct(
    fabric: Fabric,
) -> None:
    """P1, P8: each flow has its outer source of the prefix; DSR: no answer passes a node."""
    ports = PORTS[:20]
    with (
        fabric.only_via("lb1"),
        fabric.capture(t.ROUTER, "any", "proto 4") as encapsulated,
        fabric.capture("lb1", "eth0", "tcp port 80") as at_the_node,
    ):
        reals = {port: t.real(fabric.request(port)).address for port in ports}
        until(lambda: set(outer_sources(encapsulated)) >= set(ports), 5, "all flows captured")
        until(lambda: len(dump(at_the_node)) >= len(ports), 5, "the node's side captured")
    # an earlier test's connections may still be saying goodbye
    sources = {p: seen for p, seen in outer_sources(encapsulated).items() if p in ports}
    assert {port: real for port, (_, real) in sources.items()} == reals
    used = {port: addresses for port, (addresses, _) in sources.items()}
    assert all(len(addresses) == 1 for addresses in used.values()), "it changed in a flow"
    assert len(set.union(*used.values())) > 15, "flows share outer sources"
    answers = [ln for ln in dump(at_the_node) if f"{t.WEB}.80 > {t.CLIENT_ADDRESS}" in ln]
    assert answers == []


def outer_sources(capture: Path) -> dict[int, tuple[set[str], str]]:
    """Of each encapsulated flow, by the client's port: outer sources and destination."""
    inner = rf"IP {t.CLIENT_ADDRESS}\.(\d+) > {t.WEB}\.80"
    outer = re.compile(rf"IP (172\.16\.\d+\.\d+) > (\S+): {inner}")
    found: dict[int, tuple[set[str], str]] = {}
    for line in dump(capture):
        if f" {t.CLIENT_ADDRESS}." not in line:
            continue  # a node's own check, by the same way
        match = outer.search(line)
        assert match, f"not what remora sends: {line}"
        source, real, port = match.groups()
        found.setdefault(int(port), (set(), real))[0].add(source)
    return found


def dump(capture: Path) -> list[str]:
    """tcpdump's lines; a packet that is half written yet is left out."""
    shown = subprocess.run(
        ["tcpdump", "-nr", str(capture)], capture_output=True, text=True, check=False
    )
    return shown.stdout.splitlines()
