# SPDX-License-Identifier: Apache-2.0
"""How wide columns are, and which rows a filter leaves."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.views.cells import Cell
from console.views.columns import Column, fitting, matching, widths
from console.views.fields import parsed


class Row(NamedTuple):
    name: str
    pps: float | None
    state: str
    said: str = ""


COLUMNS: tuple[Column[Row], ...] = (
    Column("NAME", 10, lambda r: Cell(r.name), lambda r: r.name, grows="name"),
    Column("STATE", 8, lambda r: Cell(r.state), lambda r: r.state),
    Column("PPS", 6, lambda r: Cell(str(r.pps)), lambda r: r.pps, 1, right=True),
    Column("SAID", 10, lambda r: Cell(r.said), lambda r: r.said, 2, grows="prose"),
)
ROWS = [
    Row("fra1-edge-lb-01", 1_500.0, "● up"),
    Row("fra1-edge-lb-02", None, "✕ down"),
    Row("fra2-edge-lb-01", 20.0, "◐ drn 1/2"),
]


def shown(width: int, **wants: int) -> dict[str, int]:
    columns = fitting(COLUMNS, width, wants)
    return dict(zip((c.title for c in columns), widths(columns, width, wants), strict=True))


def test_a_name_has_the_room_that_it_needs_before_others_do() -> None:
    assert shown(80, NAME=15) == {"NAME": 15, "STATE": 8, "PPS": 6, "SAID": 10}
    assert shown(40, NAME=15) == {"NAME": 13, "STATE": 8, "PPS": 6}, "prose goes first"
    assert shown(30, NAME=9) == {"NAME": 10, "STATE": 8, "PPS": 6}
    assert shown(80, NAME=70)["NAME"] == 80 // 3, "one long name leaves room for what it is about"


def test_prose_gets_what_is_left() -> None:
    assert shown(80, NAME=15, SAID=30)["SAID"] == 30
    assert shown(60, NAME=15, SAID=90)["SAID"] == 60 - 1 - 16 - 9 - 7 - 1


@given(st.integers(24, 200), st.integers(0, 90), st.integers(0, 200))
def test_no_row_is_wider_than_the_screen(width: int, name: int, said: int) -> None:
    found = shown(width, NAME=name, SAID=said)
    assert 1 + sum(each + 1 for each in found.values()) <= width
    assert found["NAME"] >= 10


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("pps>1k", ["fra1-edge-lb-01"]),
        ("PPS<=20", ["fra2-edge-lb-01"]),
        ("pps>=0 !fra2", ["fra1-edge-lb-01"]),
        ("state=down", ["fra1-edge-lb-02"]),
        ("state=drn*", ["fra2-edge-lb-01"]),
        ("state!=up", ["fra1-edge-lb-02", "fra2-edge-lb-01"]),
        ("name=fra1*01", ["fra1-edge-lb-01"]),
        ("pps>", []),
        ("rack=r2", []),
        ("fra1", ["fra1-edge-lb-01", "fra1-edge-lb-02"]),
    ],
)
def test_a_filter_compares_as_field_does(words: str, left: list[str]) -> None:
    """What is no column, or no comparison yet, is a word like others."""
    assert [row.name for row in matching(ROWS, COLUMNS, words)] == left


def test_words_are_looked_for_in_what_stands_and_comparisons_in_all_columns() -> None:
    """With every packet a total has other digits: rows would come and go by chance."""
    total: Column[Row] = Column("PACKETS", 7, lambda r: Cell("58.7M"), lambda r: 58.7e6, of="PPS")
    columns = (*COLUMNS, total)
    assert matching(ROWS, columns, "58.7m") == []
    assert matching(ROWS, columns, "!58.7m") == ROWS
    assert matching(ROWS, columns, "58.7m", totals=True) == ROWS
    assert matching(ROWS, columns, "1500", totals=True) == [], "the rate is not there now"
    for totals in (False, True):
        assert matching(ROWS, columns, "pps>1k packets>1k", totals=totals) == ROWS[:1]


def test_what_is_unknown_is_like_nothing_and_differs_from_nothing() -> None:
    for text in ("pps=0", "pps!=0", "pps<1", "pps=-", "pps!=x"):
        found = parsed(text)
        assert found is not None
        assert not found.holds(None, "-")
