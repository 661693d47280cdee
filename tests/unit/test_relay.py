# SPDX-License-Identifier: Apache-2.0
"""The relay, as a process between simulated agents and consoles: what it passes on, and to whom."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq

from console.model.store import Store
from console.wire.client import Client
from console.wire.trust import Trust
from shared import curve
from shared.codec import telemetry_of
from shared.messages import WIRE_VERSION
from shared.model import endpoints
from tests.fabric.waiting import until
from tests.ports import free_port

AGENTS = 3


class Place(NamedTuple):
    agents: list[str]
    relay: str
    keys: dict[str, curve.Pair]

    def trust(self, name: str) -> Trust:
        return Trust(self.keys[name], {self.relay: self.keys["relay"].public})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    keys = {name: curve.make() for name in ("relay", "ann", "eve")}
    curve.write(tmp_path / "relay.key", keys["relay"])
    (tmp_path / "authorized_keys").write_text(f"viewer {keys['ann'].public} ann\n")
    agents = [f"ipc://{tmp_path}/run/sim-{n:03d}" for n in range(AGENTS)]
    relay = f"127.0.0.1:{free_port()}"
    listed = [word for address in agents for word in ("-a", address)]
    # So seldom that whoever hears something soon has it from the relay's memory.
    sim = ["simulate-fleet", "-n", str(AGENTS), "--vips", "2", "--hz", "0.2"]
    options = ["--secret-key", f"{tmp_path}/relay.key"]
    options += ["--authorized-keys", f"{tmp_path}/authorized_keys"]
    with (
        running("agent", *sim, "--run-dir", f"{tmp_path}/run"),
        running("console", *listed, "relay", "--listen", relay, *options),
    ):
        yield Place(agents, f"tcp://{relay}", keys)


@contextmanager
def running(module: str, *words: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", module, *words])
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        # A test that needs no word of it may end it while it starts.
        assert process.wait(60) in (0, -signal.SIGTERM)


@pytest.mark.timeout(180)
def test_a_console_sees_all_agents_through_the_relay(place: Place) -> None:
    client = Client(
        place.agents, "x@y", topics={"node"}, trust=place.trust("ann"), relay=place.relay
    )
    store = Store(place.agents)
    heard: set[str] = set()
    try:

        def all_there() -> bool:
            inbox = client.wait(0.1)
            heard.update(arrived.address for arrived in inbox.arrived)
            store.take(inbox)
            return heard == set(place.agents)

        until(all_there, 60, "telemetry of each, by the relay")
        assert [a.node is not None and a.node.simulated for a in store.agents.values()] == [
            True
        ] * AGENTS
    finally:
        client.close()


@pytest.mark.timeout(180)
def test_the_last_value_comes_at_once_and_only_to_known_keys(place: Place) -> None:
    with zmq.Context() as context:
        with subscriber(context, place, "ann") as first:
            first.subscribe(b"vip")
            until(lambda: first.poll(100), 60, "the relay has something")
        with subscriber(context, place, "eve") as eve, subscriber(context, place, "ann") as ann:
            eve.subscribe(b"vip")
            ann.subscribe(b"vip")
            assert ann.poll(3000), "before any agent published again"
            frames = ann.recv_multipart()
            assert telemetry_of(frames[:3]).node.startswith("sim-")
            assert frames[3].decode() in place.agents
            assert not eve.poll(200)


@pytest.mark.timeout(180)
def test_what_is_no_telemetry_is_not_spread(place: Place, tmp_path: Path) -> None:
    rogue, relay = tmp_path / "rogue", f"127.0.0.1:{free_port()}"
    rogue.mkdir()
    options = ["-a", f"ipc://{rogue}", "relay", "--listen", relay, "--insecure"]
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.linger = 0
        publisher.bind(endpoints(f"ipc://{rogue}")[0])
        with running("console", *options), context.socket(zmq.SUB) as ann:
            ann.linger = 0
            ann.connect(f"tcp://{relay}")
            for topic in (b"event", b"node"):
                ann.subscribe(topic)
            good = [b"event", bytes([WIRE_VERSION]), b"\x80"]
            bad = ([*good, b"more"], [b"event", b"\xff", b"\x80"], [b"node", good[1], b"garbage"])

            def arrived() -> bool:
                for frames in (*bad, [*good]):
                    publisher.send_multipart(frames)
                return bool(ann.poll(100))

            until(arrived, 60, "a message of the rogue, by the relay")
            assert ann.recv_multipart() == [*good, f"ipc://{rogue}".encode()]
            while ann.poll(300):
                assert ann.recv_multipart()[:3] == good


@contextmanager
def subscriber(
    context: zmq.Context[zmq.Socket[bytes]], place: Place, name: str
) -> Iterator[zmq.Socket[bytes]]:
    with context.socket(zmq.SUB) as socket:
        socket.linger = 0
        curve.call(socket, place.keys[name], place.keys["relay"].public)
        socket.connect(place.relay)
        yield socket
