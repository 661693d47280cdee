# SPDX-License-Identifier: Apache-2.0
"""What the operator chooses for all that is written: units, zone, how old telemetry may be, how
much is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console import format as fmt
from console.cli import main as cli
from console.cli.grammar.top import parser
from console.exits import Exit
from console.model.moment import moment
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Capture = pytest.CaptureFixture[str]
NOON = 1_800_014_400.0 - 1_800_014_400.0 % 86400 + 43200


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    fmt.write_in(fmt.Style())


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        ("si", ["1.31M", "999", "1.0k", "0", "2.50"]),
        ("iec", ["1.25Mi", "999", "1000", "0", "2.50"]),
        ("raw", ["1312345", "999", "1000", "0", "2.5"]),
    ],
)
def test_units(units: fmt.Units, shown: list[str]) -> None:
    fmt.write_in(fmt.Style(units))
    values = [fmt.si(value) for value in (1312345.0, 999, 1000, 0, 2.5)]
    assert [v.replace("1.00k", "1.0k") for v in values] == shown
    assert fmt.si(None) == "-"


@pytest.mark.parametrize(
    ("hours", "clock", "mark"), [(0, "12:00:00", "+00:00"), (1, "13:00:00", "+01:00"),
                                 (-3.5, "08:30:00", "-03:30")],
)  # fmt: skip
def test_what_is_shown_in_a_zone_can_be_typed_there(hours: float, clock: str, mark: str) -> None:
    fmt.write_in(fmt.Style(offset=lambda _: hours * 3600))
    assert fmt.stamp(NOON) == clock + mark
    assert fmt.dated(NOON).endswith(f"{clock}{mark}")
    assert moment(clock, NOON + 60) == NOON
    assert moment(fmt.dated(NOON)[:19].replace(" ", "T"), NOON + 60) == NOON


def test_without_a_zone_it_is_utc() -> None:
    assert fmt.stamp(NOON) == "12:00:00Z"
    assert moment("12:00:00", NOON + 60) == NOON


@pytest.fixture
def lb1(tmp_path: Path) -> Iterator[FakeAgent]:
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as agent:
        yield agent


def test_flags_of_all_verbs_stand_before_or_behind() -> None:
    flags = ["--units", "raw", "--max-age", "2s", "--local", "-v"]
    ways = ([*flags, "get", "drop"], ["get", "drop", *flags])
    before, behind = (vars(parser().parse_args(words)) for words in ways)
    assert before == behind
    found = [before[name] for name in ("units", "max_age", "local", "verbose")]
    assert found == ["raw", 2.0, True, True]


def test_verbose_tells_of_each_question_on_stderr(lb1: FakeAgent, capsys: Capture) -> None:
    assert cli.main(["-a", lb1.address, "get", "real", "-o", "name"]) == Exit.DONE
    plain = capsys.readouterr()
    assert cli.main(["-a", lb1.address, "get", "real", "-o", "name", "-v"]) == Exit.DONE
    verbose = capsys.readouterr()
    assert (verbose.out, plain.err) == (plain.out, "")
    assert f"remora: remora: {lb1.address}" in verbose.err
    assert f"lb1 ({lb1.address}): look: ok at revision" in verbose.err
