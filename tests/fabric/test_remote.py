# SPDX-License-Identifier: Apache-2.0
"""A console on another machine, with keys: over TCP, through breaks and restarts of either side."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.model.store import Agent as Seen
from console.model.store import Liveness, Store
from console.model.tracks import added
from console.wire.client import Client
from console.wire.trust import Trust
from shared import curve
from shared.messages import Answer, Drain, Undrain
from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.agents import Agent
from tests.fabric.fabric import REMORA, Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
PORT = 7400
RATE = 50.0
BREAK = 30.0
"""Seconds."""


class Remote:
    """The node listens with keys; `ann` may command, `bob` may look."""

    def __init__(self, agent: Agent, place: Path) -> None:
        self.agent = agent
        self.place = place
        self.address = f"tcp://{t.node(NODE).address}:{PORT}"
        self.node = curve.make()
        self.keys = {name: curve.make() for name in ("ann", "bob", "eve")}
        curve.write(place / "node.key", self.node)
        for name, pair in self.keys.items():
            curve.write(place / f"{name}.key", pair)
        self.authorise("operator ann", "viewer bob")
        (place / "known_agents").write_text(f"{t.node(NODE).address}:{PORT} {self.node.public}\n")
        self.table = (
            f'\n[wire]\nlisten = "{t.node(NODE).address}:{PORT}"\n'
            f'secret_key = "{place}/node.key"\nauthorized_keys = "{place}/authorized_keys"\n'
        )

    def authorise(self, *lines: str) -> None:
        text = "".join(
            f"{role} {self.keys[name].public} {name}\n" for role, name in map(str.split, lines)
        )
        fresh = self.place / "fresh"
        fresh.write_text(text)
        fresh.replace(self.place / "authorized_keys")

    @contextmanager
    def console(self, name: str, *topics: str) -> Iterator[Console]:
        """Subscribed to these topics, or to those of the node and its VIPs."""
        trust = Trust(self.keys[name], {self.address: self.node.public})
        with netns.inside(t.CLIENT):  # its threads stay there
            wanted = topics or ("node", "vip")
            client = Client([self.address], f"{name}@client", topics=wanted, trust=trust)
        try:
            yield Console(client, self.address)
        finally:
            client.close()

    def remora(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        config = self.place / f"{name}.toml"
        config.write_text(f'agents = ["{self.address}"]\nkey = "{name}.key"\n')
        command = ["ip", "netns", "exec", t.CLIENT, *REMORA, "--config", str(config), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


class Console:
    """What a console's store makes of what comes."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        self.store = Store([address])
        self.address = address

    @property
    def seen(self) -> Seen:
        self.client.ask(self.store.take(self.client.take()))
        return self.store.agents[self.address]

    def liveness(self) -> Liveness:
        return self.seen.liveness(time.monotonic())

    def until(self, wanted: Liveness, seconds: float) -> None:
        until(lambda: self.liveness() is wanted, seconds, f"{wanted}")

    def rates(self) -> list[float]:
        """Packets per second that a screen would have shown, where it knew them."""
        return [rate for rate in added([self.seen.track("node")]) if rate is not None]

    def command(self, action: Drain | Undrain) -> Answer | None:
        id_ = self.client.send(self.address, action)
        found: list[Answer | None] = []

        def answered() -> bool:
            inbox = self.client.wait(0.1)
            self.store.take(inbox)
            found.extend(reply.answer for reply in inbox.replies if reply.id == id_)
            return bool(found)

        until(answered, 10, "an answer")
        return found[0]


