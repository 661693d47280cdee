# SPDX-License-Identifier: Apache-2.0
"""Rings slot by slot, operations over nodes, and plans node by node."""

from __future__ import annotations

from array import array

import pytest

from console.model.objects import ObjectError
from console.model.recording import inbox
from console.model.store import Arrived, Inbox, Reply, Store
from console.planning.plan import Answered, effects
from console.planning.wish import as_told
from console.views import what_if
from console.views.operations import operation_lines, operations, undoable
from console.views.problems import problems
from console.views.rings import difference, moved_lines, node_rings, wanted
from shared.messages import Answer, Change, ChangeEvent, Ring
from shared.model import RING_SLOTS, Admin
from tests.tui.recorded import LB1, LB2, Fleet, records

A, B = "10.3.1.2", "10.3.2.2"


def ring(digest: str, *runs: tuple[int, int], addresses: tuple[str, ...] = (A, B)) -> Ring:
    """Runs of (index of the address, slots); the rest is nobody's."""
    slots = array("H", [index for index, count in runs for _ in range(count)])
    slots.extend([0xFFFF] * (RING_SLOTS - len(slots)))
    return Ring("web", digest, addresses, slots.tobytes())


# ---- rings


def test_equal_rings_have_no_difference() -> None:
    whole = ring("a", (0, 100), (1, RING_SLOTS - 100))
    assert difference(whole, whole).slots == 0
    other_order = ring("a", (1, 100), (0, RING_SLOTS - 100), addresses=(B, A))
    assert difference(whole, other_order).slots == 0, "indexes do not matter, addresses do"


def test_the_first_slot_that_differs_and_who_has_it() -> None:
    here = ring("a", (0, 100), (1, RING_SLOTS - 100))
    there = ring("b", (0, 90), (1, RING_SLOTS - 95))
    found = difference(here, there)
    assert (found.slots, found.first, found.here, found.there) == (15, 90, A, B)
    assert found.moved == ((A, B, 10), (B, "nobody", 5))


def two(one: Fleet, other: Fleet) -> Store:
    store = Store((LB1, LB2))
    store.take(inbox(records({LB1: one, LB2: other}, range(3))))
    return store


def test_only_rings_that_differ_are_asked_for_and_the_alarm_says_where() -> None:
    same = two(Fleet("lb1"), Fleet("lb2"))
    assert wanted(list(same.agents.values()), 2.5, same.rings) == []
    both = {("web", A): Admin.DRAINING, ("dns", A): Admin.DRAINING}
    store = two(Fleet("lb1"), Fleet("lb2", admin=both))
    agents = list(store.agents.values())
    missing = wanted(agents, 2.5, store.rings)
    assert {vip for _, vip in missing} == {"web", "dns"}
    assert len(missing) == 4, "one node of each digest"
    for agent in agents:
        assert agent.vips is not None
        row = agent.vips.vips[0]
        made = ring(row.ring_digest, (0, 7 if agent.name == "lb1" else 5), (1, 60000))
        answer = Answer(id="1", node=agent.name, status="ok", revision=7, ring=made)
        store.take(Inbox(replies=(Reply(agent.address, "1", answer, 2.5),)))
    assert {vip for _, vip in wanted(agents, 2.5, store.rings)} == {"dns"}
    text = next(p.text for p in problems(agents, 2.5, store.rings) if p.kind == "ring")
    assert "web from slot" in text
    assert "10.3." in text
    rows = node_rings("web", agents, 2.5, store.rings)
    assert [row.state.text for row in rows] == ["● equal", "✕ differs"]
    assert rows[1].difference is not None
    assert rows[1].difference.first == 5
    assert len(moved_lines(rows[1], 3)) <= 3
    strange = node_rings("web", agents, 2.5, {})[1]
    assert "not known yet" in moved_lines(strange, 3)[0][0].text
    assert "nodes keep no slots" in moved_lines(strange, 3, past=True)[0][0].text
    old = node_rings("web", agents, 60.0, store.rings)
    assert {row.state.text for row in old} == {"? old"}


def test_a_ring_of_another_size_is_not_kept() -> None:
    store = Store((LB1,))
    short = Ring("web", "a", (A,), b"\0\0")
    answer = Answer(id="1", node="lb1", status="ok", revision=1, ring=short)
    store.take(Inbox(replies=(Reply(LB1, "1", answer, 1.0),)))
    assert store.rings == {}


# ---- operations

UNDRAIN = (f"undrain real/{A}@web",)


def changes(*said: tuple[str, float, ChangeEvent]) -> Store:
    """(address, second, event), numbered as they come."""
    store = Store((LB1, LB2))
    nodes = {LB1: Fleet("lb1"), LB2: Fleet("lb2")}
    for sequence, (address, second, body) in enumerate(said):
        event = nodes[address].event(sequence, second, body)
        store.take(Inbox((Arrived(address, event, second),)))
    return store


def drain(operation: str, result: str = "applied", who: str = "ann@jump") -> ChangeEvent:
    undo = UNDRAIN if result == "applied" else ()
    return ChangeEvent(who, f"drain real/{A}@web", result, 8, "INC-7", operation, undo)


