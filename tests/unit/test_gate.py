# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and which commands pass the gate."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import access, gate
from agent.wire.gate import Gate
from shared import curve, grants
from shared.grants import AccessError, Grant
from shared.messages import Action, Command, Drain, Look
from shared.model import Role

ANN = Grant("ann", Role.OPERATOR)
WALL, NOW = 1.79e9, 1000.0


def command(id_: str = "1", *, sent: float = WALL, deadline: float = 0.0) -> Command:
    return Command(id=id_, who="ann@jump", action=Drain(node=True), sent=sent, deadline=deadline)


def refused(it: Gate, what: Command, *, payload: bytes = b"x", now: float = NOW) -> str:
    no = it.refusal(what, payload, ANN, wall=WALL, now=now)
    return no.guard if no else ""


def test_k1_a_repetition_is_not_late() -> None:
    """It came in time the first time: whoever repeats it wants to know what became of it."""
    it = Gate()
    what = command(deadline=WALL + 5)
    assert it.refusal(what, b"x", ANN, wall=WALL, now=NOW) is None
    assert it.refusal(what, b"x", ANN, wall=WALL + 9, now=NOW + 9) is None
    later = it.refusal(what, b"x", ANN, wall=WALL + 16, now=NOW + 16)
    assert later is not None
    assert later.guard == "too-old"


def test_every_action_has_a_role() -> None:
    """An action that is not in the table needs an admin: whoever adds one decides."""
    tags = {str(kind.__struct_config__.tag) for kind in get_args(Action)}
    assert set(access._NEEDED) == tags


@pytest.mark.parametrize(
    ("role", "action", "passes"),
    [
        (Role.VIEWER, Look(), True),
        (Role.VIEWER, Drain(node=True), False),
        (Role.OPERATOR, Drain(node=True), True),
        (Role.ADMIN, Drain(node=True), True),
    ],
)
def test_k2_roles(role: Role, action: Look | Drain, passes: bool) -> None:
    what = Command(id="1", who="x", action=action, sent=WALL)
    no = Gate().refusal(what, b"", Grant("x", role), wall=WALL, now=NOW)
    assert (no is None) == passes


@pytest.mark.parametrize(
    ("what", "guard"),
    [
        (command(), ""),
        (command(sent=0.0), "too-old"),
        (command(sent=WALL - 29), ""),
        (command(sent=WALL - 31), "too-old"),
        (command(sent=WALL + 31), "clock"),
        (command(deadline=WALL - 1), "too-old"),
        (command(deadline=math.nan), "too-old"),
        (command(sent=math.nan), "too-old"),
        (command(deadline=WALL + 1), ""),
    ],
)
def test_k2_time(what: Command, guard: str) -> None:
    assert refused(Gate(), what) == guard


def test_long_commands_are_for_admins() -> None:
    it, long = Gate(), bytes(gate.ORDINARY + 1)
    assert refused(it, command(), payload=long) == "oversized"
    admin = Grant("root", Role.ADMIN)
    assert it.refusal(command(), long, admin, wall=WALL, now=NOW) is None


def test_k2_ids() -> None:
    it = Gate()
    assert refused(it, command()) == ""
    assert refused(it, command(), now=NOW + gate.REPEAT) == "", "a retry"
    assert it.repeated(command(), NOW + 1)
    assert refused(it, command(), payload=b"y") == "replay", "another command under its id"
    assert refused(it, command(), now=NOW + gate.REPEAT + 1) == "replay", "too late for a retry"


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 5)), max_size=80))
def test_k2_an_id_never_passes_twice_after_its_time(story: list[tuple[int, float]]) -> None:
    """Whatever comes in between, and however long: time alone forgets, and then `sent` is old."""
    it, now, first = Gate(), NOW, dict[int, float]()
    for id_, step in story:
        now += step
        sent_at = first.setdefault(id_, now)
        what = command(str(id_), sent=WALL + sent_at)
        no = it.refusal(what, b"x", ANN, wall=WALL + now, now=now)
        assert (no is None) == (now - sent_at <= gate.REPEAT)


def test_rate_is_per_key_and_comes_back() -> None:
    it = Gate()
    assert sum(it.within_rate("a", NOW) for _ in range(1000)) == gate.BURST
    assert it.within_rate("b", NOW)
    assert sum(it.within_rate("a", NOW + 1) for _ in range(1000)) == gate.RATE


def test_authorised_keys() -> None:
    ann, bob = curve.make().public, curve.make().public
    found = grants.grants(f"# fleet A\n\noperator {ann} ann\n  viewer\t{bob} bob@jump  \n")
    assert found == {ann: Grant("ann", Role.OPERATOR), bob: Grant("bob@jump", Role.VIEWER)}
    assert grants.grants("") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("viewer KEY", "line 1: must be ROLE PUBLIC-KEY NAME"),
        ("\nroot KEY ann", "line 2: must be ROLE"),
        ("viewer short ann", "'short' is no public key"),
        ("viewer KEY ann\nadmin KEY bob", "line 2: the key of ann again"),
        ("viewer KEY ann\nadmin OTHER ann", "line 2: a second ann"),
        ("viewer KEY local", "local is what the audit calls others"),
    ],
)
def test_wrong_authorised_keys(text: str, says: str) -> None:
    text = text.replace("KEY", curve.make().public).replace("OTHER", curve.make().public)
    with pytest.raises(AccessError, match=says):
        grants.grants(text)
