# SPDX-License-Identifier: Apache-2.0
"""Limits of the operator's own: what is passed for some seconds is an alert, as long as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.model.recording import inbox
from console.model.store import Store
from console.settings import SettingsError, load
from console.views.limits import HOLDS, LimitError, Overrun, limits
from tests.tui.recorded import LB1, LB2, Fleet, records


def store(seconds: int) -> Store:
    found = Store((LB1, LB2))
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=3)}
    found.take(inbox(records(nodes, range(seconds))))
    return found


def said(overrun: Overrun, known: Store, now: float) -> list[tuple[str, str]]:
    found = overrun.take(list(known.agents.values()), now)
    return [(problem.subject, problem.text) for problem in found]


def test_a_limit_is_an_alert_once_it_has_been_passed_for_some_seconds() -> None:
    overrun, known = Overrun(limits({"node": ["pps>2k"], "vip": ["reals<2"]})), store(3)
    assert said(overrun, known, 2.0) == []
    assert said(overrun, known, 9.0) == [], "nobody is live any more: old values say nothing"
    overrun = Overrun(limits({"node": ["pps>2k"]}))
    for second in range(3, 3 + int(HOLDS)):
        assert said(overrun, store(second), second - 1.0) == []
    ((subject, text),) = said(overrun, store(9), 8.0)
    assert subject == "node/lb2"
    assert "pps is 3.6" in text
    assert "its limit is pps>2k" in text
    assert said(Overrun(), store(9), 8.0) == []


def test_a_sum_without_all_of_its_nodes_passes_no_limit_from_below() -> None:
    """lb2 fell silent: of its packets nobody knows, so there may well be enough of them."""
    overrun, known = Overrun(limits({"vip": ["pps<2k", "pps>500"]})), Store((LB1, LB2))
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2", pps_factor=3)}
    for second in range(20, 20 + 2 * int(HOLDS)):
        known.take(inbox(records(nodes, range(second), silent_from={LB2: 9})))
        found = [text for subject, text in said(overrun, known, second - 1.0) if "web" in subject]
    assert found == ["pps is 1.00k?: its limit is pps>500"], "at least so many there are"


def test_what_went_away_begins_anew() -> None:
    overrun = Overrun(limits({"node": ["pps>2k"]}))
    said(overrun, store(3), 2.0)
    overrun.take([], 4.0)
    assert said(overrun, store(9), 8.0) == []


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"real": ["pps>1"]}, "limits of node and vip"),
        ({"node": ["pps"]}, "must be like"),
        ({"vip": ["cpu>1"]}, "about one of vip, address"),
    ],
)
def test_a_limit_that_can_never_be_judged_is_refused(table: dict[str, list[str]], why: str) -> None:
    with pytest.raises(LimitError, match=why):
        limits(table)


def test_limits_of_the_config(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('agents = ["ipc:///run/x"]\n[alerts]\nnode = ["drop/s>1k"]\n')
    assert load((), str(path), {}).alerts == {"node": ("drop/s>1k",)}
    path.write_text('agents = ["ipc:///run/x"]\nalerts = ["drop/s>1k"]\n')
    with pytest.raises(SettingsError, match="alerts"):
        load((), str(path), {})
