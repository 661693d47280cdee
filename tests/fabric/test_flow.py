# SPDX-License-Identifier: Apache-2.0
"""`remora flow`: what it says is what happens, now and after the change that was only asked about.

Packets decide: real connections from the client, and who answers them (K3, F8, R1).
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

REAL = f"real/{t.real('r1').address}@web"
Item = dict[str, Any]


def asked(fabric: Fabric, *words: str, code: int = 0) -> dict[str, Any]:
    answer = fabric.cli("flow", *words, "-o", "json")
    assert answer.returncode == code, f"flow {words}: {answer.returncode}: {answer.stderr}"
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def of_port(fabric: Fabric, port: int, *words: str, code: int = 0) -> dict[str, Item]:
    """By node: what it says of the client's flow from that port to web."""
    found = asked(fabric, f"{t.CLIENT_ADDRESS}:{port}", "vip/web", *words, code=code)
    return {item["node"]: item for item in found["items"]}


@contextmanager
def done(fabric: Fabric, change: Sequence[str], back: Sequence[str]) -> Iterator[None]:
    """The change is in force."""
    answer = fabric.cli(*change, "--yes", "--reason", "test")
    assert answer.returncode == 0, answer.stderr
    try:
        yield
    finally:
        undone = fabric.cli(*back, "--yes")
        assert undone.returncode == 0, undone.stderr


class Connection:
    """Of the client to web, from one port; it stays until the block ends."""

    def __init__(self, port: int) -> None:
        with netns.inside(t.CLIENT):
            self._socket = socket.socket()
        self._socket.settimeout(20)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((t.CLIENT_ADDRESS, port))
        self._socket.connect((t.WEB, t.WEB_PORT))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def ask(self) -> str:
        """The real that answers on it."""
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        answer = b"".join(iter(lambda: self._socket.recv(4096), b""))
        return answer.partition(b"\r\n\r\n")[2].split()[0].decode()


@pytest.mark.parametrize("node", t.NODES)
def test_k3_new_flows_go_where_it_says_before_and_after(fabric: Fabric, node: str) -> None:
    """K3: through each node, each of twelve flows, and then the drain that was asked about."""
    first = 21001 + 20 * t.NODES.index(node)  # the other node still knows those that it had
    ports = range(first, first + 12)
    change = ("drain", REAL)
    with fabric.only_via(node):
        said = {port: of_port(fabric, port, "--if", " ".join(change))[node] for port in ports}
        came = {port: t.real(fabric.request(port)).address for port in ports}
        assert came == {port: each["real"] for port, each in said.items()}
        with done(fabric, change, ("undrain", REAL)):
            came = {port: t.real(fabric.request(port)).address for port in ports}
    assert came == {port: each["after"]["real"] for port, each in said.items()}
    moved = {port for port, each in said.items() if each["effect"] != "none"}
    assert moved == {port for port, each in said.items() if each["real"] == t.real("r1").address}
    assert moved, "none of twelve flows was on r1: choose other ports"


def test_k3_a_flow_that_began_stays_where_it_says(fabric: Fabric) -> None:
    """F1: the ring's answer for a new one changes, the connection's does not."""
    port = next(p for p in range(21101, 21140) if of_port(fabric, p)["lb1"]["real"] == "10.3.1.2")
    with fabric.only_via("lb1"), Connection(port) as connection:
        found = of_port(fabric, port, "--if", f"drain {REAL}")["lb1"]
        assert found["by"] == "stored"
        assert [entry["state"] for entry in found["stored"]] == ["open"]
        assert found["after"]["real"] != found["after"]["going_on"] == "10.3.1.2"
        assert found["effect"] == "a new one moves; one that began stays"
        cut = of_port(fabric, port, "--if", f"maint {REAL}")["lb1"]
        assert cut["effect"] == "moves; one that began breaks"
        assert cut["after"]["going_on"] == cut["after"]["real"] == found["after"]["real"]
        with done(fabric, ("drain", REAL), ("undrain", REAL)):
            now = of_port(fabric, port)["lb1"]
            then = {key: found["after"][key] for key in ("slot", "real", "going_on", "by")}
            assert {key: now[key] for key in then} == then
            assert connection.ask() == "r1"


def test_asking_changes_nothing(fabric: Fabric) -> None:
    """F9: neither revision, ring, counters of flows, nor what is written down."""

    def state() -> list[object]:
        found: list[object] = []
        for node in t.NODES:
            seen = fabric.look(node)
            found += [seen.node.revision, seen.node.ring_digest, seen.node.new_flows]
            found += [seen.flowtable.occupied, seen.flowtable.hits]
        return found

    before = state()
    asked(fabric, "--sample", "2000", "vip/web", "--if", f"drain {REAL}")
    of_port(fabric, 21201, "--if", f"maint {REAL}")
    assert state() == before
    events = fabric.cli("events", "changes", "--last", "3").stdout
    assert "maint" not in events


