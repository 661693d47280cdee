# SPDX-License-Identifier: Apache-2.0
"""Simulated agents: plausible to a console, and never taken for real ones."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.fleet import Plan
from agent.wire.invented import Invented
from console.model.store import Store
from console.wire.client import Client
from shared.messages import TOPICS, Answer, Drain, NodeSnapshot, VipSnapshot
from tests.fabric.waiting import until

EVERY = frozenset(topic.decode() for topic in TOPICS)


@given(st.integers(0, 500), st.floats(0, 1e6), st.floats(0, 1000))
def test_totals_never_go_back(number: int, second: float, later: float) -> None:
    it = Invented(number, 5, 3)
    (before,) = it.snapshots(second, 0.0, 1, {"vip"})
    (after,) = it.snapshots(second + later, 0.0, 2, {"vip"})
    assert isinstance(before, VipSnapshot)
    assert isinstance(after, VipSnapshot)
    assert all(a.packets >= b.packets for a, b in zip(after.vips, before.vips, strict=True))


def test_only_what_somebody_wants_is_made() -> None:
    it = Invented(1, 5, 3)
    assert it.snapshots(1.0, 0.0, 1, ()) == []
    made = it.snapshots(1.0, 0.0, 1, EVERY)
    assert len(made) == len(EVERY) - 3, "all but labels, events and traced packets"
    assert all(message.node.startswith("sim-") for message in made)
    assert [m.simulated for m in made if isinstance(m, NodeSnapshot)] == [True]


def test_addresses() -> None:
    assert Plan(2, 1, 1, 1.0, run_dir="/x").address(1) == "ipc:///x/sim-001"
    assert Plan(2, 1, 1, 1.0, listen="127.0.0.1:7400").address(1) == "tcp://127.0.0.1:7402"


@pytest.mark.timeout(180)
def test_a_console_sees_them_and_cannot_change_them(tmp_path: Path) -> None:
    config = tmp_path / "sim.toml"
    command = [sys.executable, "-m", "agent", "simulate-fleet", "-n", "5", "--vips", "3"]
    process = subprocess.Popen(
        [*command, "--run-dir", str(tmp_path / "run"), "--write-config", str(config)],
        stderr=subprocess.DEVNULL,
    )
    addresses = [f"ipc://{tmp_path}/run/sim-{n:03d}" for n in range(5)]
    client = Client(addresses, "test@here", topics={"node", "vip"})
    store = Store(addresses)
    try:

        def live() -> bool:
            client.ask(store.take(client.wait(0.1)))
            nodes = [agent.node for agent in store.agents.values()]
            return all(node is not None and node.simulated for node in nodes)

        until(live, 60, "all five")
        id_ = client.send(addresses[0], Drain(node=True))
        answers: list[Answer | None] = []

        def answered() -> bool:
            answers.extend(r.answer for r in client.wait(0.1).replies if r.id == id_)
            return bool(answers)

        until(answered, 60, "an answer")
        assert answers[0] is not None
        assert answers[0].guard == "simulated"
        assert config.read_text().count("sim-00") == 5
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
