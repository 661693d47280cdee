# SPDX-License-Identifier: Apache-2.0
"""`remora flow`: what is asked, what is said, how it exits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import main as cli
from console.exits import Exit
from shared.messages import FlowOf, FlowPlace, StoredFlow
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]
CLIENT = "198.51.100.7:40000"
NEW = FlowPlace("web", "flow", "track", 7, "10.3.1.2", "10.3.1.2", "ring")
OLD = FlowPlace(
    "web", "flow", "track", 7, "10.3.1.2", "10.3.2.2", "stored",
    stored=(StoredFlow(1, "10.3.2.2", "open", 3.2),),
)  # fmt: skip


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2")) as other,
    ):
        one.flow = other.flow = NEW
        yield one, other


def flow(two: Pair, *words: str) -> int:
    return cli.main([*(w for a in two for w in ("-a", a.address)), "flow", *words])


@pytest.mark.parametrize("to", ["10.200.0.1:80/tcp", "10.200.0.1:80", "vip/web"])
def test_all_nodes_send_it_to_one_real(two: Pair, capsys: Capture, to: str) -> None:
    assert flow(two, CLIENT, to) == Exit.DONE
    for agent in two:
        asked = agent.received[-1].action
        assert asked == FlowOf("198.51.100.7", 40000, "10.200.0.1", 80, "tcp")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{CLIENT} -> 10.200.0.1:80/tcp  web"
    assert said[2].split()[:4] == ["lb1", "10.3.1.2", "7", "10.3.1.2"]


def test_nodes_that_do_not_agree(two: Pair, capsys: Capture) -> None:
    two[1].flow = OLD
    assert flow(two, CLIENT, "vip/web") == Exit.FAILED
    assert "by its entry  10.3.2.2 open, silent 3s, CPU 1" in capsys.readouterr().out
    assert flow(two, CLIENT, "vip/web", "--node", "lb1") == Exit.DONE
    assert flow(two, CLIENT, "vip/web", "-o", "json") == Exit.FAILED
    capsys_out = capsys.readouterr().out
    found = json.loads(capsys_out[capsys_out.index("{") :])
    assert (found["apiVersion"], found["kind"]) == ("remora/1", "FlowList")
    assert found["items"][1]["stored"][0]["real"] == "10.3.2.2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("198.51.100.7", "vip/web"), "must be ADDRESS:PORT"),
        ((CLIENT, "10.200.0.1:80/sctp"), "must be tcp or udp"),
        ((CLIENT, "vip/none"), "there is none; there is"),
    ],
)
def test_what_is_no_flow(two: Pair, capsys: Capture, words: tuple[str, str], says: str) -> None:
    assert flow(two, *words) == Exit.USAGE
    assert says in capsys.readouterr().err
    assert not any(agent.received for agent in two)


def test_dropped_or_nobodys_or_too_old(two: Pair, capsys: Capture) -> None:
    for agent in two:
        agent.flow = FlowPlace("web", "flow", "track")
    assert flow(two, CLIENT, "vip/web") == Exit.FAILED
    assert "dropped: no_real" in capsys.readouterr().out
    for agent in two:
        agent.flow = FlowPlace("")
    assert flow(two, CLIENT, "10.99.0.1:80") == Exit.USAGE
    assert "each node passes it to its own host" in capsys.readouterr().err
    two[1].flow = None
    assert flow(two, CLIENT, "vip/web") == Exit.FAILED
    assert "lb2: cannot say; upgrade its agent" in capsys.readouterr().err
