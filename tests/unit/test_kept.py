# SPDX-License-Identifier: Apache-2.0
"""A flood of dropped packets pushes nothing else out: neither at the agent nor at the console."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.kept import DROPS_KEPT, OTHERS_KEPT, Kept
from console.model.eventlog import EVENTS_KEPT, EventLog
from console.model.store import Agent
from console.views.tail_rows import RARE, SHOWN, flow_of, tail_rows, who_lines
from shared.messages import ChangeEvent, DropEvent, Event, EventBody, LostEvent
from tests.tui.recorded import LB1, Fleet, dropped

DONE = ChangeEvent("ak@jump01", "drain real/10.3.2.2@web", "applied", 7)


def told(sequence: int, body: EventBody) -> Event:
    return Fleet("lb1").event(sequence, 3 + sequence / 1000, body)


def flooded(drops: int) -> Kept:
    """An operator did something, then the flood came."""
    kept = Kept()
    kept.add(told(0, dropped()))
    kept.add(told(1, DONE))
    for number in range(2, drops + 2):
        kept.add(told(number, dropped()))
    return kept


def answer(kept: Kept, sequence: int, upto: int) -> tuple[Event, ...]:
    """As the agent puts it."""
    found = kept.since(sequence, upto)
    lost = LostEvent(found.missing, "older than what the agent keeps")
    told_so = [told(found.newest_missing, lost)] if found.missing else []
    return tuple(sorted([*found.events, *told_so], key=lambda event: event.sequence))


def test_what_an_operator_did_outlives_a_flood_at_the_agent() -> None:
    found = flooded(DROPS_KEPT + 10).since(0, DROPS_KEPT + 12)
    assert found.events[0].body == DONE
    assert (found.missing, found.newest_missing) == (11, 11)
    assert flooded(5).since(0, 7).missing == 0


def test_so_does_it_outlive_a_flood_of_more_than_can_be_told() -> None:
    """Each batch of it brings one LostEvent, ten a second."""
    kept = Kept()
    kept.add(told(0, DONE))
    for number in range(1, OTHERS_KEPT + 10):
        kept.add(told(number, LostEvent(900, "more than 100 packets dropped at once")))
    assert kept.since(0, OTHERS_KEPT + 10).events[0].body == DONE


@given(st.sets(st.integers(0, 30)), st.integers(0, 31))
def test_every_event_is_kept_or_counted(changes: set[int], sequence: int) -> None:
    kept = Kept()
    for number in range(31):
        kept.add(told(number, DONE if number in changes else dropped()))
    found = kept.since(sequence, 31)
    assert [e.sequence for e in found.events] == list(range(sequence, 31))
    assert (found.missing, found.newest_missing) == (0, -1)


def test_a_console_that_comes_later_learns_of_it_and_counts_no_loss_twice() -> None:
    log = EventLog()
    log.replay(answer(flooded(DROPS_KEPT + 10), 0, DROPS_KEPT + 12))
    assert [event.body for event in log.changes] == [DONE]
    log = EventLog()
    log.publish(told(0, dropped()))
    upto = DROPS_KEPT + 12
    assert log.publish(told(upto, dropped())) == 1
    log.replay(answer(flooded(DROPS_KEPT + 10), 1, upto))
    assert log.lost == 10, "between the drain and what the agent still has"


def test_the_tail_has_what_was_done_before_the_flood() -> None:
    agent = Agent(LB1)
    agent.log.publish(told(0, DONE))
    for number in range(1, EVENTS_KEPT + 100):
        agent.log.publish(told(number, dropped()))
    found = tail_rows([agent])
    assert found[0].body == DONE
    assert len(found) == SHOWN + 1
    assert len(found) <= SHOWN + RARE
    assert all(isinstance(row.body, DropEvent) for row in found[1:])


def test_who_sends_what_is_dropped() -> None:
    agent = Agent(LB1)
    for number in range(8):
        source = "192.0.2.9" if number < 6 else f"198.51.100.{number}"
        agent.log.publish(told(number, dropped(f"{source}:{4000 + number}")))
    agent.log.publish(told(8, dropped(name="ip_options", number=2)))
    first, second = (
        "".join(cell.text for cell in one) for one in who_lines(tail_rows([agent]), 1, 120)
    )
    assert "192.0.2.9 75%" in first
    assert "of 8 that were told of" in first
    assert "web 100%" in second
    assert "no packet of it" in who_lines(tail_rows([agent]), 4, 120)[0][0].text


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("2001:db8::7", "from    2001:db8::7 100%"),
        ("[2001:db8::7]:4422", "from    2001:db8::7 100%"),
        ("192.0.2.9", "from    192.0.2.9 100%"),
        ("?", "from    ? 100%"),
    ],
)
def test_a_source_without_a_port_is_named_whole(source: str, says: str) -> None:
    agent = Agent(LB1)
    agent.log.publish(told(0, dropped(source)))
    first = who_lines(tail_rows([agent]), 1, 120)[0]
    assert says in "".join(cell.text for cell in first)


def test_a_packet_without_ports_is_of_no_flow_that_could_be_asked_about() -> None:
    """Later fragments have none."""
    assert flow_of(dropped("192.0.2.9:4422")) == "192.0.2.9:4422 10.200.0.1:80/tcp"
    assert flow_of(dropped("[2001:db8::7]:4422"))
    assert not flow_of(dropped("192.0.2.9"))
    assert not flow_of(dropped("2001:db8::7"))
    assert not flow_of(DONE)