def test_one_operation_on_two_nodes_is_one_row() -> None:
    store = changes((LB1, 1.0, drain("x")), (LB2, 1.1, drain("x")))
    (one,) = operations(list(store.agents.values()), 1.0)
    assert one.state.text == "● ok 2/2"
    assert [step.node for step in one.steps] == ["lb1", "lb2"]
    assert one.undo == [(LB1, "lb1", UNDRAIN), (LB2, "lb2", UNDRAIN)]
    assert undoable(one) == "yes"
    text = "\n".join("".join(cell.text for cell in row) for row in operation_lines(one, 10))
    assert "INC-7" in text
    assert "Z plans: undrain" in text


def test_partial_refused_and_failed_are_words() -> None:
    refused = drain("y", "refused: web would have no real")
    store = changes((LB1, 1.0, drain("x")), (LB2, 1.1, drain("x", "failed: disk")))
    assert operations(list(store.agents.values()), 1.0)[0].state.text == "▲ partial 1/2"
    store = changes((LB1, 1.0, refused), (LB2, 1.1, refused))
    (one,) = operations(list(store.agents.values()), 1.0)
    assert (one.state.text, undoable(one)) == ("✕ refused", "-")
    store = changes((LB1, 1.0, drain("z", "failed: disk")))
    assert operations(list(store.agents.values()), 1.0)[0].state.text == "✕ failed"


@pytest.mark.parametrize("result", ["time is over, back as before", "not confirmed, taken back"])
def test_what_went_back_by_itself_is_no_failure_and_needs_no_undo(result: str) -> None:
    """What the agent says later is no part of how many nodes did it."""
    back = ChangeEvent("agent", f"expire real/{A}@web", result, 9, "", "x")
    store = changes((LB1, 1.0, drain("x")), (LB2, 1.1, drain("x")), (LB1, 9.0, back))
    (one,) = operations(list(store.agents.values()), 1.0)
    assert (one.state.text, undoable(one)) == ("○ went back", "-")
    kept = ChangeEvent("agent", f"expire real/{A}@web", "kept: last-healthy: no", 9, "", "x")
    store = changes((LB1, 1.0, drain("x")), (LB2, 1.1, drain("x")), (LB1, 9.0, kept))
    (one,) = operations(list(store.agents.values()), 1.0)
    assert (one.state.text, undoable(one)) == ("● ok 2/2", "yes")


def test_what_an_agent_tells_of_itself_is_no_failure() -> None:
    ended = ChangeEvent("agent", f"drain real/{A}@web", "drained, 0 flows", 8)
    (one,) = operations(list(changes((LB1, 1.0, ended)).agents.values()), 1.0)
    assert one.state.text == "· drained, 0 flows"


def test_what_was_changed_again_cannot_be_taken_back() -> None:
    back = ChangeEvent("mo@jump", f"undrain real/{A}@web", "applied", 9, "", "y",
                       (f"drain real/{A}@web",))  # fmt: skip
    store = changes((LB1, 1.0, drain("x")), (LB1, 5.0, back))
    newest, oldest = operations(list(store.agents.values()), 1.0)
    assert newest.who == "mo@jump"
    assert undoable(newest) == "yes"
    assert undoable(oldest).startswith("no: mo@jump at")


def test_dropped_packets_do_not_push_operations_out() -> None:
    from tests.tui.recorded import dropped

    said = [(LB1, 1.0, drain("x"))]
    store = changes(*said)
    node = Fleet("lb1")
    for sequence in range(1, 3000):
        event = node.event(sequence, 1 + sequence / 1000, dropped())
        store.take(Inbox((Arrived(LB1, event, 2.0),)))
    assert len(operations(list(store.agents.values()), 1.0)) == 1


# ---- plans


def test_collateral_of_several_reals_is_counted_once() -> None:
    moved = 40_200
    both = tuple(
        Change("web", real, "enabled", "draining", 20_000, 0, moved, 5, 1) for real in (A, B)
    )
    answer = Answer(id="1", node="lb1", status="planned", revision=1, changes=both)
    one, other = effects([Answered(LB1, "lb1", answer)])
    assert one.collateral == other.collateral == 200 / RING_SLOTS


def test_every_answer_is_a_row() -> None:
    planned = Answer(id="1", node="lb1", status="planned", revision=4,
                     changes=(Change("web", A, "a", "b", 9, 0, 10, 5, 2),))  # fmt: skip
    refused = Answer(id="2", node="lb2", status="refused", revision=4, guard="last-healthy",
                     error="no real left")  # fmt: skip
    rows = what_if.node_plans(
        [Answered(LB1, "lb1", planned), Answered(LB2, "lb2", refused), Answered("c", "lb3", None)]
    )
    assert [row.state.text for row in rows] == ["● would do it", "✕ refuses", "? no answer"]
    assert (rows[0].live_flows, rows[0].reals_left) == (5, 2)
    assert rows[1].why == "last-healthy no real left"
    assert rows[2].moved is None


@pytest.mark.parametrize("text", ["", "drain", "reload node/lb1", "drain peer/x"])
def test_a_line_that_says_nothing_ends_no_console(text: str) -> None:
    """K4: of a newer or a broken agent; in the list of operations as in a plan."""
    store = Store([LB1])
    body = ChangeEvent("ann@jump", "drain real/10.3.1.2@web", "applied", 7, undo=(text,))
    store.take(Inbox([Arrived(LB1, Fleet("lb1").event(0, 1.0, body), 1.0)]))
    (found,) = operations(list(store.agents.values()), 1.0)
    with pytest.raises(ObjectError):
        as_told(found.undo, "undo it")
    with pytest.raises(ObjectError, match="do not say how"):
        as_told([(LB1, "lb1", ())], "go on")
