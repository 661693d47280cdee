# SPDX-License-Identifier: Apache-2.0
"""`context`, `info`, `doctor`: what this console goes by, and whether it can reach its agents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import main as cli
from console.exits import Exit
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Capture = pytest.CaptureFixture[str]
CONTEXTS = """\
context = "fra1"
[contexts.fra1]
agents = ["ipc:///run/remora/lb1", "ipc:///run/remora/lb2"]
require_reason = true
[contexts.lab]
agents = ["ipc:///run/remora/lab"]
view_only = true
theme = "light"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "config.toml"
    file.write_text(CONTEXTS)
    return str(file)


def test_contexts_with_the_one_in_force(config: str, capsys: Capture) -> None:
    assert cli.main(["--config", config, "context"]) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["*", "fra1", "fra1", "2", "agents", "require_reason"]
    assert lines[1].split() == ["lab", "lab", "1", "agents", "view_only"]
    assert cli.main(["--config", config, "-C", "lab", "context", "-o", "json"]) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "ContextList"
    assert [item["in_force"] for item in found["items"]] == [False, True]


def test_info_says_what_is_in_force(
    config: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_TTY", "/dev/pts/7")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.main(["--config", config, "-C", "lab", "info", "-o", "json"]) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["config"], found["context"], found["cluster"]) == (config, "lab", "lab")
    assert (found["view_only"], found["theme"], found["mouse"]) == (True, "light", "off")
    assert found["plan_life_s"] == 60.0


def test_info_of_a_config_that_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "config.toml"
    file.write_text("agents = 3\n")
    assert cli.main(["--config", str(file), "info"]) == Exit.FAILED
    assert "agents: must be a list" in capsys.readouterr().out


def test_doctor_finds_who_is_away_and_whose_clock_is_off(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake's clock stands in 2023: a finding; without a terminal there are only verbs."""
    monkeypatch.setenv("TERM", "xterm")
    dead = f"ipc://{tmp_path}/dead"
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as agent:
        words = ["-a", agent.address, "-a", dead, "--connect-timeout", "0.5", "doctor"]
        assert cli.main(words) == Exit.FAILED
        lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok   terminal")
    assert lines[1].startswith(f"BAD  {agent.address}: lb1 ")
    assert "set the clocks" in lines[1]
    assert lines[2].startswith(f"BAD  {dead}: no answer")
