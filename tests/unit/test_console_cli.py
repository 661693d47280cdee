# SPDX-License-Identifier: Apache-2.0
"""The CLI against a fake agent on real sockets: what is sent, what is said, how it exits."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.cli import main as cli
from console.cli.verbs import carrying
from console.exits import Exit
from console.settings import Settings
from shared.messages import ChangeEvent, Drain, Emptying, RolloutRow, Undrain, Weight, Withdraw
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import DNS, REALS, WEB, Fleet, events

TARGET = "real/10.3.1.2@web"
KEY = ("web", "10.3.1.2")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[FakeAgent, FakeAgent]]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2)) as other,
    ):
        yield one, other


def remora(*words: str, agents: tuple[FakeAgent, ...] = (), more: tuple[str, ...] = ()) -> int:
    addresses = [w for agent in agents for w in ("-a", agent.address)]
    return cli.main([*addresses, *more, *words])


Capture = pytest.CaptureFixture[str]
Pair = tuple[FakeAgent, FakeAgent]


# ---- reading


def test_status_is_healthy(two: Pair, capsys: Capture) -> None:
    assert remora("status", "--short", agents=two) == Exit.DONE
    assert capsys.readouterr().out == "remora 2/2 nodes, healthy\n"


def test_status_names_the_problem(two: Pair, capsys: Capture) -> None:
    two[0].fleet.health[KEY] = Health.DOWN
    two[1].fleet.health[KEY] = Health.DOWN
    assert remora("status", agents=two) == Exit.FAILED
    assert f"warn {TARGET}: not up: connection refused" in capsys.readouterr().out
    assert remora("status", "node/lb1", "--short", agents=two) == Exit.DONE
    assert remora("status", TARGET, agents=two) == Exit.FAILED


def test_status_of_an_object_shows_that_object(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    """A session is as its node says; of a node that says nothing no session is healthy."""
    two[0].fleet.peers_up = False
    for name, code, rows in (
        ("peer/lb1/10.2.1.1", Exit.FAILED, ["lb1"]),
        ("peer/lb2/10.2.1.1", Exit.DONE, ["lb2"]),
        ("node/lb1", Exit.FAILED, ["lb1"]),
        ("real/10.3.1.2", Exit.DONE, ["10.3.1.2", "10.3.1.2"]),
        ("vip/web", Exit.DONE, ["web"]),
    ):
        assert remora("status", name, agents=two) == code, name
        head, _, table = capsys.readouterr().out.partition("\n\n")
        assert head.startswith(f"remora 2/2 nodes, {name}: "), head
        assert ("BGP to 10.2.1.1 is down" in head) is (code is Exit.FAILED)
        assert [line.split()[0] for line in table.splitlines()[1:]] == rows
    more = ("-a", str(tmp_path / "dead"), "--connect-timeout", "0.2")
    assert remora("status", "peer/dead/10.2.1.1", agents=two, more=more) == Exit.NO_AGENT
    assert "dead does not answer" in capsys.readouterr().err


def test_status_counts_a_silent_agent(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    more = ("-a", str(tmp_path / "dead"), "--connect-timeout", "0.3")
    assert remora("status", "--short", agents=two, more=more) == Exit.FAILED
    assert "remora 2/3 nodes, node/dead: no answer" in capsys.readouterr().out


def test_no_agent_at_all(tmp_path: Path, capsys: Capture) -> None:
    words = ("-a", str(tmp_path / "dead"), "--connect-timeout", "0.2")
    for verb in (("status",), ("get", "node"), ("events",), ("drain", TARGET, "--yes")):
        assert cli.main([*words, *verb]) == Exit.NO_AGENT
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert "is it running" in said.err


GOLDEN_REALS = """\
REAL      VIP  STATE    W   UP  FLOWS   RING  CHECK     CHANGED  AGE
10.3.1.2  web  ● up   100  2/2    240  40.0%  http 200      15m   0s
10.3.2.2  web  ● up   100  2/2    240  40.0%  http 200      15m   0s
10.3.3.2  web  ● up    50  2/2    240  20.0%  http 200      15m   0s
"""
GOLDEN_NODES = """\
NODE  STATE    AGE  FLOWS  VIPS  REALS  RING    BGP
lb1   ◐ drain   0s    384   0/2    6/6  000523  1/1
lb2   ● up      0s    384   2/2    6/6  000523  1/1
"""


def test_get_tables(two: Pair, capsys: Capture) -> None:
    assert remora("get", "real", "--vip", "web", agents=two) == Exit.DONE
    assert capsys.readouterr().out == GOLDEN_REALS
    two[0].fleet.node_admin = Admin.DRAINING
    assert remora("get", "node", agents=two) == Exit.DONE
    assert capsys.readouterr().out == GOLDEN_NODES


def test_get_wide_has_rates(two: Pair, capsys: Capture) -> None:
    """The fake's clock goes on by a second with each look; rates are over the agent's clock."""
    assert remora("get", "vip", "-o", "wide", agents=two) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[3:7] == ["PPS", "SHARE", "BIT/S", "NEW/S"]
    assert "3.00k" in lines[1]


def test_get_json_says_who_is_missing(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    dead = f"ipc://{tmp_path}/dead"
    more = ("-a", dead, "--connect-timeout", "0.3")
    assert remora("get", "real", "-o", "json", agents=two, more=more) == Exit.PARTIAL
    found = json.loads(capsys.readouterr().out)
    assert (found["apiVersion"], found["kind"]) == ("remora/1", "RealList")
    assert (found["complete"], found["missing"]) == (False, [dead])
    first = found["items"][0]
    assert first["name"] == "10.3.1.2@web"
    assert (first["live_flows"], first["nodes"], first["packets_per_s"]) == (240, 2, None)


@pytest.mark.parametrize("kind", ["node", "vip", "real", "each", "drop", "peer", "check"])
@pytest.mark.parametrize("output", ["json", "jsonl", "csv", "yaml", "name", "table"])
def test_every_kind_in_every_format(two: Pair, capsys: Capture, kind: str, output: str) -> None:
    assert remora("get", kind, "-o", output, agents=two) == Exit.DONE
    text = capsys.readouterr().out
    lines = text.splitlines()
    match output:
        case "json":
            assert json.loads(text)["items"]
        case "jsonl":
            assert all(json.loads(one)["name"] for one in lines)
        case "csv":
            assert {one.count(",") >= lines[0].count(",") for one in lines} == {True}
        case "name":
            prefix = {"each": "real", "check": "real"}.get(kind, kind)
            assert all(one.startswith(f"{prefix}/") for one in lines)
    assert lines


def test_events(two: Pair, capsys: Capture) -> None:
    two[0].events = events(two[0].fleet)
    assert remora("events", "drops", agents=two) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "fragment" in lines[0]
    assert remora("events", "--last", "1", "-o", "json", agents=two) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["items"][0]["type"]) == ("EventList", "change")
    assert remora("events", "-f", "-o", "json", agents=two) == Exit.USAGE


def test_reasons_and_version_need_no_agent(capsys: Capture) -> None:
    assert cli.main(["reasons"]) == Exit.DONE
    assert "remedy" in capsys.readouterr().out
    assert cli.main(["version"]) == Exit.DONE


# ---- changing


def test_drain_plans_then_applies_at_the_planned_revision(two: Pair, capsys: Capture) -> None:
    assert remora("drain", TARGET, "--yes", "--reason", "disk", agents=two) == Exit.DONE
    said = capsys.readouterr().out
    assert "40.2% of the ring moves; this real 40.0% -> 0.0%" in said
    assert "lb1: accepted -> applied -> verified, revision 8" in said
    assert "applied 2/2, verified 2" in said
    for agent in two:
        first, second = agent.changes
        assert first.action == second.action == Drain(real="10.3.1.2", vip="web")
        assert (first.dry_run, second.dry_run) == (True, False)
        assert (second.why, second.expect_revision) == ("disk", 7)
        assert first.id != second.id


def test_done_already(two: Pair, capsys: Capture) -> None:
    """K1: repeating an accomplished command is no error and changes nothing."""
    assert remora("drain", TARGET, "--yes", agents=two) == Exit.DONE
    assert remora("drain", TARGET, "--yes", agents=two) == Exit.DONE
    assert capsys.readouterr().err.endswith(f"{TARGET}: already drained\n")
    assert [c.dry_run for c in two[0].changes] == [True, False, True]


def test_dry_run_sends_nothing_else(two: Pair) -> None:
    assert remora("undrain", TARGET, "--dry-run", agents=two) == Exit.DONE
    two[0].fleet.admin[KEY] = Admin.DRAINING
    assert remora("undrain", TARGET, "--dry-run", agents=two) == Exit.DONE
    assert all(c.dry_run for agent in two for c in agent.changes)
    assert two[0].changes[-1].action == Undrain(real="10.3.1.2", vip="web")


def test_a_dry_run_without_the_nodes_asks_none(two: Pair, capsys: Capture) -> None:
    """Nor does it need a key that may more than look."""
    two[0].only_looks = True
    words = ("drain", TARGET, "real/10.3.2.2@web", "--dry-run=plan")
    assert remora(*words, agents=two) == Exit.DONE
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"would be sent: drain {TARGET} real/10.3.2.2@web",
        "  lb1: 2 changes as one",
        "  lb2: 2 changes as one",
    ]
    assert "no node was asked" in said.err
    assert remora(*words, "-o", "json", agents=two) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["items"][0]["action"]["actions"][0] == {
        "type": "drain", "real": "10.3.1.2", "vip": "web", "node": False, "deadline": 0.0,
        "then": "wait",
    }  # fmt: skip
    assert not two[0].received
    assert not two[1].received
    two[1].deaf = True
    assert remora(*words, agents=two) == Exit.PARTIAL
    assert "  lb2: no answer: left out" in capsys.readouterr().out


def test_a_dry_run_of_the_nodes_is_all_that_they_check(two: Pair, capsys: Capture) -> None:
    """The revision and the guards; `agent` is what --dry-run alone is."""
    assert remora("drain", "--dry-run=agent", TARGET, agents=two) == Exit.DONE
    assert remora("drain", "--dry-run", TARGET, "--expect-revision", "99", agents=two) == 7
    two[1].guard = "last-healthy"
    assert remora("drain", "--dry-run", TARGET, agents=two) == Exit.REFUSED
    assert "last-healthy" in capsys.readouterr().err
    assert all(c.dry_run for agent in two for c in agent.received)
    with pytest.raises(SystemExit):
        remora("drain", "--dry-run=client", TARGET, agents=two)


def test_nobody_to_ask(two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert remora("drain", TARGET, agents=two) == Exit.USAGE
    assert "give --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("10.3.1.2\n"))
    assert remora("drain", TARGET, agents=two, more=("--no-input",)) == Exit.USAGE
    assert all(c.dry_run for agent in two for c in agent.changes)


@pytest.mark.parametrize(
    ("typed", "code", "sent"), [("10.3.1.2\n", Exit.DONE, 2), ("y\n", Exit.USAGE, 1), ("", 2, 1)]
)
def test_a_large_move_wants_the_name(
    two: Pair, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, sent: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert remora("drain", TARGET, agents=two) == code
    assert [len(agent.changes) for agent in two] == [sent, sent]


def test_k2_who_left_while_the_question_waited_does_not_count(
    two: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = carrying._confirm

    def slowly(*given: Any) -> None:  # noqa: ANN401  # as it takes them
        two[1].fleet.away = frozenset({"web"})
        asks(*given)

    monkeypatch.setattr(carrying, "_confirm", slowly)
    monkeypatch.setattr("sys.stdin", Terminal("web\n"))
    assert remora("withdraw", "vip/web", "--node", "lb1", agents=two) == Exit.DONE
    asked = [command.action for command in two[0].changes]
    assert asked == [Withdraw(vip="web", elsewhere={"web": count}) for count in (1, 0)]


def test_guard_refuses_and_is_named(two: Pair, capsys: Capture) -> None:
    """K2: and then no node is sent the command, not even those that would take it."""
    two[1].guard = "last-healthy"
    assert remora("drain", TARGET, "--yes", agents=two) == Exit.REFUSED
    assert "lb2: last-healthy" in capsys.readouterr().err
    assert all(c.dry_run for agent in two for c in agent.changes)


def test_applied_is_all_that_was_waited_for(two: Pair, capsys: Capture) -> None:
    two[0].silent_about = "verified"
    assert remora("drain", TARGET, "--yes", "--wait", "applied", agents=two) == Exit.DONE
    said = capsys.readouterr().out
    assert "lb1: applied, revision 8" in said
    assert "applied 2/2   undo" in said


def test_no_wait_ends_as_soon_as_it_is_written(two: Pair, capsys: Capture) -> None:
    two[0].silent_about = "verified"
    assert remora("drain", TARGET, "--yes", "--no-wait", agents=two) == Exit.DONE
    assert "lb1: applied, revision 8" in capsys.readouterr().out


def test_quiet_keeps_progress_back_and_no_error(two: Pair, capsys: Capture) -> None:
    """Before the verb and behind it; what is piped on stays as it is."""
    for agent in two:
        agent.fleet.flows[KEY] = 0
    words = ("drain", TARGET, "--yes", "--wait=drained", "--timeout", "5", "-o", "json")
    assert remora("-q", *words, agents=two) == Exit.DONE
    said = capsys.readouterr()
    assert (len(json.loads(said.out)["items"]), said.err) == (2, "")
    assert remora(*words, "--quiet", agents=two) == Exit.DONE, "already so"
    assert capsys.readouterr().err == ""
    two[1].guard = "last-healthy"
    assert remora("undrain", TARGET, "--yes", "-q", agents=two) == Exit.REFUSED
    assert "last-healthy" in capsys.readouterr().err


def test_what_must_be_confirmed_comes_to_all_nodes_at_once(two: Pair, capsys: Capture) -> None:
    """A node that was never told to go back by itself would not."""
    words = ("drain", TARGET, "--yes", "--canary", "lb1", "--confirm-within", "5m")
    assert remora(*words, agents=two) == Exit.USAGE
    assert "with --canary take --for" in capsys.readouterr().err
    assert [agent.changes for agent in two] == [[], []]


@pytest.mark.parametrize(("span", "expires"), [("", 0.0), (" --for 7200s", 7200.0)])
def test_an_operation_that_goes_on_keeps_its_deadline_and_its_end(
    two: Pair, span: str, expires: float
) -> None:
    line = "drain real/10.3.1.2@web --deadline 600s --then kill"
    for agent in two:
        agent.fleet.rollouts = (
            RolloutRow(
                "op1", "ann@jump", (line,), "held", 0.0, terms=f"--canary lb1{span}", said="drops"
            ),
        )
    assert remora("op", "resume", "op1", "--dry-run", agents=two) == Exit.DONE
    wanted = Drain("10.3.1.2", "web", deadline=600.0, then="kill")
    assert [c.action for agent in two for c in agent.changes] == [wanted, wanted]
    assert {c.expires for agent in two for c in agent.changes} == {expires}


def under_way(*agents: FakeAgent) -> None:
    for agent in agents:
        agent.fleet.rollouts = (
            RolloutRow("op1", "ann@jump", (f"drain {TARGET}",), "running", 0.0, terms=""),
        )


@pytest.mark.parametrize("words", [("confirm", "op1"), ("op", "hold", "op1")])
def test_an_order_that_was_refused_is_no_success(
    two: Pair, words: tuple[str, ...], capsys: Capture
) -> None:
    """K1: a script that took a refused `confirm` for done would see its change go back, and a
    rollout that is said to be held must not go on."""
    under_way(*two)
    for agent in two:
        agent.only_looks = True
    assert remora(*words, agents=two) == Exit.NOT_ALLOWED
    said = capsys.readouterr()
    assert "may look only" in said.out + said.err
    assert "op1: held" not in said.out
    two[1].only_looks = False
    if words[0] == "op":
        assert remora(*words, agents=two) == Exit.PARTIAL


def test_no_text_of_others_steers_the_terminal(two: Pair, capsys: Capture) -> None:
    """K4: names, reasons and error texts are those of agents and of other operators."""
    hostile = "\x1b]52;c;aGk=\x07\x9b2J\u202e"
    under_way(*two)
    for agent in two:
        row = agent.fleet.rollouts[0]
        agent.fleet.rollouts = (msgspec.structs.replace(row, who=f"ann{hostile}", why=hostile),)
        agent.guard = f"last{hostile}"
        body = ChangeEvent(f"mo{hostile}", f"drain{hostile}", "applied\nlb9: refused", 7)
        agent.events = [agent.fleet.event(0, 1.0, body)]
    for words in (
        ("get", "op", "-o", "wide"),
        ("get", "op", "-o", "csv"),
        ("drain", TARGET, "-y"),
        ("events",),
        ("--color", "always", "status"),
        ("watch", "operations", "--count", "1", "--every", "0.1"),
    ):
        remora(*words, agents=two)
        said = "".join(capsys.readouterr())
        assert said
        assert not re.search(r"\x1b(?!\[(31;1|32|33|36|1|2)?m)|[\x07\x9b\u202e]", said), words
        if words == ("events",):
            assert "\nlb9" not in said, "one line of a log is one event"
        if "always" in words:
            assert "\x1b[" in said, "colours are ours"


@pytest.mark.parametrize(
    ("words", "code"), [(("drain", TARGET, "--yes"), Exit.FAILED), (("get", "real"), Exit.DONE)]
)
def test_a_reader_that_left_is_told_of_no_success(
    two: Pair, words: tuple[str, ...], code: Exit
) -> None:
    """`remora drain ... | true` sent nothing: that is no exit 0."""
    command = [sys.executable, "-m", "console", "-a", two[0].address, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (code, b"")
    assert KEY not in two[0].fleet.admin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_rollout_is_held_at_once_when_its_session_ends(two: Pair, number: int) -> None:
    """K2: not after a minute in which nobody steers it."""
    words = ("drain", TARGET, "--yes", "--canary", "lb1", "--soak", "60s")
    agents = [word for agent in two for word in ("-a", agent.address)]
    # Where these tests run under nohup, SIGHUP would be ignored, as it ought to be.
    heard = ("env", f"--default-signal={number}")
    command = [*heard, sys.executable, "-m", "console", *agents, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        ticking(two, lambda: KEY in two[0].fleet.admin)
        process.send_signal(number)
        ticking(two, lambda: process.poll() is not None)
        assert process.returncode == Exit.INTERRUPTED
        assert process.stderr is not None
        assert b"is HELD: remora op resume" in process.stderr.read()
    assert [row.state for agent in two for row in agent.fleet.rollouts] == ["held", "held"]
    assert KEY not in two[1].fleet.admin


def ticking(agents: Pair, fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        for agent in agents:
            agent.tick()
        time.sleep(0.05)  # between two intervals of the agents


def test_a_name_that_two_nodes_have_means_neither(tmp_path: Path, capsys: Capture) -> None:
    """K2: a copied config, or an agent that lies, must not be drained along with the node."""
    one, other = (FakeAgent(tmp_path / name, Fleet("lb1")) for name in ("a", "b"))
    with one, other:
        assert remora("drain", "node/lb1", "--yes", agents=(one, other)) == Exit.USAGE
        assert "2 agents call themselves so" in capsys.readouterr().err
        assert remora("drain", "lb1", "--yes", agents=(one, other)) == Exit.USAGE
        assert remora("status", agents=(one, other)) == Exit.FAILED
        assert "is called as another agent is" in capsys.readouterr().out
    assert one.changes == other.changes == []


def test_stages_want_a_canary(two: Pair, capsys: Capture) -> None:
    """Not a node is asked, let alone all of them changed at once."""
    assert remora("drain", TARGET, "--yes", "--batch", "1", agents=two) == Exit.USAGE
    assert "only with a canary" in capsys.readouterr().err
    assert [agent.changes for agent in two] == [[], []]


def test_an_operation_goes_on_as_before_but_for_what_is_typed(two: Pair, capsys: Capture) -> None:
    under_way(*two)
    for agent in two:
        row = agent.fleet.rollouts[0]
        held = msgspec.structs.replace(row, state="held", terms="--canary lb1 --soak 7s")
        agent.fleet.rollouts = (held,)
    assert remora("op", "resume", "op1", "--batch", "2", "--dry-run", agents=two) == Exit.DONE
    assert "ok on 2 nodes" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("confirm",), ("op", "hold", "op1"), ("drain", TARGET, "-y")])
def test_a_cluster_for_looking_only_is_that_for_every_verb(
    two: Pair, words: tuple[str, ...], tmp_path: Path
) -> None:
    under_way(*two)
    config = tmp_path / "config.toml"
    config.write_text("view_only = true\n")
    assert remora("--config", str(config), *words, agents=two) == Exit.NOT_ALLOWED
    assert [agent.changes for agent in two] == [[], []]


def test_what_is_not_found_again_is_no_success(two: Pair, capsys: Capture) -> None:
    """K1: the result is always known, and an unverified one is not taken for a verified one."""
    two[0].unverified = "ring of web: digest c0ffee, expected 5bd3f1"
    assert remora("drain", TARGET, "--yes", "-o", "json", agents=two) == Exit.PARTIAL
    first, second = json.loads(capsys.readouterr().out)["items"]
    assert (first["result"], first["verified"]) == ("applied", False)
    assert "c0ffee" in first["error"]
    assert (second["result"], second["verified"]) == ("applied", True)


def test_an_older_agent_answers_once(two: Pair, capsys: Capture) -> None:
    for agent in two:
        agent.steps = False
    assert remora("drain", TARGET, "--yes", agents=two) == Exit.DONE
    assert "lb1: applied, revision 8" in capsys.readouterr().out


def test_somebody_was_faster(two: Pair) -> None:
    """K1: a plan is applied at its revision or not at all."""
    for agent in two:
        agent.interfere = lambda agent=agent: setattr(agent.fleet, "revision", 8)  # type: ignore[misc]
    assert remora("drain", TARGET, "--yes", agents=two) == Exit.CONFLICT
    assert KEY not in two[0].fleet.admin


def test_expected_revision(two: Pair) -> None:
    words = ("drain", TARGET, "--yes", "--expect-revision")
    assert remora(*words, "6", agents=two) == Exit.CONFLICT
    assert remora(*words, "7", agents=two) == Exit.DONE


def test_partial(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    more = ("-a", str(tmp_path / "dead"), "--connect-timeout", "0.3")
    assert remora("drain", TARGET, "--yes", agents=two, more=more) == Exit.PARTIAL
    said = capsys.readouterr()
    assert "dead: no answer, nothing was sent" in said.err
    assert "applied 2/3" in said.out


def test_one_node_only(two: Pair) -> None:
    assert remora("drain", TARGET, "--yes", "--node", "lb2", agents=two) == Exit.DONE
    assert [len(agent.changes) for agent in two] == [0, 2]
    assert remora("drain", TARGET, "--yes", "--node", "lb9", agents=two) == Exit.USAGE


def test_node_drain_goes_to_that_node(two: Pair) -> None:
    assert remora("drain", "node/lb1", "--yes", agents=two) == Exit.DONE
    assert [c.action for c in two[0].changes] == [Drain(node=True)] * 2
    assert two[1].changes == []


def test_weight(two: Pair, capsys: Capture) -> None:
    assert remora("weight", TARGET, "50", "--yes", agents=two) == Exit.DONE
    assert two[0].changes[-1].action == Weight(real="10.3.1.2", weight=50, vip="web")
    assert remora("weight", TARGET, "0", "--yes", agents=two) == Exit.USAGE
    assert f"remora drain {TARGET}" in capsys.readouterr().err
    assert remora("weight", "node/lb1", "5", "--yes", agents=two) == Exit.USAGE


def test_wait_for_drained(two: Pair, capsys: Capture) -> None:
    for agent in two:
        agent.fleet.flows[KEY] = 0
    words = ("drain", TARGET, "--yes", "--wait=drained", "--timeout", "5")
    assert remora(*words, agents=two) == Exit.DONE
    assert "0 live flows" in capsys.readouterr().err


def test_wait_is_for_flows_that_were_not_heard_of_yet(two: Pair, capsys: Capture) -> None:
    """None counted is not none left while the agent does not say that the real is empty."""
    words = ("drain", TARGET, "--yes", "--wait=drained", "--timeout", "0.6")
    for agent in two:
        agent.fleet.flows[KEY] = 0
        agent.fleet.emptying[KEY] = Emptying(4000.0, 0, -1, -1, 0.0, 0.0, "")
    assert remora(*words, agents=two) == Exit.TIMED_OUT
    assert "0 live flows (no estimate yet) when the time was over" in capsys.readouterr().err
    for agent in two:
        unknown = Emptying(4000.0, 0, -1, -1, 0.0, 0.0, "", -1, -1, 1e6, "the flow table is new")
        agent.fleet.emptying[KEY] = unknown
    assert remora(*words, agents=two) == Exit.TIMED_OUT
    said = capsys.readouterr().err
    assert re.search(
        r"0 live flows; flows may be unknown for \d+ s more: the flow table is new", said
    )
    for agent in two:
        agent.fleet.emptying[KEY] = Emptying(4000.0, 0, 0, 0, 4300.0, 0.0, "")
    assert remora(*words, agents=two) == Exit.DONE


def test_wait_times_out(two: Pair, capsys: Capture) -> None:
    words = ("drain", TARGET, "--yes", "--wait=drained", "--timeout", "0.6s")
    assert remora(*words, agents=two) == Exit.TIMED_OUT
    assert "the change stands" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["node/lb1", "vip/web"])
def test_a_node_or_vip_is_drained_when_its_agent_says_so(
    two: Pair, target: str, capsys: Capture
) -> None:
    """Flows in its table are no proof of the contrary: the routers moved them to other nodes."""
    words = ("drain", target, "--yes", "--wait=drained", "--timeout", "0.6")
    for agent in two:
        agent.fleet.phase = "withdrawn"
        agent.fleet.flows = {(vip, real): 0 for vip in (WEB, DNS) for real in REALS}
    assert remora(*words, agents=two) == Exit.TIMED_OUT
    assert "lb1 withdrawn" in capsys.readouterr().err
    for agent in two:
        agent.fleet.phase = "drained"
        agent.fleet.flows.clear()
    assert remora(*words, agents=two) == Exit.DONE
    assert "lb1 drained" in capsys.readouterr().err


def test_json_of_a_change(two: Pair, capsys: Capture) -> None:
    assert remora("drain", TARGET, "--yes", "-o", "json", agents=two) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert [item["result"] for item in found["items"]] == ["applied", "applied"]
    assert found["items"][0]["changes"][0]["vip"] == "web"


# ---- usage


@pytest.mark.parametrize(
    "words",
    [
        ("get", "cheese"),
        ("weight", TARGET, "many"),
        ("--connect-timeout", "-1", "status"),
        ("drain", TARGET, "--wait=drained", "--no-wait"),
        ("cheese",),
    ],
)
def test_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["-a", "/nowhere", *words])
    assert left.value.code == Exit.USAGE


def test_where_agents_come_from(
    two: Pair, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("REMORA_AGENTS", raising=False)
    assert cli.main(["status"]) == Exit.USAGE
    assert "no agents: give -a" in capsys.readouterr().err
    monkeypatch.setenv("REMORA_AGENTS", f"{two[0].address} {two[1].address}")
    assert cli.main(["status", "--short"]) == Exit.DONE
    config = tmp_path / "remora" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'agents = ["{two[0].address}"]\ncluster = "lab"\n')
    assert cli.main(["status", "--short"]) == Exit.DONE
    assert capsys.readouterr().out.endswith("lab 1/1 nodes, healthy\n")
    config.write_text("agent = 1\n")
    assert cli.main(["status"]) == Exit.USAGE
    assert "agent: unknown key" in capsys.readouterr().err
    assert cli.main(["-a", "tcp://1.2.3.4", "--config", str(config), "status"]) == Exit.USAGE


def test_in_a_browser_the_console_only_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """textual-serve asks nobody who he is: whatever the config says, no plan is opened there."""
    seen: list[Settings] = []

    def run(settings: Settings, *_: object) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr("console.tui.app.run", run)
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    monkeypatch.setenv("TERM", "dumb")
    assert cli.main(["-a", "ipc:///run/x"]) == Exit.DONE
    assert [(settings.view_only, settings.served) for settings in seen] == [(True, True)]


def test_dumb_terminal_is_sent_to_the_cli(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert cli.main(["-a", "/nowhere"]) == Exit.USAGE
    assert "remora status" in capsys.readouterr().err


def test_no_word_at_all_is_the_console(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here without a terminal: it says so, and does not fall."""
    monkeypatch.setenv("REMORA_AGENTS", "ipc:///run/remora/lb1")
    monkeypatch.setattr("sys.argv", ["remora"])
    assert cli.main() == Exit.USAGE
    assert "the console needs a terminal" in capsys.readouterr().err


def test_verbs_do_not_import_textual() -> None:
    """Verbs answer in hundredths of a second; textual alone takes 200 ms."""
    verbs = Path(cli.__file__).parent / "verbs"
    names = ", ".join(sorted(file.stem for file in verbs.glob("[a-z]*.py")))
    program = (
        "import sys; from console.cli import main as cli\n"
        f"from console.cli.verbs import {names}\n"
        "sys.exit(any(m for m in sys.modules if m.partition('.')[0] in ('textual', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
