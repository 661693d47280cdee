# SPDX-License-Identifier: Apache-2.0
"""The config changes while packets flow: what stays does not notice, and it is all or nothing."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.fabric import bird, load, netns
from tests.fabric import topology as t
from tests.fabric.agents import Agent, listed
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
MIXED = f"""
[[vips]]
name = "mixed"
address = "{t.MIXED}"
port = {t.WEB_PORT}
[vips.check]
kind = "http"
path = "/healthz"
interval = {t.CHECK_INTERVAL}
timeout = {t.CHECK_INTERVAL}
[[vips.reals]]
address = "{t.real("r1").address}"
[[vips.reals]]
address = "{t.real("r2").address}"
"""


@contextmanager
def file_restored(fabric: Fabric) -> Iterator[Agent]:
    """The node's config file may be changed; afterwards it is as before, and in force."""
    agent = fabric.agents[NODE]
    before = agent.config.read_text()
    try:
        yield agent
    finally:
        agent.config.write_text(before)
        done = agent.ask("reload", "--allow", "live-flows", "--reason", "test")
        assert done.returncode == 0, done.stderr
        until(lambda: not fabric.routes(t.MIXED), 5, "no route of the VIP that was added")


def revision(fabric: Fabric) -> int:
    return fabric.look(NODE).node.revision


def test_f5_a_reload_without_a_difference_is_noticed_by_nobody(fabric: Fabric) -> None:
    """F5: SIGHUP under load: no packet lost, no flow moved, no UPDATE at the router."""
    before, told = fabric.look(NODE), bird.updates(fabric.place, NODE)
    with file_restored(fabric) as agent, fabric.load(rate=100, downloads=1) as running:
        begins = len(agent.log.read_text())
        agent.config.write_text("# a comment\n" + agent.config.read_text())
        until(lambda: len(running.records()) >= 100, 10, "100 requests")
        agent.hang_up()
        said = "answer status=unchanged"
        until(lambda: said in agent.log.read_text()[begins:], 5, "the answer in the log")
        until(lambda: len(running.records()) >= 300, 10, "300 requests")
        assert load.failures(running.stop()) == []
    after = fabric.look(NODE)
    assert (after.node.revision, after.node.generation) == (
        before.node.revision,
        before.node.generation,
    )
    assert after.node.ring_digest == before.node.ring_digest
    assert bird.updates(fabric.place, NODE) == told


