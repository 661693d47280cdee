# SPDX-License-Identifier: Apache-2.0
"""What a line looks like where it does not fit."""

from __future__ import annotations

import pytest

from console.views.cells import Cell, cut, line, rule


@pytest.mark.parametrize(
    ("cells", "width", "shown"),
    [
        (line("12 of 20 reals"), 14, "12 of 20 reals"),
        (line("12 of 20 reals   "), 14, "12 of 20 reals"),
        (line("12 of 20 reals"), 13, "12 of 20 rea…"),
        ((Cell("lb1 ", "strong"), Cell("no answer", "bad")), 8, "lb1 no …"),
        ((Cell("lb1 ", "strong"), Cell("no answer", "bad")), 3, "lb…"),
        (line("x"), 0, "…"),
        (rule("cluster", 40), 14, "─ cluster ────"),
        (rule("what is wrong", 40), 10, "─ what is…"),
    ],
)
def test_only_what_is_missed_leaves_a_mark(cells: tuple[Cell, ...], width: int, shown: str) -> None:
    assert "".join(cell.text for cell in cut(cells, width)) == shown
