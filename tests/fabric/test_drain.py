# SPDX-License-Identifier: Apache-2.0
"""Draining through the CLI: what runs goes on, what is new goes elsewhere, restarts included."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from shared.messages import Drain
from shared.model import Admin
from tests.fabric import load, netns, wire
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric, Load
from tests.fabric.service import pattern
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

LENGTH, RATE = 1_000_000, 400_000


@contextmanager
def drained(fabric: Fabric, real: str) -> Iterator[float]:
    """The real is drained in VIP `web`; the value is when the CLI had answered."""
    where = f"real/{t.real(real).address}@web"
    done = fabric.cli("drain", where, "--yes", "--reason", "test")
    assert done.returncode == 0, done.stderr
    try:
        yield time.monotonic()
    finally:
        undone = fabric.cli("undrain", where, "--yes")
        assert undone.returncode == 0, undone.stderr


class Download:
    """A download of `length` bytes in a thread, at RATE bytes per second."""

    def __init__(self, length: int = LENGTH) -> None:
        with netns.inside(t.CLIENT):
            self._socket = socket.create_connection((t.WEB, t.WEB_PORT), timeout=20)
        self._socket.sendall(f"GET /bytes/{length}?rate={RATE} HTTP/1.1\r\n\r\n".encode())
        head, _, self.body = self._socket.recv(4096).partition(b"\r\n\r\n")
        self.real = head.split(b"X-Real: ")[1].split()[0].decode()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with self._socket, suppress(ConnectionError):
            while piece := self._socket.recv(1 << 16):
                self.body += piece

    def finish(self) -> bytes:
        """All that came, once no more does."""
        self._thread.join(100)
        assert not self._thread.is_alive()
        return self.body

    def abandon(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self.finish()


def download_from(real: str, length: int) -> Download:
    """Connections are opened until one lands on the real; the others are abandoned."""
    for _ in range(100):
        download = Download(length)
        if download.real == real:
            return download
        download.abandon()
    raise AssertionError(f"none of 100 connections went to {real}")


@pytest.mark.parametrize("real", t.REALS)
def test_f1_drain_keeps_a_download_and_gives_no_new_connection(fabric: Fabric, real: str) -> None:
    """F1, for the first, middle and last real: byte-exact to the end, 0 new connections."""
    with fabric.load(rate=100, downloads=1) as running:
        until(lambda: load.per_real(running.records(), "download")[real], 10, "a long download")
        # The drain of a slow machine comes too late to show anything with the short one.
        later = _drained_meanwhile(fabric, real, LENGTH, running)
        later = later or _drained_meanwhile(fabric, real, 10 * LENGTH, running)
        assert load.failures(running.stop()) == []
    assert load.per_real(later, "download")[real] > 0, "the long download did not go on"
    assert load.per_real(later)[real] == 0


def _drained_meanwhile(fabric: Fabric, real: str, length: int, running: Load) -> list[load.Record]:
    """The real is drained during a download from it, which goes on to its end; records from then
    until it is undrained.  None: the download was over before the drain."""
    download = download_from(real, length)
    with drained(fabric, real) as answered:
        if len(download.body) == length:
            return []
        assert download.finish() == pattern(0, length)
        for node in t.NODES:
            row = fabric.look(node).reals["web", t.real(real).address]
            assert (row.admin, row.slots) == (Admin.DRAINING, 0)
            assert row.health == "up"
        until(lambda: sum(r.at > answered for r in running.records()) >= 200, 10, "200 records")
        return [record for record in running.records() if record.at > answered]


def test_a_drain_outlives_the_agent(fabric: Fabric) -> None:
    """The journal: an agent that is killed and started again knows what was drained."""
    address = t.real("r3").address
    with drained(fabric, "r3"):
        agent = fabric.agents["lb1"]
        agent.kill()
        agent.start()
        row = fabric.look("lb1").reals["web", address]
        assert (row.admin, row.slots) == (Admin.DRAINING, 0)
        with fabric.only_via("lb1"), fabric.load(rate=200) as running:
            until(lambda: len(running.records()) >= 200, 10, "200 requests")
            records = running.stop()
        assert load.failures(records) == []
        assert load.per_real(records)["r3"] == 0


def test_k1_each_step_is_said_and_was_read_back(fabric: Fabric) -> None:
    """Maps, rings, ExaBGP's routes and the state, on both nodes; both records are in the audit."""
    real = f"real/{t.real('r1').address}@web"
    try:
        done = fabric.cli("drain", real, "--yes", "--reason", "test")
        steps = "accepted -> applied -> verified, revision"
        assert [done.stdout.count(f"  {node}: {steps}") for node in t.NODES] == [1, 1], done
        assert "applied 2/2, verified 2" in done.stdout
        told = map(
            json.loads, fabric.cli("audit", "--last", "4", "-o", "jsonl").stdout.splitlines()
        )
        results = sorted((record["node"], record["result"]) for record in told)
        assert results == [(n, r) for n in t.NODES for r in ("applied", "verified")]
    finally:
        undone = fabric.cli("undrain", real, "--yes", "-o", "json", "--wait=verified")
    assert [item["verified"] for item in json.loads(undone.stdout)["items"]] == [True, True]


def test_a_drain_said_twice_is_done_once(fabric: Fabric) -> None:
    """K1: repeating is not an error, and changes nothing."""
    with drained(fabric, "r1"):
        revisions = {node: fabric.look(node).node.revision for node in t.NODES}
        again = fabric.cli("drain", f"real/{t.real('r1').address}@web", "--yes")
        assert again.returncode == 0
        assert "already" in again.stdout + again.stderr
        assert {node: fabric.look(node).node.revision for node in t.NODES} == revisions


def test_k3_a_dry_run_says_what_then_happens(fabric: Fabric) -> None:
    """K3: the plan changes nothing; afterwards the ring is as it said."""
    address = t.real("r2").address
    agent = fabric.agents["lb1"]
    before = fabric.look("lb1")
    plan = wire.ask(agent.address, Drain(real=address, vip="web"), dry_run=True)
    assert plan.status == "planned", plan
    assert fabric.look("lb1").node.revision == before.node.revision
    assert fabric.look("lb1").node.ring_digest == before.node.ring_digest
    (change,) = plan.changes
    assert change.slots_before == before.reals["web", address].slots
    with drained(fabric, "r2"):
        after = fabric.look("lb1")
        assert after.reals["web", address].slots == change.slots_after == 0
        assert change.reals_left == 2
