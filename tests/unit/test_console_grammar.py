# SPDX-License-Identifier: Apache-2.0
"""The words of the CLI, as a table: which flags stand where, what values may be, what they mean."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import completion
from console.cli import main as cli
from console.cli.grammar import top, words
from console.exits import Exit
from shared.model import Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

TARGET = "real/10.3.1.2@web"
Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2)) as other,
    ):
        yield one, other


def remora(*given: str, agents: tuple[FakeAgent, ...]) -> int:
    return cli.main([*(w for agent in agents for w in ("-a", agent.address)), *given])


# ---- flags of all verbs

ENOUGH = {
    **dict.fromkeys(("drain", "undrain", "maint", "reload", "rollback", "apply"), "x"),
    **{"weight": "x 5", "get": "node", "op": "hold x", "plan": "drain x", "diff": "ring"},
    **{"flow": "1.2.3.4:5 web", "keys": "f", "record": "f", "replay": "f"},
    **{"relay": "--listen h:1", "completion": "bash"},
}
"""Verb -> words without which it is not complete."""
VERBS = [verb for verb in completion._subparsers(top.parser()) if verb != "complete"]
GLOBAL = [
    (["--quiet"], "quiet", True),
    (["-v"], "verbose", True),
    (["-C", "lab"], "context", "lab"),
    (["--config", "f"], "config", "f"),
    (["--connect-timeout", "500ms"], "connect_timeout", 0.5),
    (["--max-age", "3s"], "max_age", 3.0),
    (["--no-input"], "no_input", True),
    (["--local"], "local", True),
    (["--local", "--utc"], "local", False),
    (["--units", "iec"], "units", "iec"),
    (["--color", "always"], "color", "always"),
    (["--plain"], "plain", True),
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_all_verbs_stands_before_the_verb_or_behind_it(verb: str) -> None:
    call = [verb, *ENOUGH.get(verb, "").split()]
    usual = vars(top.parser(call).parse_args(call))
    for flag, name, value in GLOBAL:
        for given in ([*flag, *call], [*call, *flag]):
            found = vars(top.parser(given).parse_args(given))
            assert found == {**usual, name: value}, given
    assert {flag[0] for flag, *_ in GLOBAL} <= {
        name for names in words.EVERYWHERE for name in names.split()
    }
    assert len(GLOBAL) == len(words.EVERYWHERE), "one line for each"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5s", 1.5), ("500ms", 0.5), ("30m", 1800), ("2h", 7200), ("1d", 86400)],
)
def test_spans_of_time(text: str, seconds: float) -> None:
    assert words.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "5x", "s", "1e9", "nan", "inf", "1 m"])
def test_what_is_no_span_of_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be a time like"):
        words.duration(text)


SIGNS = set("●◐○▲✕·")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("status",), Exit.FAILED),
        (("get", "real"), Exit.DONE),
        (("top", "node"), Exit.DONE),
        (("diff", "ring"), Exit.FAILED),
        (("drain", TARGET, "--yes"), Exit.REFUSED),
    ],
)
def test_plain_is_words_only(
    two: Pair, capsys: Capture, given: tuple[str, ...], code: Exit
) -> None:
    """For a screen reader: the same words, without the signs and the colours."""
    two[1].fleet.health["web", "10.3.1.2"] = Health.DOWN
    two[1].guard = "last-healthy"
    assert remora(*given, "--color", "always", agents=two) == code
    shown = "".join(capsys.readouterr())
    assert SIGNS & set(shown)
    assert remora(*given, "--plain", "--color", "always", agents=two) == code
    plain = "".join(capsys.readouterr())
    assert not SIGNS & set(plain)
    assert "\x1b" not in plain
    assert plain.count("\n") == shown.count("\n")


def test_plain_never_clears_the_screen(
    two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags, clears in (([], True), (["--plain"], False)):
        out = Terminal()
        monkeypatch.setattr("sys.stdout", out)
        again = ["--watch=100ms", "--count", "2", "--color", "never"]
        assert remora("get", "real", *again, *flags, agents=two) == Exit.DONE
        assert ("\x1b[2J" in out.getvalue()) is clears


def test_a_full_screen_is_not_plain(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert cli.main(["-a", "/nowhere", "--plain"]) == Exit.USAGE
    assert "remora watch --plain" in capsys.readouterr().err
