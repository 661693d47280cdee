# SPDX-License-Identifier: Apache-2.0
"""Nothing that an operator types, and no byte from the wire, harms a running agent."""

from __future__ import annotations

import resource
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from shared.codec import answer_of
from shared.messages import WIRE_VERSION, Drain, Undrain
from tests.fabric import topology as t
from tests.fabric import wire
from tests.fabric.agents import REMORA_AGENT
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

VERSION = bytes([WIRE_VERSION])


def agent_says(*words: str, node: str = "lb1") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ip", "netns", "exec", node, *REMORA_AGENT, *words],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def one_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


def state(fabric: Fabric, node: str) -> tuple[int, str, frozenset[str]]:
    seen = fabric.look(node).node
    return seen.revision, seen.ring_digest, fabric.routes()


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_wrong_config_is_one_clear_line(fabric: Fabric, tmp_path: Path, verb: str) -> None:
    """File, key, value and remedy; exit 2; whoever runs already is not disturbed."""
    before = state(fabric, "lb1")
    text = fabric.agents["lb1"].config.read_text()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace('protocol = "udp"', 'protocol = "sctp"'))
    words = ["check", str(wrong)] if verb == "check" else ["run", "-c", str(wrong)]
    said = agent_says(*words)
    assert said.returncode == 2
    line = one_line(said.stderr)
    for part in (str(wrong), "vips[1].protocol", "sctp", "tcp"):
        assert part in line
    assert state(fabric, "lb1") == before


def test_a_second_agent_on_a_node_is_refused(fabric: Fabric) -> None:
    before = state(fabric, "lb1")
    said = agent_says("run", "-c", str(fabric.agents["lb1"].config))
    assert said.returncode == 1
    assert "another agent is running" in one_line(said.stderr)
    assert state(fabric, "lb1") == before


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        (("frobnicate",), 2, "frobnicate"),
        (("drain", "real/10.9.9.9", "--yes"), 2, "10.9.9.9"),
        (("weight", f"real/{t.real('r1').address}@web", "0", "--yes"), 2, "drain"),
        (("drain", f"real/{t.real('r1').address}@web"), 2, "--yes"),
    ],
)
def test_a_command_that_makes_no_sense(
    fabric: Fabric, words: tuple[str, ...], status: int, part: str
) -> None:
    """The CLI says what and what to do instead; nothing changes on any node."""
    before = {node: state(fabric, node) for node in t.NODES}
    said = fabric.cli(*words)
    assert said.returncode == status, said
    assert part in said.stderr
    assert "Traceback" not in said.stderr
    assert {node: state(fabric, node) for node in t.NODES} == before


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"garbage"],
        [VERSION, b""],
        [VERSION, b"\xff" * 300],
        [VERSION, msgspec.msgpack.encode({"id": "1", "who": "x", "action": {"type": "explode"}})],
        [VERSION, msgspec.msgpack.encode({"id": 1, "who": ["x"], "action": 3})],
        [VERSION, msgspec.msgpack.encode([[[[[]]]]])],
        [b"\x63", msgspec.msgpack.encode({"id": "1"})],
        [VERSION, b"x", b"y", b"z"],
    ],
    ids=["empty", "one", "nothing", "noise", "unknown", "types", "nested", "version", "four"],
)
def test_bytes_that_are_no_command_are_answered_and_change_nothing(
    fabric: Fabric, frames: list[bytes]
) -> None:
    """One answer that says what is wrong; same state; the agent lives."""
    agent = fabric.agents["lb1"]
    before = state(fabric, "lb1")
    answer = answer_of(wire.exchange(agent.address, frames))
    assert answer.status in ("failed", "refused")
    assert answer.error
    assert state(fabric, "lb1") == before
    assert agent.alive


def test_bytes_that_are_not_even_zeromq(fabric: Fabric) -> None:
    agent = fabric.agents["lb1"]
    before = state(fabric, "lb1")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(agent.run_dir / "command.sock"))
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 64)
    assert state(fabric, "lb1") == before
    assert agent.alive


def test_draining_what_is_not_there_is_refused_by_the_agent(fabric: Fabric) -> None:
    """K2: the agent itself refuses, whoever asks."""
    before = state(fabric, "lb1")
    for action in (Drain(real="10.9.9.9"), Drain(real="nonsense"), Drain(vip="none"), Drain()):
        answer = wire.ask(fabric.agents["lb1"].address, action)
        assert answer.status == "refused", (action, answer)
        assert answer.error
    assert state(fabric, "lb1") == before


def test_an_agent_without_descriptors_keeps_routes_reals_and_its_head(fabric: Fabric) -> None:
    """As when somebody opens connections to it until it can have no more: what is known stands.

    A command is answered, and what was tried in vain costs nothing: afterwards all is as before.
    """
    agent, before = fabric.agents["lb1"], fabric.look("lb1").node
    drain = Drain(real=t.real("r1").address, vip="web")
    log_was = len(agent.log.read_text())
    soft, hard = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)

    def said(words: str) -> bool:
        return words in agent.log.read_text()[log_was:]

    def filled_here() -> bool:
        assert ask(drain).status == "failed", "its ring cannot be written: nothing is changed"
        return said("ring filled here")

    with wire.connected(agent.address) as ask:
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (3, hard))
        try:
            until(lambda: said("results not counted"), 20, "checks that were not made")
            until(lambda: said("not counted: "), 5, "flows that were not counted")
            assert agent.alive
            assert fabric.routes() == set(t.NODES)
            until(filled_here, 15, "a ring after what fills them was let go of")
        finally:
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (soft, hard))
    after = fabric.look("lb1").node
    assert not said("event=health"), "nothing was said of a real"
    assert not said("event=route"), "nor of a route"
    assert (after.ring_digest, after.started) == (before.ring_digest, before.started)
    assert wire.ask(agent.address, drain).status == "applied"
    undrain = Undrain(real=drain.real, vip=drain.vip)
    assert wire.ask(agent.address, undrain).status == "applied"
