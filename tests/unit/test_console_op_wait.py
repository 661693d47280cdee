# SPDX-License-Identifier: Apache-2.0
"""`op wait`: how an operation ended, whoever steered it, and how the verb exits then."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from console.cli import main as cli
from console.cli.verbs import awaiting
from console.cli.verbs.session import Session
from console.exits import Exit
from shared.messages import ChangeEvent, PendingRow, RolloutRow
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

TARGET = "real/10.3.1.2@web"
ANN = "ann@jump"
LINES = (f"drain {TARGET}",)
Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2")) as other,
    ):
        yield one, other


def remora(*words: str, agents: Pair) -> int:
    return cli.main([*(w for agent in agents for w in ("-a", agent.address)), *words])


def under_way(agents: Pair, state: Literal["running", "held"] = "running", said: str = "") -> None:
    """On lb1 it was done already."""
    for agent in agents:
        done = agent is agents[0]
        agent.fleet.rollouts = (RolloutRow("op1abc", ANN, LINES, state, 0.0, done=done, said=said),)


def told(agent: FakeAgent, *said: tuple[str, str], operation: str = "op1abc") -> None:
    """(who, result) of an operation, as the agent remembers."""
    agent.events += [
        agent.fleet.event(
            len(agent.events) + n, 1.0 + n, ChangeEvent(who, LINES[0], result, 8, "", operation)
        )
        for n, (who, result) in enumerate(said)
    ]


@pytest.mark.parametrize(
    ("results", "code", "says"),
    [
        (("applied", "applied"), Exit.DONE, "ok 2/2"),
        (("unchanged", "applied"), Exit.DONE, "ok 2/2"),
        (("unchanged", "unchanged"), Exit.DONE, "already so"),
        (("applied", "failed: disk"), Exit.PARTIAL, "partial 1/2"),
        (("refused: no", "refused: no"), Exit.FAILED, "refused"),
    ],
)
def test_one_that_has_ended_says_how(
    two: Pair, capsys: Capture, results: tuple[str, str], code: Exit, says: str
) -> None:
    for agent, result in zip(two, results, strict=True):
        told(agent, (ANN, result))
    assert remora("op", "wait", "op/op1", agents=two) == code
    said = capsys.readouterr()
    assert said.out == f"op/op1abc: {says}\n"
    assert ("remora: lb2: failed: disk" in said.err) is ("failed: disk" in results)
    assert remora("op", "wait", "op1", "-o", "json", agents=two) == code
    assert json.loads(capsys.readouterr().out)["items"][0]["name"] == "op1abc"


@pytest.mark.parametrize(
    ("result", "code"),
    [("time is over, back as before", Exit.DONE), ("not confirmed, taken back", Exit.FAILED)],
)
def test_one_that_went_back_by_itself(two: Pair, capsys: Capture, result: str, code: Exit) -> None:
    """With --for that is its end as it was wished, with --confirm-within nobody wanted it."""
    for agent in two:
        told(agent, (ANN, "applied"), ("agent", result))
    assert remora("op", "wait", "op1", agents=two) == code
    assert capsys.readouterr().out == "op/op1abc: went back\n"


def test_of_a_node_that_does_not_answer_nothing_is_known(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    """All that answer did it: that is not all of it."""
    for agent in two:
        told(agent, (ANN, "applied"))
    dead = ("-a", str(tmp_path / "dead"), "--connect-timeout", "2s")
    assert remora(*dead, "op", "wait", "op1", agents=two) == Exit.PARTIAL
    assert f"no answer from ipc://{tmp_path}/dead: what came of it there" in capsys.readouterr().err


def test_one_that_was_taken_back(two: Pair, capsys: Capture) -> None:
    told(two[0], (ANN, "applied"))
    told(two[0], (ANN, "applied"), operation="op1abc/revert")
    assert remora("op", "wait", "op1abc", agents=two) == Exit.FAILED
    assert capsys.readouterr().out == "op/op1abc: taken back\n"


def test_one_that_goes_on_is_waited_for(two: Pair, capsys: Capture) -> None:
    under_way(two)
    with later(lambda: over(two)):
        assert remora("op", "wait", "op1", agents=two) == Exit.DONE
    said = capsys.readouterr()
    assert "op/op1abc: 1/2" in said.err
    assert said.out == "op/op1abc: ok 2/2\n"


def over(agents: Pair) -> None:
    for agent in agents:
        told(agent, (ANN, "applied"))
        agent.fleet.rollouts = ()


class later:  # reads as a word of the test
    """Calls it in a thread when the verb will have looked."""

    def __init__(self, call: Callable[[], None], seconds: float = 2.0) -> None:
        self._timer = threading.Timer(seconds, call)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.join()


def test_held_needs_somebody(two: Pair, capsys: Capture) -> None:
    """A script must not wait half an hour for an operation that nobody will go on with."""
    under_way(two, "held", "drops +80/s on lb1")
    assert remora("op", "wait", "op1", agents=two) == Exit.PARTIAL
    said = capsys.readouterr()
    assert said.out == "op/op1abc: HELD at 1/2: drops +80/s on lb1\n"
    assert "remora op resume op1abc, or remora op revert op1abc" in said.err


def test_its_time_is_over(two: Pair, capsys: Capture) -> None:
    under_way(two)
    for span in ("0", "700ms"):
        start = time.monotonic()
        assert remora("op", "wait", "op1", "--timeout", span, agents=two) == Exit.TIMED_OUT
        assert span == "0" or time.monotonic() - start > 0.7
        assert "1/2 when the time was over; it goes on" in capsys.readouterr().err


def test_nobody_answers_any_more(two: Pair, capsys: Capture) -> None:
    under_way(two)
    words = ("--max-age", "300ms", "--connect-timeout", "200ms", "op", "wait", "op1")

    def deaf() -> None:
        for agent in two:
            agent.deaf = True

    with later(deaf):
        assert remora(*words, "--timeout", "30s", agents=two) == Exit.NO_AGENT
    assert remora(*words, agents=two) == Exit.NO_AGENT
    assert "no agent answers" in capsys.readouterr().err


def test_one_that_waits_to_be_confirmed_is_not_over(two: Pair, capsys: Capture) -> None:
    told(two[0], (ANN, "applied"))
    two[0].fleet.pending = (PendingRow("confirm", TARGET, ANN, 900.0, "op1abc"),)
    assert remora("op", "wait", "op1", "--timeout", "0", agents=two) == Exit.TIMED_OUT
    assert "waits for `remora confirm` on lb1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["zz", "op", ""])
def test_a_name_that_means_none_or_two(two: Pair, name: str) -> None:
    told(two[0], (ANN, "applied"))
    told(two[0], (ANN, "applied"), operation="op2")
    assert remora("op", "wait", name, agents=two) == Exit.USAGE


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("twice", "terminal"), [(False, True), (True, True), (True, False)])
def test_an_interrupt_ends_the_wait_and_a_second_one_holds_it(
    two: Pair, monkeypatch: pytest.MonkeyPatch, twice: bool, terminal: bool
) -> None:
    """The operation goes on after the first; without a terminal nobody can have meant a second."""

    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(awaiting, "_wait", interrupt)
    monkeypatch.setattr(Session, "pause", interrupt if twice else lambda *_: None)
    err = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    under_way(two)
    assert remora("op", "wait", "op1", agents=two) == Exit.INTERRUPTED
    assert "look again with: remora op wait op1abc" in err.getvalue()
    states = [row.state for agent in two for row in agent.fleet.rollouts]
    assert states == ["held" if twice and terminal else "running"] * 2


@pytest.mark.parametrize(
    "words",
    [("wait", "--canary", "lb1"), ("wait", "--dry-run"), ("hold", "--expect-revision", "7"),
     ("hold", "--timeout", "5s")],
)  # fmt: skip
def test_flags_that_would_mean_nothing(two: Pair, words: tuple[str, ...]) -> None:
    under_way(two)
    order, *flags = words
    assert remora("op", order, "op1", *flags, agents=two) == Exit.USAGE
    assert [agent.changes for agent in two] == [[], []]