def test_the_flows_of_a_capture(fabric: Fabric) -> None:
    """Of forty requests as the client's tcpdump has them: counts as the reals answered."""
    ports = range(21301, 21341)
    with fabric.capture(t.CLIENT, "eth0", f"dst {t.WEB} and dst portrange 80") as file:
        answered = Counter(t.real(fabric.request(port)).address for port in ports)
        until(lambda: _count(fabric, str(file)) >= len(ports), 10, "every request captured")
    found = asked(fabric, "--pcap", str(file), "--if", f"drain {REAL}")
    for item in found["items"]:
        assert {each["real"]: each["flows"] for each in item["reals"]} == dict(answered)
        assert item["moved"] == answered["10.3.1.2"] + _collateral(item)
        assert item["broken"] == 0
    assert found["guards"] == ["ok on 2 nodes"]


def _count(fabric: Fabric, file: str) -> int:
    answer = fabric.cli("flow", "--pcap", file, "-o", "json")
    return int(json.loads(answer.stdout)["flows"]) if answer.stdout else 0


def _collateral(item: Item) -> int:
    """Flows that others lose to each other: none, unless a ring moves more than it must."""
    return sum(
        max(0, each["flows"] - each["flows_after"])
        for each in item["reals"]
        if each["real"] != "10.3.1.2"
    )


def test_nodes_whose_rings_differ(fabric: Fabric) -> None:
    """A real is drained on one node only: exit 1, and about a third of all flows."""
    with done(fabric, ("drain", REAL, "--node", "lb1"), ("undrain", REAL, "--node", "lb1")):
        found = asked(fabric, "--sample", "3000", "vip/web", code=1)
        unlike = sorted(item["unlike"] for item in found["items"])
        assert unlike[0] == 0
        assert 800 < unlike[1] < 1200
        alike = asked(fabric, "--sample", "300", "vip/web", "--node", "lb1")
        assert alike["items"][0]["unlike"] == 0
        by_rack = asked(fabric, "--sample", "300", "vip/web", "-l", f"rack={t.rack('lb2')}")
        assert [item["node"] for item in by_rack["items"]] == ["lb2"]


def test_what_takes_the_route_away(fabric: Fabric) -> None:
    found = of_port(fabric, 21401, "--if", "drain node/lb1")
    assert found["lb1"]["after"]["leaves"]
    assert found["lb1"]["effect"] == "its packets come to other nodes"
    assert found["lb2"]["effect"] == "none"
    assert of_port(fabric, 21401, "--if", "drain vip/web")["lb2"]["after"]["leaves"]


def test_what_the_flow_tables_hold(fabric: Fabric) -> None:
    """F9: twelve open connections through one node are its live flows, by real, and no more."""
    ports = range(21501, 21513)
    with fabric.only_via("lb1"), ExitStack() as stack:
        before = _held(fabric)
        connections = [stack.enter_context(Connection(port)) for port in ports]
        until(lambda: sum(_held(fabric).values()) >= sum(before.values()) + 12, 5, "all are there")
        held = _held(fabric)
        answered = Counter(t.real(connection.ask()).address for connection in connections)
        assert {real: held[real] - before[real] for real in held} == dict(answered)


def _held(fabric: Fabric) -> dict[str, int]:
    answer = fabric.cli("top", "flow", "--vip", "web", "--node", "lb1", "-o", "json")
    assert answer.returncode == 0, answer.stderr
    items = json.loads(answer.stdout)["items"]
    assert all(sum(each["flows"] for each in i["silent"]) == i["live_flows"] for i in items)
    return {item["address"]: item["live_flows"] for item in items}


def test_labels_choose_what_is_traced_and_told(fabric: Fabric) -> None:
    """`-l` of trace and events, on what the nodes say of themselves."""
    rack = t.rack("lb2")
    with fabric.only_via("lb2"):
        tracing = fabric.cli("trace", "node", "-l", f"rack={rack}", "--for", "1s", "-o", "jsonl")
    assert tracing.returncode == 0, tracing.stderr
    assert "tracing on lb2 for 1 s" in tracing.stderr
    told = fabric.cli("events", "-l", f"rack!={rack}", "--last", "50")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines
    assert not [line for line in lines if line.split()[1] == "lb2"]


def test_a_dry_run_is_all_that_a_node_checks(fabric: Fabric) -> None:
    """Exit codes as of the change itself; nothing is changed by any of them."""
    before = [fabric.look(node).node.revision for node in t.NODES]
    assert fabric.cli("drain", REAL, "--dry-run").returncode == 0
    assert (
        fabric.cli("drain", REAL, "--dry-run=agent", "--expect-revision", "99999").returncode == 7
    )
    every = [f"real/{t.real(name).address}@web" for name in t.REALS]
    refused = fabric.cli("drain", *every, "--dry-run")
    assert refused.returncode == 4, refused.stderr
    planned = fabric.cli("drain", *every, "--dry-run=plan")
    assert planned.returncode == 0
    assert "lb1: 3 changes as one" in planned.stdout
    assert [fabric.look(node).node.revision for node in t.NODES] == before
