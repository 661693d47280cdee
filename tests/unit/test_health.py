# SPDX-License-Identifier: Apache-2.0
"""Rise and fall, as streams of results; routes; guards."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from agent import guard
from agent.health import Verdict, judge
from shared.model import Health

LETTER = {Health.UNKNOWN: "?", Health.UP: "U", Health.DOWN: "D"}


@pytest.mark.parametrize(
    ("results", "states"),
    [
        ("+", "U"),
        ("-", "D"),
        ("+--+--+---", "UUUUUUUUUD"),
        ("-+-+-++", "DDDDDDU"),
        ("+---++", "UUUDDU"),
        ("++++", "UUUU"),
        ("+--", "UUU"),
    ],
)
def test_h1_consecutive_results_decide(results: str, states: str) -> None:
    """H1: rise 2, fall 3, consecutive, never cumulative."""
    verdict, seen = Verdict(Health.UNKNOWN), ""
    for result in results:
        verdict = judge(verdict, ok=result == "+", rise=2, fall=3)
        seen += LETTER[verdict.health]
    assert seen == states


A = IPv4Address("10.200.0.1")


@pytest.mark.parametrize(
    ("before", "after", "quorum", "name"),
    [(3, 2, 1, None), (1, 0, 1, "last-healthy"), (3, 2, 3, "min-healthy"), (1, 1, 3, None),
     (0, 0, 1, None), (1, 2, 3, None)],
)  # fmt: skip
def test_k2_guards_by_name(before: int, after: int, quorum: int, name: str | None) -> None:
    said = guard.first(guard.check(guard.Impact("web", before, after, quorum, quorum)), ())
    assert (said.guard if said else None) == name
