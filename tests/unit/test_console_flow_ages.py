# SPDX-License-Identifier: Apache-2.0
"""`remora top flow`: what the flow tables hold of each real, as its node says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import main as cli
from console.cli.verbs.session import Session
from console.exits import Exit
from shared.messages import Ages, AgesRow
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]
BOUNDS = (1.0, 10.0, 60.0)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2")) as other,
    ):
        web = AgesRow("web", "10.3.1.2", 2, 40, 7, (30, 10, 2, 0), 42.5)
        one.ages = Ages(BOUNDS, (web, AgesRow("dns", "10.3.1.2", 0, 0, 0, (0, 0, 0, 0), 0.0)))
        other.ages = Ages(BOUNDS, (AgesRow("web", "10.3.1.2", 0, 50, 0, (50, 0, 0, 0), 0.2),))
        yield one, other


def remora(two: Pair, *words: str) -> int:
    return cli.main([*(w for a in two for w in ("-a", a.address)), *words])


def test_most_flows_first(two: Pair, capsys: Capture) -> None:
    assert remora(two, "top", "flow", "--columns", "node,real,vip,flows,opening,closing,<1s,>1m",
                  "--no-headers") == Exit.DONE  # fmt: skip
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["lb2", "10.3.1.2", "web", "50", "0", "0", "50", "0"],
        ["lb1", "10.3.1.2", "web", "42", "2", "7", "30", "0"],
        ["lb1", "10.3.1.2", "dns", "0", "0", "0", "0", "0"],
    ]


def test_as_json_and_narrowed(two: Pair, capsys: Capture) -> None:
    words = ("get", "flow", "--vip", "web", "--node", "lb1", "-o", "json")
    assert remora(two, *words) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], len(found["items"])) == ("FlowAgesList", 1)
    item = found["items"][0]
    assert (item["live_flows"], item["longest_silent_s"]) == (42, 42.5)
    assert item["silent"][-1] == {"under_s": None, "flows": 0}
    assert item["silent"][1] == {"under_s": 10.0, "flows": 10}
    assert item["lasts_s"] is None, "one look: no rate, so nothing that follows from it"


def test_what_a_node_does_not_say_again_is_not_of_now(
    two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(_: Session, seconds: float) -> None:
        if seconds == 0.1:  # between two lists
            two[1].ages = None

    monkeypatch.setattr(Session, "pause", pause)
    words = ("get", "flow", "--watch", "100ms", "--count", "2", "-o", "jsonl", "--vip", "web")
    assert remora(two, *words) == Exit.PARTIAL
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum("lb2" in json.dumps(each) for each in found) == 1, "in the first list only"
    assert sum("lb1" in json.dumps(each) for each in found) == 2


def test_an_older_agent_that_is_not_meant_is_nothing_to_tell(two: Pair, capsys: Capture) -> None:
    two[1].ages = None
    assert remora(two, "get", "flow", "--node", "lb1") == Exit.DONE
    assert capsys.readouterr().err == ""


def test_an_older_agent_is_said(two: Pair, capsys: Capture) -> None:
    two[1].ages = None
    assert remora(two, "get", "flow") == Exit.PARTIAL
    said = capsys.readouterr()
    assert "lb2: does not say (an older agent, or too busy): not in this list" in said.err
    assert "lb2" not in said.out
