# SPDX-License-Identifier: Apache-2.0
"""`plan`, `apply`, `undo`, relative weights, what a context allows: done is what was shown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.cli import main as cli
from console.cli.who import who
from console.exits import Exit
from shared.messages import ChangeEvent, Drain, Undrain, Weight
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

TARGET = "real/10.3.1.2@web"
Capture = pytest.CaptureFixture[str]
Pair = tuple[FakeAgent, FakeAgent]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2)) as other,
    ):
        yield one, other


def remora(two: Pair, *words: str) -> int:
    return cli.main([*(w for agent in two for w in ("-a", agent.address)), *words])


def planned(two: Pair, capsys: Capture, *words: str) -> dict[str, Any]:
    assert remora(two, "plan", *words, "-o", "json") == Exit.DONE
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def written(plan: dict[str, Any], place: Path) -> str:
    file = place / "plan.json"
    file.write_text(json.dumps(plan))
    return str(file)


def test_a_plan_changes_nothing_and_is_applied_as_it_is(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    plan = planned(two, capsys, "drain", TARGET, "--reason", "disk", "--for", "30m")
    assert (plan["kind"], plan["apiVersion"], plan["complete"]) == ("Plan", "remora/1", True)
    assert plan["asCli"] == [f"drain {TARGET}"]
    assert all(command.dry_run for agent in two for command in agent.changes)
    assert remora(two, "apply", written(plan, tmp_path), "--yes") == Exit.DONE
    assert "applied 2/2" in capsys.readouterr().out
    for agent in two:
        sent = agent.changes[-1]
        assert sent.action == Drain(real="10.3.1.2", vip="web")
        assert (sent.dry_run, sent.expect_revision, sent.why) == (False, 7, "disk")
        assert sent.expires == 1800.0


def test_a_plan_says_what_becomes_of_the_flows(two: Pair, capsys: Capture) -> None:
    for verb, said in (("drain", "stay on it until they end"), ("maint", "lose it and are placed")):
        assert remora(two, "plan", verb, TARGET) == Exit.DONE
        assert f"240 live {said}" in "".join(capsys.readouterr())


def test_a_plan_that_moved_on_is_refused_by_the_node(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    """K3: the revision is the plan's, so what was not seen is not changed."""
    file = written(planned(two, capsys, "drain", TARGET), tmp_path)
    assert remora(two, "drain", "real/10.3.2.2@web", "--yes") == Exit.DONE
    assert remora(two, "apply", file, "--yes") == Exit.CONFLICT


def test_a_plan_has_its_time(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    plan = {**planned(two, capsys, "drain", TARGET), "expiresAt": "2001-01-01T00:00:00+00:00"}
    sent = [len(agent.changes) for agent in two]
    assert remora(two, "apply", written(plan, tmp_path), "--yes") == Exit.CONFLICT
    assert "plan again" in capsys.readouterr().err
    assert [len(agent.changes) for agent in two] == sent


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "NodeList"}, "not a plan of this version"),
        ({"items": [{"address": "a"}]}, "a damaged plan"),
        ({"objects": 3}, "a damaged plan"),
        ({"objects": []}, "$.objects"),
        ({"asCli": []}, "$.asCli"),
        ({"expiresAt": "soon"}, "$.expiresAt`: 'soon'; make it anew"),
        ({"expiresAt": "2126-01-01T00:00:00"}, "$.expiresAt"),
        ({"expiresAt": None}, "$.expiresAt"),
        ({"allow": "last-healthy"}, "$.allow"),
        ({"expires_s": -1}, "$.expires_s`: -1"),
        ({"confirm_s": float("nan")}, "NaN is no number"),
        ({"verb": "explode"}, "$.verb`: 'explode'"),
        ({"reason": None}, "$.reason"),
        ({"items": []}, "$.items"),
        ({"items": None}, "$.items"),
        ({"items": [3]}, "$.items[0]"),
    ],
)
def test_what_is_no_plan_is_refused(
    two: Pair, tmp_path: Path, capsys: Capture, change: dict[str, Any], said: str
) -> None:
    plan = {**planned(two, capsys, "drain", TARGET), **change}
    sent = [len(agent.changes) for agent in two]
    assert remora(two, "apply", written(plan, tmp_path), "--yes") == Exit.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "plan.json" in line
    assert [len(agent.changes) for agent in two] == sent
    assert remora(two, "apply", str(tmp_path / "none"), "--yes") == Exit.USAGE