@pytest.fixture(scope="module")
def remote(lent: Fabric, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    agent = lent.agents[NODE]
    before = agent.config.read_text()
    made = Remote(agent, tmp_path_factory.mktemp("remote"))
    restarted(agent, before + made.table)
    try:
        yield made
    finally:
        restarted(agent, before)


def restarted(agent: Agent, text: str) -> None:
    agent.stop()
    agent.config.write_text(text)
    agent.start()


def test_k2_roles_over_the_network(remote: Remote, fabric: Fabric) -> None:
    """K2: an operator changes, a viewer looks, a stranger gets nothing; the audit has the keys."""
    address = t.real("r1").address
    assert remote.remora("bob", "get", "node").returncode == 0
    refused = remote.remora("bob", "drain", f"real/{address}@web", "--yes")
    assert refused.returncode == 8, refused.stdout + refused.stderr
    stranger = remote.remora("eve", "get", "node")
    assert stranger.returncode == 8, stranger.stdout + stranger.stderr
    assert "not in the node's authorised keys" in stranger.stderr
    for verb in ("drain", "undrain"):
        done = remote.remora("ann", verb, f"real/{address}@web", "--yes", "--reason", "INC-7")
        assert done.returncode == 0, done.stderr
    verified = remote.remora("ann", "audit", "--verify")
    assert verified.returncode == 0, verified.stdout
    listed = remote.remora("ann", "audit", "-o", "jsonl").stdout.splitlines()
    applied = [r for r in map(json.loads, listed) if r["result"] == "applied" and r["why"]]
    assert [(r["key"], r["action"]) for r in applied[-2:]] == [("ann", "drain"), ("ann", "undrain")]
    assert any(r["key"] == "bob" and r["guard"] == "role" for r in map(json.loads, listed))


def test_a_key_is_taken_away_while_its_console_looks(remote: Remote, fabric: Fabric) -> None:
    with remote.console("bob") as bob, remote.console("ann") as ann:
        bob.until(Liveness.LIVE, 10)
        ann.until(Liveness.LIVE, 10)
        remote.authorise("operator ann")
        bob.until(Liveness.DENIED, 20)
        ann.until(Liveness.LIVE, 10)
        remote.authorise("operator ann", "viewer bob")
        bob.until(Liveness.LIVE, 20)


@pytest.mark.timeout(180)
def test_a_break_of_30_seconds(remote: Remote, fabric: Fabric) -> None:
    """Stale while it lasts, then the truth: no rate is ever made of two sides of it wrongly."""
    with fabric.load(rate=RATE), remote.console("ann") as console:
        console.until(Liveness.LIVE, 10)
        until(lambda: len(console.rates()) >= 3, 15, "some rates")
        usual = max(console.rates())
        fabric_link(t.NODES[0], "down")
        down = time.monotonic()
        try:
            console.until(Liveness.STALE, 15)
            assert console.command(Drain(node=True)) is None, "given up, and said so"
            until(lambda: time.monotonic() - down >= BREAK, BREAK + 1, "the break's end")
        finally:
            fabric_link(t.NODES[0], "up")
        console.until(Liveness.LIVE, 20)
        before = len(console.rates())
        until(lambda: len(console.rates()) >= before + 3, 15, "rates again")
        assert max(console.rates()) < 5 * usual + 100, "nothing is counted twice"
        assert console.seen.node is not None
        assert console.seen.node.admin == "enabled", "what was given up never took effect"


def fabric_link(node: str, state: str) -> None:
    """The router's side of the node's cable."""
    netns.ip(f"link set {node} {state}", netns=t.ROUTER)


def test_restarts_of_either_side(remote: Remote, fabric: Fabric) -> None:
    """Agent killed and back: stale, then live, totals go on.  A new console knows all at once,
    not by the next second's snapshots."""
    with fabric.load(rate=RATE), remote.console("ann") as console:
        console.until(Liveness.LIVE, 10)
        until(lambda: len(console.rates()) >= 3, 15, "some rates")
        usual = max(console.rates())
        node = console.seen.node
        assert node is not None
        remote.agent.kill()
        console.until(Liveness.STALE, 15)
        remote.agent.start()
        console.until(Liveness.LIVE, 20)
        after = console.seen.node
        assert after is not None
        assert after.boot == node.boot
        assert after.rx_packets >= node.rx_packets, "totals are the data plane's: they go on"
        before = len(console.rates())
        until(lambda: len(console.rates()) >= before + 3, 15, "rates again")
        assert max(console.rates()) < 5 * usual + 100
    # It hears no snapshot of the node each second: what it has of it, it asked for when it came.
    with remote.console("bob", "label") as fresh:
        until(lambda: fresh.seen.node is not None, 5, "all at once")


def test_the_last_hour_is_there_before_the_console_was(remote: Remote, fabric: Fabric) -> None:
    """--at, from the agent's own history."""
    words = ("bob", "get", "vip", "--at", "4s", "-o", "json")
    until(lambda: remote.remora(*words).returncode == 0, 20, "a block of history")
    past = remote.remora(*words)
    assert past.returncode == 0, past.stderr
    assert {item["name"] for item in json.loads(past.stdout)["items"]} == {"web", "echo"}
    assert remote.remora("bob", "get", "vip", "--at", "2d").returncode == 6
