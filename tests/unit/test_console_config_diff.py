# SPDX-License-Identifier: Apache-2.0
"""`remora diff config`: nodes with each other and with files; exits as diff(1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from console.cli import main as cli
from console.exits import Exit
from shared.messages import Change, Configured, Reload
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]
TROUBLE = 2
QUORUM = Change("web", "", "1", "2", 0, 0, 0, 0, 0, what="quorum")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2")) as other,
    ):
        yield one, other


def diff(two: Pair, *words: str) -> int:
    return cli.main([*(w for a in two for w in ("-a", a.address)), "diff", "config", *words])


def test_nodes_that_differ_in_their_own_keys_only_are_alike(two: Pair, capsys: Capture) -> None:
    assert diff(two) == Exit.DONE
    said = capsys.readouterr()
    assert said.out == ""
    assert "1 keys that are each node's own differ too: --all" in said.err
    assert "lb1, lb2: the same config" in said.err
    assert diff(two, "--all") == Exit.DONE
    assert "node.name  lb1 on lb1; lb2 on lb2" in capsys.readouterr().out


def test_nodes_that_differ(two: Pair, capsys: Capture) -> None:
    two[1].config = Configured(1, {"node.name": "lb2", "vips.web.quorum": "2"})
    assert diff(two) == Exit.FAILED
    assert capsys.readouterr().out == "vips.web.quorum  - on lb1; 2 on lb2\n"
    assert diff(two, "lb1", "node/lb2", "-o", "json") == Exit.FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["apiVersion"], found["kind"]) == ("remora/1", "ConfigDiff")
    values = {"lb1": None, "lb2": "2"}
    assert found["items"] == [{"key": "vips.web.quorum", "values": values, "own": False}]


def test_what_cannot_be_compared_is_trouble(two: Pair, capsys: Capture) -> None:
    assert diff(two, "lb1") == Exit.USAGE
    assert "--disk compares it with its own file" in capsys.readouterr().err
    two[1].config = None
    assert diff(two) == TROUBLE
    assert "lb2: cannot say its config" in capsys.readouterr().err


def test_with_a_file(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    """The nodes read it: nothing is brought into force."""
    file = tmp_path / "new.toml"
    file.write_text("[node]\n")
    assert diff(two, "--file", str(file)) == Exit.DONE
    assert f"lb1: as {file} says" in capsys.readouterr().err
    two[1].reload = msgspec.structs.replace(two[1].reload, status="planned", changes=(QUORUM,))
    assert diff(two, "--file", str(file)) == Exit.FAILED
    said = capsys.readouterr().out
    assert f"lb2: running -> {file}\n" in said
    assert "quorum: 1 -> 2, on 1 node" in said
    assert all(c.dry_run and c.action == Reload("[node]\n") for a in two for c in a.received)


@pytest.mark.parametrize(
    ("guard", "error", "code"),
    [
        ("restart", "comes into force with a restart only: node.gateway: a -> b", Exit.FAILED),
        ("", "agent.toml: not TOML", TROUBLE),
        ("role", "key ann is viewer, this needs admin", Exit.NOT_ALLOWED),
    ],
)
def test_with_its_own_file(two: Pair, capsys: Capture, guard: str, error: str, code: int) -> None:
    for agent in two:
        agent.reload = msgspec.structs.replace(
            agent.reload, status="refused", guard=guard, error=error
        )
    assert diff(two, "--disk") == code
    said = capsys.readouterr()
    assert error in said.out + said.err
    assert all(c.dry_run and c.action == Reload("") for agent in two for c in agent.received)


def test_nodes_may_stand_behind_flags(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "new.toml"
    file.write_text("")
    assert diff(two, "--file", str(file), "lb2") == Exit.DONE
    assert "lb1" not in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        diff(two, "lb1", "--disc", "lb2")
    assert left.value.code == Exit.USAGE
    assert "--disc: not known here" in capsys.readouterr().err


def test_flags_of_config_are_not_of_rings(two: Pair, capsys: Capture) -> None:
    agents = [w for a in two for w in ("-a", a.address)]
    assert cli.main([*agents, "diff", "ring", "--disk"]) == Exit.USAGE
    assert "of diff config" in capsys.readouterr().err