def test_a_plan_with_a_node_twice_or_a_damaged_part(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    plan = planned(two, capsys, "drain", TARGET)
    first, second = plan["items"]
    for items, said in (
        ([first, first, second], "twice"),
        ([{**first, "revision": "7"}], "$.items[0].revision"),
        ([{**first, "result": "verified soon"}], "$.items[0].result"),
        ([{**first, "action": {"type": "explode"}}], "$.items[0].action"),
        ([{**first, "changes": [{}]}], "$.items[0].changes[0]"),
    ):
        file = written({**plan, "items": items}, tmp_path)
        assert remora(two, "apply", file, "--yes") == Exit.USAGE
        assert said in capsys.readouterr().err
    (tmp_path / "plan.json").write_text("[" * 100_000)
    assert remora(two, "apply", file, "--yes") == Exit.USAGE


def test_apply_asks_as_the_verb_would(
    two: Pair, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(two, capsys, "drain", TARGET)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(plan)))
    assert remora(two, "apply", "-") == Exit.USAGE
    assert "nobody is there to ask" in capsys.readouterr().err
    assert all(command.dry_run for agent in two for command in agent.changes)


def test_a_plan_that_a_guard_refuses(two: Pair, capsys: Capture) -> None:
    two[1].guard = "last-healthy"
    assert remora(two, "plan", "drain", TARGET, "-o", "json") == Exit.REFUSED
    items = json.loads(capsys.readouterr().out)["items"]
    assert [item["guard"] for item in items] == [None, "last-healthy"]


# ---- undo


def done(two: Pair, who: str, operation: str, *undo: str) -> None:
    for agent in two:
        body = ChangeEvent(who, f"drain {TARGET}", "applied", 8, "", operation, undo)
        agent.events = [
            *agent.events,
            agent.fleet.event(len(agent.events), 3 + len(agent.events), body),
        ]


def test_undo_takes_back_what_the_agents_said(two: Pair, capsys: Capture) -> None:
    done(two, "ak@jump01", "abc123", f"undrain {TARGET}")
    assert remora(two, "undo", "abc", "--dry-run") == Exit.DONE
    assert two[0].changes[-1].action == Undrain(real="10.3.1.2", vip="web")
    assert remora(two, "undo", "op/nonsense", "--dry-run") == Exit.USAGE
    assert "no such operation" in capsys.readouterr().err
    assert remora(two, "undo", "--dry-run") == Exit.USAGE
    assert "has done nothing to take back" in capsys.readouterr().err
    done(two, who(), "def456", f"undrain {TARGET}")
    assert remora(two, "undo", "--dry-run") == Exit.DONE, "without a name: one's own last"


def test_undo_of_what_was_changed_again(two: Pair, capsys: Capture) -> None:
    done(two, "ak@jump01", "abc123", f"undrain {TARGET}")
    done(two, "bo@jump01", "def456", f"undrain {TARGET}")
    assert remora(two, "undo", "abc123", "--yes") == Exit.CONFLICT
    assert "changed again by bo@jump01" in capsys.readouterr().err
    assert two[0].changes == []


# ---- weights


@pytest.mark.parametrize(
    ("given", "sent"), [("40", 40), ("50%", 50), ("+20", 120), ("-10", 90), ("150%", 150)]
)
def test_weight_from_what_it_is(two: Pair, given: str, sent: int) -> None:
    assert remora(two, "weight", TARGET, given, "--dry-run") == Exit.DONE
    assert two[0].changes[-1].action == Weight(real="10.3.1.2", weight=sent, vip="web")


