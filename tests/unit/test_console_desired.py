# SPDX-License-Identifier: Apache-2.0
"""`remora apply` of a file of desired states: what it sends, when there is nothing to send."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import main as cli
from console.exits import Exit
from console.planning import desired
from shared.messages import Batch, Drain, Weight
from shared.model import Admin
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]
HEAD = 'apiVersion = "remora/1"\nkind = "DesiredState"\n'
ROOT = Path(__file__).parents[2]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2")) as other,
    ):
        yield one, other


def apply(two: Pair, place: Path, text: str, *words: str, away: str = "") -> int:
    file = place / "state.toml"
    file.write_text(HEAD + text)
    agents = [w for agent in two for w in ("-a", agent.address)]
    agents += ["-a", away, "--connect-timeout", "0.2"] if away else []
    return cli.main([*agents, "apply", str(file), *words])


def table(name: str, *lines: str) -> str:
    return f'[objects."{name}"]\n' + "".join(f"{line}\n" for line in lines)


WANTED = table("real/10.3.1.2@web", 'admin = "draining"', "weight = 50") + table(
    "real/10.3.2.2@web", "weight = 100"
)


def test_what_is_not_so_becomes_so_and_a_second_run_does_nothing(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    """K1, K3: one change per node, at the revision that was planned; then nothing."""
    assert apply(two, tmp_path, WANTED, "--yes", "--reason", "disk") == Exit.DONE
    said = capsys.readouterr().out
    assert "plan: drain real/10.3.1.2@web\nplan: weight real/10.3.1.2@web 50\n" in said
    assert "10.3.2.2" not in said, "is so already"
    for agent in two:
        plan, sent = agent.changes
        expected = Batch((Drain("10.3.1.2", "web"), Weight("10.3.1.2", 50, "web")))
        assert plan.action == sent.action == expected
        assert (plan.dry_run, sent.dry_run, sent.expect_revision) == (True, False, 7)
    assert apply(two, tmp_path, WANTED, "--yes") == Exit.DONE
    assert "nothing to do, 2 objects are as it says" in capsys.readouterr().err
    assert [len(agent.changes) for agent in two] == [2, 2]


def test_only_on_the_nodes_that_are_named(two: Pair, tmp_path: Path) -> None:
    wanted = table("node/lb1", 'admin = "draining"') + table(
        "real/10.3.1.2", 'admin = "draining"', 'nodes = ["lb2"]'
    )
    assert apply(two, tmp_path, wanted, "--yes") == Exit.DONE
    assert [agent.fleet.node_admin for agent in two] == [Admin.DRAINING, Admin.ENABLED]
    assert [("web", "10.3.1.2") in agent.fleet.admin for agent in two] == [False, True]


@pytest.mark.parametrize(
    ("node", "code"), [("lb1", Exit.DONE), ("dead", Exit.PARTIAL), ("*", Exit.PARTIAL)]
)
def test_who_is_not_meant_need_not_answer(
    two: Pair, tmp_path: Path, capsys: Capture, node: str, code: Exit
) -> None:
    dead, only = f"ipc://{tmp_path}/dead", ("--node", "lb1", "--node", node, "--yes")
    for _ in ("to do", "nothing to do"):
        assert apply(two, tmp_path, WANTED, *only, away=dead) == code
        assert ("dead" in capsys.readouterr().err) is (code is Exit.PARTIAL)


def test_who_only_the_file_leaves_out_need_not_answer(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    """A table's own `nodes`, or that it is about another node; what is behind a silent HOST:PORT
    nobody knows, so that it may be meant."""
    real = table("real/10.3.1.2@web", "weight = 50", 'nodes = ["lb*"]')
    node = table("node/lb1", 'admin = "draining"')
    there, nowhere = f"ipc://{tmp_path}/dead", "tcp://127.0.0.1:9"
    for text, away, code in (
        (real + node, there, Exit.DONE),
        (table("real/10.3.1.2@web", "weight = 50", 'nodes = ["lb1", "dead"]'), there, Exit.PARTIAL),
        (table("real/10.3.1.2@web", "weight = 50"), there, Exit.PARTIAL),
        (node, nowhere, Exit.DONE),
        (real, nowhere, Exit.PARTIAL),
    ):
        assert apply(two, tmp_path, text, "--yes", away=away) == code, text
        assert ("no answer" in capsys.readouterr().err) is (code is Exit.PARTIAL)


def test_a_dry_run_is_the_plan(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    assert apply(two, tmp_path, WANTED, "--dry-run", "-o", "json") == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["apiVersion"]) == ("ChangeList", "remora/1")
    assert {item["result"] for item in found["items"]} == {"planned"}
    assert all(command.dry_run for agent in two for command in agent.changes)


def test_a_guard_refuses_all_of_it(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    two[1].guard = "last-healthy"
    assert apply(two, tmp_path, WANTED, "--yes") == Exit.REFUSED
    assert all(command.dry_run for agent in two for command in agent.changes)
    assert "last-healthy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (table("real/10.3.1.2@web", 'admin = "off"'), '10.3.1.2@web".admin: must be enabled or'),
        (table("vip/web", 'admin = "disabled"'), '"vip/web".admin: must be enabled or draining'),
        (table("vip/web", "weight = 5"), '"vip/web".weight: is of reals'),
        (table("real/10.3.1.2@web", "weight = 0"), "must be 1 to 1000, got 0"),
        (table("real/10.3.1.2@web", "wieght = 1"), "wieght: it takes admin, weight, nodes"),
        (table("real/10.3.1.2@web", 'nodes = "lb1"'), "must be a list such as"),
        (table("real/10.9.9.9@web", "weight = 1"), "there is none"),
        (table("vip/web", 'admin = "enabled"', 'nodes = ["x*"]'), "no such node"),
        (WANTED + table("real/10.3.1.2", "weight = 60"), "is wanted twice on lb1"),
        ("", "a table of them is missing"),
        ("more = 1\n" + WANTED, "more: unknown key"),
        ("a = = 1", "neither TOML nor JSON"),
    ],
)
def test_a_file_that_cannot_be_meant(
    two: Pair, tmp_path: Path, capsys: Capture, text: str, says: str
) -> None:
    assert apply(two, tmp_path, text, "--yes") == Exit.USAGE
    assert says in capsys.readouterr().err
    assert not any(agent.changes for agent in two)


def test_json_says_the_same(two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {"real/10.3.1.2@web": {"weight": 50}}
    made = {"apiVersion": "remora/1", "kind": "DesiredState", "objects": objects}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(made)))
    agents = [w for agent in two for w in ("-a", agent.address)]
    assert cli.main([*agents, "apply", "-", "--yes"]) == Exit.DONE
    assert "applied 2/2" in capsys.readouterr().out


def test_the_sample_is_one() -> None:
    sample = ROOT / "configs" / "state.toml"
    assert len(desired.read(sample.read_text(), "state.toml")) == 3


# ---- restricted by selectors

MANY = (
    table("real/10.3.1.2", "weight = 50")
    + table("real/10.3.2.2@web", "weight = 60")
    + table("vip/dns", 'admin = "draining"')
    + table("node/lb1", 'admin = "draining"')
)


@pytest.fixture
def racks(two: Pair) -> Pair:
    for agent in two:
        agent.fleet.labels = {"rack": agent.fleet.name}
        agent.fleet.vip_labels = {"web": {"tier": "web"}, "dns": {"tier": "dns"}}
        agent.fleet.real_labels = {"10.3.1.2": {"rack": "r1"}, "10.3.2.2": {"rack": "r2"}}
    return two


REAL2 = ("Weight", "10.3.2.2", "web")
REAL1 = [("Weight", "10.3.1.2", "web"), ("Weight", "10.3.1.2", "dns")]


@pytest.mark.parametrize(
    ("flags", "lb1", "lb2"),
    [
        (("-l", "rack=r1"), REAL1, REAL1),
        (("-l", "rack=r1", "--vip", "web"), REAL1[:1], REAL1[:1]),
        (("-l", "rack=r2", "--node", "lb2"), [], [REAL2]),
        (("--vip", "dns"), [REAL1[1], ("Drain", "", "dns")], [REAL1[1], ("Drain", "", "dns")]),
        (("--vip", "10.200.0.1:80/tcp", "--node", "lb1"), [REAL1[0], REAL2], []),
        (("-l", "rack=lb1"), [("Drain", "", "")], []),
        (("-l", "tier=dns"), [("Drain", "", "dns")], [("Drain", "", "dns")]),
    ],
)
def test_only_what_is_selected(
    racks: Pair, tmp_path: Path, flags: tuple[str, ...], lb1: object, lb2: object
) -> None:
    """A file of the whole fleet, and of that only one rack, one VIP, one node."""
    apply(racks, tmp_path, MANY, "--dry-run", *flags)
    found = []
    for agent in racks:
        actions = [command.action for command in agent.changes]
        parts = [p for a in actions for p in (a.actions if isinstance(a, Batch) else [a])]
        found.append([(type(p).__name__, p.real, p.vip) for p in parts])  # type: ignore[union-attr]  # of these kinds
    assert found == [lb1, lb2]


@pytest.mark.parametrize(
    "flags",
    [
        ("-l", "rack=r9"),
        ("--node", "lb2", "-l", "rack=lb1"),
        ("--vip", "web", "-l", "rack=r9"),
    ],
)
def test_nothing_selected_is_not_everything(
    racks: Pair, tmp_path: Path, capsys: Capture, flags: tuple[str, ...]
) -> None:
    assert apply(racks, tmp_path, MANY, "--yes", *flags) == Exit.USAGE
    assert "nothing in it is meant by" in capsys.readouterr().err
    assert not any(agent.changes for agent in racks)


def test_a_node_that_says_no_labels_is_not_guessed_at(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    assert apply(two, tmp_path, MANY, "--yes", "-l", "rack=r1") == Exit.USAGE
    assert "do not say their labels" in capsys.readouterr().err