def test_a_vip_comes_and_goes_while_others_serve(fabric: Fabric) -> None:
    """A VIP is added, served and removed without a restart; the others lose nothing (F5, F3)."""
    pid = fabric.agents[NODE].pid
    with file_restored(fabric) as agent, fabric.load(rate=100, datagrams=100) as running:
        plain = agent.config.read_text()
        agent.config.write_text(plain + MIXED)
        planned = agent.ask("reload", "--dry-run")
        assert planned.returncode == 0, planned.stderr
        assert f"mixed: absent -> {t.MIXED}:80/tcp, 2 reals" in planned.stdout
        assert not fabric.routes(t.MIXED)
        done = agent.ask("reload", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "applied"
        until(lambda: fabric.routes(t.MIXED) == {NODE}, 10, "the new VIP's route")
        assert {fabric.request(vip=t.MIXED) for _ in range(20)} == {"r1", "r2"}
        agent.config.write_text(plain)
        assert agent.ask("reload", "--allow", "live-flows", "--reason", "test").returncode == 0
        until(lambda: not fabric.routes(t.MIXED), 5, "its route gone")
        assert "mixed" not in fabric.look(NODE).vips
        assert load.failures(running.stop()) == []
    assert fabric.agents[NODE].pid == pid


def test_k2_a_real_with_live_flows_is_not_removed_by_the_file(fabric: Fabric) -> None:
    """K2: the file passes no guard; drained and empty it goes, and nobody notices."""
    address = t.real("r3").address
    with file_restored(fabric) as agent, open_to(fabric, address):
        agent.config.write_text(agent.config.read_text().replace(listed("r3"), ""))
        before = revision(fabric)
        refused = agent.ask("reload")
        assert refused.returncode == 4, refused.stdout
        assert "live-flows" in refused.stderr
        assert revision(fabric) == before
        assert ("web", address) in fabric.look(NODE).reals


@contextmanager
def open_to(fabric: Fabric, address: str) -> Iterator[None]:
    """Connections through the node, at least one of them to the real, open all the while."""
    with fabric.only_via(NODE), ExitStack() as opened:

        def arrived() -> int:
            for _ in range(4):
                with netns.inside(t.CLIENT):
                    made = socket.create_connection((t.WEB, t.WEB_PORT), timeout=20)
                opened.enter_context(made)
            return fabric.look(NODE).reals["web", address].live_flows

        until(arrived, 20, f"a connection to {address}", every=0.3)
        yield


def test_a_rollback_returns_and_outlives_a_crash(fabric: Fabric) -> None:
    """The config that was rolled back is passed over by a restart until the file changes."""
    with file_restored(fabric) as agent:
        first = fabric.look(NODE).node.generation
        plain = agent.config.read_text()
        agent.config.write_text(plain + MIXED)
        assert agent.ask("reload").returncode == 0
        until(lambda: fabric.routes(t.MIXED) == {NODE}, 10, "the new VIP's route")
        back = agent.ask("rollback", "--allow", "live-flows", "--reason", "test")
        assert back.returncode == 0, back.stderr
        assert "passed over" in back.stdout
        until(lambda: not fabric.routes(t.MIXED), 5, "its route gone")
        in_force = fabric.look(NODE).node.generation
        assert in_force == first + 2
        agent.kill()
        agent.start()
        assert "mixed" not in fabric.look(NODE).vips
        assert fabric.look(NODE).node.generation == in_force
        listed = agent.ask("generations").stdout
        assert f"{in_force}  in force" in listed
        assert agent.ask("reload").returncode == 0
        assert "mixed" in fabric.look(NODE).vips


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight", "wieght", "unknown key"),
        ("flows_per_cpu = 65536", "flows_per_cpu = 131072", "node.flows_per_cpu: 65536 -> 131072"),
        ("hold_time = 3", "hold_time = 2", "hold_time"),
    ],
)
def test_k5_a_file_that_cannot_come_into_force_changes_nothing(
    fabric: Fabric, old: str, new: str, said: str
) -> None:
    with file_restored(fabric) as agent:
        text = agent.config.read_text() + MIXED
        text = text.replace('.2"\n', '.2"\nweight = 100\n', 1) if old == "weight" else text
        text = text + "weight = 50\n"
        agent.config.write_text(text.replace(old, new))
        before, begins = fabric.look(NODE), len(agent.log.read_text())
        agent.hang_up()
        until(lambda: said in agent.log.read_text()[begins:], 5, "the refusal in the log")
        after = fabric.look(NODE)
        assert after.node.revision == before.node.revision
        assert after.vips.keys() == before.vips.keys()


def test_k5_a_full_disk_refuses_the_reload_and_the_node_serves_on(fabric: Fabric) -> None:
    """K5: the state directory's disk is full: refused before anything is touched."""
    with file_restored(fabric) as agent:
        state = agent.run_dir / "state"
        agent.stop()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", state], check=True)
        try:
            agent.start()
            fabric.await_routes()
            (state / "filler").write_bytes(b"x" * 4096)
            with (state / "filler").open("ab", buffering=0) as filler:
                while True:
                    try:
                        filler.write(b"x" * 512)
                    except OSError:
                        break
            told = bird.updates(fabric.place, NODE)
            agent.config.write_text(agent.config.read_text() + MIXED)
            failed = agent.ask("reload")
            assert failed.returncode == 1, failed.stdout
            assert "No space left on device" in failed.stderr
            assert "mixed" not in fabric.look(NODE).vips
            assert bird.updates(fabric.place, NODE) == told
            (state / "filler").unlink()
            assert agent.ask("reload").returncode == 0
            until(lambda: fabric.routes(t.MIXED) == {NODE}, 10, "the new VIP's route")
        finally:
            agent.stop()
            subprocess.run(["umount", "--lazy", state], check=True)
            agent.start()