@pytest.mark.parametrize(
    ("given", "said"), [("-200", "must be 1 to 1000"), ("0", "remora drain"), ("0%", "1 to 1000")]
)
def test_weight_that_cannot_be(two: Pair, capsys: Capture, given: str, said: str) -> None:
    assert remora(two, "weight", TARGET, given, "--yes") == Exit.USAGE
    assert said in capsys.readouterr().err
    assert two[0].changes == []


def test_weight_of_several_that_differ(two: Pair, capsys: Capture) -> None:
    words = ("weight", TARGET, "real/10.3.3.2@web", "50%", "--yes")
    assert remora(two, *words) == Exit.USAGE
    assert "differ already" in capsys.readouterr().err


# ---- waiting and contexts


def test_a_key_is_good_for_one_change(two: Pair, capsys: Capture) -> None:
    """K1: the same words again, with a weight from what it is, do it once and exit alike."""
    words = ("weight", TARGET, "+10", "--yes", "--idempotency-key", "job-7")
    assert remora(two, *words) == Exit.DONE
    first = capsys.readouterr().out
    assert remora(two, *words) == Exit.DONE
    again = capsys.readouterr()
    assert "lb1: not again: was applied 0 s ago" in again.err
    assert "plan" not in again.out + again.err, "nothing is planned any more, least of all 120"
    assert [agent.fleet.weight["web", "10.3.1.2"] for agent in two] == [110, 110]
    (sent, *more) = [c for c in two[0].changes if not c.dry_run]
    assert (sent.idempotency_key, more) == ("job-7", [])
    assert f"undo: remora undo {sent.operation}" in first
    other = ("drain", TARGET, "--yes", "--idempotency-key", "job-7")
    assert remora(two, *other) == Exit.REFUSED
    assert "was used 0 s ago" in capsys.readouterr().err


def test_a_node_that_missed_it_has_it_the_second_time(two: Pair, capsys: Capture) -> None:
    """K1: where it was done it is not done again, where it was refused it is tried anew."""
    words = ("weight", TARGET, "50", "--yes", "--idempotency-key", "job-8")
    assert remora((two[0], two[0]), *words) == Exit.DONE
    capsys.readouterr()
    assert remora(two, *words) == Exit.DONE
    assert "done before lb1: not again: was applied" in capsys.readouterr().out
    assert [agent.fleet.weight["web", "10.3.1.2"] for agent in two] == [50, 50]
    assert [sum(not c.dry_run for c in agent.changes) for agent in two] == [1, 1]


def test_an_agent_that_knows_no_keys_is_sent_nothing(two: Pair, capsys: Capture) -> None:
    two[1].knows_keys = False
    assert remora(two, "drain", TARGET, "--yes", "--idempotency-key", "k") == Exit.FAILED
    assert "lb2: knows no idempotency keys, nothing was sent" in capsys.readouterr().err
    assert all(command.dry_run for agent in two for command in agent.changes)


def test_wait_until_it_is_quiet(two: Pair, capsys: Capture) -> None:
    words = ("drain", TARGET, "--yes", "--timeout", "0")
    assert remora(two, *words, "--wait=quiet:10000") == Exit.DONE
    assert remora(two, *words, "--wait=quiet:1") == Exit.TIMED_OUT
    assert "live flows when the time was over" in capsys.readouterr().err


def test_what_the_context_allows(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "config.toml"
    file.write_text("view_only = true\n")
    words = ("--config", str(file), "drain", TARGET, "--yes")
    assert remora(two, *words) == Exit.NOT_ALLOWED
    assert remora(two, *words, "--dry-run") == Exit.DONE
    file.write_text("require_reason = true\n")
    assert remora(two, *words) == Exit.USAGE
    assert "wants a --reason" in capsys.readouterr().err
    assert remora(two, *words, "--reason", "INC-7") == Exit.DONE
