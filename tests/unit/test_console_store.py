# SPDX-License-Identifier: Apache-2.0
"""Store, event log and rows: what is known, how old it is, and what it adds up to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.model import objects, recording, rows
from console.model.eventlog import EVENTS_KEPT, EventLog
from console.model.rates import Sum
from console.model.store import Arrived, Fault, Inbox, Liveness, Missing, Reply, Store
from console.model.tracks import added
from console.views import columns, details, items, tables, totals
from console.views.columns import Column
from console.views.problems import problems
from console.views.view import View
from shared import recording as store_format
from shared.codec import topic_of
from shared.messages import Answer, Emptying, Event, LostEvent, NodeSnapshot
from shared.model import Admin, Health
from shared.recording import Record
from tests.tui.recorded import LB1, LB2, Fleet, dropped, events, records


def store_of(*fleets: Fleet, seconds: int = 3) -> Store:
    """Both nodes seen for some seconds; `now` is then seconds - 1."""
    addresses = dict(zip((LB1, LB2), fleets, strict=False))
    store = Store(list(addresses))
    store.take(recording.inbox(records(addresses, range(seconds))))
    return store


def event(sequence: int, *, at: float | None = None) -> Event:
    return Fleet("lb1").event(sequence, float(sequence) if at is None else at, dropped())


# ---- liveness and rates


def test_rates_are_the_agents_own() -> None:
    store = store_of(Fleet("lb1"), Fleet("lb2", pps_factor=2))
    one, two = rows.nodes(store.agents.values(), 2.0)
    assert (one.pps, two.pps) == (1200 + 26, 2400 + 26)
    web, dns = rows.vips(store.agents.values(), 2.0)
    assert (web.pps.value, dns.pps.value, web.pps.left_out) == (3000, 600, 0)
    assert web.share == pytest.approx(5 / 6)


def test_the_ring_that_differs_stands_out_and_of_two_both_do() -> None:
    odd = Fleet("lb2", weight={("web", "10.3.1.2"): 1})
    pair = store_of(Fleet("lb1"), odd)
    assert [n.ring_differs for n in rows.nodes(pair.agents.values(), 2.0)] == [True, True]
    three = {LB1: Fleet("lb1"), LB2: odd, "ipc:///run/remora/lb3": Fleet("lb3")}
    store = Store(list(three))
    store.take(recording.inbox(records(three, range(3))))
    assert [n.ring_differs for n in rows.nodes(store.agents.values(), 2.0)] == [False, True, False]


def test_a_counter_that_went_back_is_unknown() -> None:
    """Never 0, never a spike."""
    store = store_of(Fleet("lb1"))
    node = Fleet("lb1").at(3)[0]
    assert isinstance(node, NodeSnapshot)
    store.take(Inbox([Arrived(LB1, msgspec.structs.replace(node, rx_packets=1), 3.0)]))
    assert rows.nodes(store.agents.values(), 3.0)[0].pps is None


def test_stale_is_marked_and_left_out_of_sums() -> None:
    """K4: what is old is never shown as live."""
    fleets = {LB1: Fleet("lb1"), LB2: Fleet("lb2")}
    store = Store(list(fleets))
    store.take(recording.inbox(records(fleets, range(30), silent_from={LB2: 20})))
    one, two = rows.nodes(store.agents.values(), 29.0)
    assert (one.liveness, two.liveness) == (Liveness.LIVE, Liveness.STALE)
    assert two.state.text == "? STALE"
    web = rows.vips(store.agents.values(), 29.0)[0]
    assert (web.pps.value, web.pps.left_out, web.nodes) == (1000, 1, 1)
    texts = {c.title: c.cell(two).text for c in tables.NODES}
    assert texts["FLOWS"].endswith("?")
    assert texts["AGE"] == "10s"
    packets = totals.NODES[0].cell(two).text
    assert packets.endswith("?"), "a total, too"
    carried = store.agents[LB1].vips
    assert carried is not None
    assert web.counted.total("packets") == Sum(carried.vips[0].packets, 1)
    assert totals.VIPS[0].cell(web).text.endswith("?")


@pytest.mark.parametrize(("hz", "limit"), [(1.0, 5.0), (20.0, 5.0), (0.1, 30.0)])
def test_stale_after_five_seconds_or_three_intervals(hz: float, limit: float) -> None:
    store = Store([LB1])
    for n in range(3):
        node = Fleet("lb1").at(n / hz)[0]
        store.take(Inbox([Arrived(LB1, node, n / hz)]))
    assert store.agents[LB1].limit() == pytest.approx(limit)


def test_a_topic_of_its_own_rate_is_stale_by_that_rate() -> None:
    """An agent may send `real` every ten seconds and `node` each second: both are live."""
    store = Store([LB1])
    for second in range(31):
        messages = [m for m in Fleet("lb1").at(float(second)) if topic_of(m) == b"node"]
        if second % 10 == 0:
            messages += [m for m in Fleet("lb1").at(float(second)) if topic_of(m) == b"real"]
        store.take(Inbox([Arrived(LB1, m, float(second)) for m in messages]))
    agent = store.agents[LB1]
    assert agent.limit("node") == 5.0
    assert agent.limit("real") == pytest.approx(30.0)
    assert (agent.fresh(39.0, "node"), agent.fresh(39.0, "real")) == (False, True)


def test_never_heard_and_foreign() -> None:
    store = Store([LB1, LB2])
    store.take(Inbox(faults=[Fault(LB2, "wire version 63", Liveness.FOREIGN)]))
    states = [node.state.text for node in rows.nodes(store.agents.values(), 1.0)]
    assert states == ["? no answer", "? version"]
    assert [p.subject for p in problems(list(store.agents.values()), 1.0)] == [
        "node/lb1",
        "node/lb2",
    ]


def test_sparklines_remember_a_minute() -> None:
    store = store_of(Fleet("lb1"), seconds=100)
    history = added([store.agents[LB1].track("vip", "web")])
    assert len(history) == 60
    assert set(history) == {1000}


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_a_minute_is_the_same_however_often_somebody_looks(every: int) -> None:
    """It is worked out for who looks: also one that nobody looked at before is whole, or has holes
    where it should."""
    store = Store([LB1])
    fleet = Fleet("lb1")
    for second in [*range(30), *range(50, 85)]:
        store.take(Inbox([Arrived(LB1, m, float(second)) for m in fleet.at(float(second))]))
        if second % every == 0:
            store.agents[LB1].track("vip", "web")
    history = added([store.agents[LB1].track("vip", "web")])
    assert history == [1000] * 25 + [None] + [1000] * 34, "a hole is unknown, not a spike"
    assert added([store.agents[LB1].track("vip", "nobody's")]) == [None] * 60


# ---- events


def test_a_gap_is_asked_for_and_filled() -> None:
    log = EventLog()
    assert log.publish(event(3)) is None
    assert log.publish(event(7)) == 4
    assert [(one.place[1], one.lost) for one in log.lines(9)] == [(3, 0), (4, 3), (7, 0)]
    log.replay((event(5), event(6)))
    assert [(one.place[1], one.lost) for one in log.lines(9)] == [
        (3, 0),
        (4, 1),
        (5, 0),
        (6, 0),
        (7, 0),
    ]
    assert log.lost == 1
    log.replay((event(4),))
    assert [one.place[1] for one in log.lines(9)] == [3, 4, 5, 6, 7]
    assert log.lost == 0


def test_the_agents_word_for_a_gap_is_not_counted_twice() -> None:
    log = EventLog()
    log.publish(event(0))
    assert log.publish(event(5)) == 1
    lost = Fleet("lb1").event(3, 9.0, LostEvent(3, "older than what the agent keeps"))
    log.replay((lost, event(4)))
    assert log.lost == 3
    assert [one.lost for one in log.lines(9)] == [0, 3, 0, 0]


def test_a_restarted_agent_numbers_from_zero_again() -> None:
    log = EventLog()
    for n in range(3):
        log.publish(event(n))
    assert log.publish(event(0, at=50.0)) is None
    assert [one.place for one in log.lines(9)] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_after_a_reboot_of_the_machine_its_events_are_shown() -> None:
    """Numbers and clock both begin anew: nothing of the new life may be taken for the old one."""
    log = EventLog()
    for n in range(3):
        log.publish(event(n, at=9_000_000.0 + n))
    after = [msgspec.structs.replace(event(n, at=60.0 + n), boot="another") for n in range(3)]
    assert [log.publish(each) for each in after] == [None, None, None]
    assert [one.place for one in log.lines(9)] == [(0, n) for n in range(3)] + [
        (1, n) for n in range(3)
    ]
    again = msgspec.structs.replace(event(0, at=90.0), boot="another")
    log.publish(again)
    assert log.lines(1)[0].place == (2, 0), "and a restart of the agent after that is seen, too"


def test_what_a_new_life_said_before_it_was_heard_is_asked_for() -> None:
    log = EventLog()
    log.publish(event(7))
    assert log.publish(event(2, at=50.0)) == 0
    assert [one.lost for one in log.lines(9)] == [0, 2, 0]
    log.replay((event(0, at=48.0), event(1, at=49.0)))
    assert log.lost == 0


def test_what_was_got_and_left_the_log_is_not_lost() -> None:
    log = EventLog()
    log.publish(event(0))
    assert log.publish(event(5)) == 1
    log.replay(tuple(event(n) for n in (2, 3, 4)))
    assert log.lost == 1
    for n in range(6, EVENTS_KEPT + 50):
        log.publish(event(n))
    assert log.lost == 1


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40)))
def test_every_event_is_shown_or_counted_lost(came: set[int], replayed: set[int]) -> None:
    log = EventLog()
    for n in sorted(came):
        log.publish(event(n))
    first, last = min(came), max(came)
    log.replay(tuple(event(n) for n in sorted(replayed) if first <= n <= last))
    lines = log.lines(1000)
    shown = {one.place[1] for one in lines if one.event}
    assert shown == came | {n for n in replayed if first <= n <= last}
    assert len(shown) + sum(one.lost for one in lines if not one.event) == last - first + 1


def test_store_asks_for_what_is_missing() -> None:
    store = Store([LB1])
    missing = store.take(Inbox([Arrived(LB1, event(n), 1.0) for n in (0, 1, 4)]))
    assert missing == [Missing(LB1, 2)]
    answer = Answer(id="1", node="lb1", status="ok", revision=1, events=(event(2), event(3)))
    store.take(Inbox(replies=[Reply(LB1, "1", answer, 2.0)]))
    assert [one.place[1] for one in store.lines(10)] == [0, 1, 2, 3, 4]


# ---- rows


def states(*fleets: Fleet) -> dict[str, str]:
    store = store_of(*fleets)
    return {r.key: r.state.text for r in rows.reals(store.agents.values(), 2.0)}


KEY = ("web", "10.3.1.2")
NAME = "real/10.3.1.2@web"


def test_drain_then_drained() -> None:
    draining = {KEY: Admin.DRAINING}
    with_flows = Fleet("lb1", admin=dict(draining))
    without = Fleet("lb1", admin=dict(draining), flows={KEY: 0})
    assert states(with_flows)[NAME] == "◐ drain"
    assert states(without)[NAME] == "○ drained"
    assert states(with_flows, Fleet("lb2"))[NAME] == "◐ drn 1/2"


def test_health_and_disagreement() -> None:
    down = Fleet("lb1", health={KEY: Health.DOWN})
    assert states(down)[NAME] == "✕ down"
    assert states(down, Fleet("lb2"))[NAME] == "▲ split"
    assert states(Fleet("lb1", health={KEY: Health.UNKNOWN}))[NAME] == "· unchecked"


def test_a_drain_is_no_problem_a_mixed_one_is() -> None:
    both = store_of(
        Fleet("lb1", admin={KEY: Admin.DRAINING}), Fleet("lb2", admin={KEY: Admin.DRAINING})
    )
    assert problems(list(both.agents.values()), 2.0) == []
    mixed = store_of(Fleet("lb1", admin={KEY: Admin.DRAINING}), Fleet("lb2"))
    found = {p.subject for p in problems(list(mixed.agents.values()), 2.0)}
    assert NAME in found


def test_problems_name_what_is_wrong() -> None:
    bad = Fleet("lb1", health={KEY: Health.DOWN}, peers_up=False)
    found = problems(list(store_of(bad).agents.values()), 2.0)
    assert [(p.critical, p.subject) for p in found] == [(True, "node/lb1"), (False, NAME)]
    assert "BGP to 10.2.1.1 is down" in found[0].text
    assert "connection refused" in found[1].text


@given(st.integers(20, 200))
def test_columns_never_exceed_the_width(width: int) -> None:
    for table in (tables.NODES, tables.VIPS, tables.REALS, tables.DROPS):
        chosen: list[Column[Any]] = columns.fitting(cast("Sequence[Column[Any]]", table), width)
        needed = 1 + sum(c.width + 1 for c in chosen)
        assert needed <= width or all(c.priority == 0 for c in chosen)


def test_columns_go_by_priority_from_the_widest_terminal_down() -> None:
    at = [{c.title for c in columns.fitting(tables.REALS, w)} for w in (80, 100, 140, 200)]
    assert at[0] < at[1] < at[2] <= at[3]


def test_sort_filter_unknown_last() -> None:
    store = store_of(Fleet("lb1"), Fleet("lb2", pps_factor=2))
    found = rows.nodes([*store.agents.values(), *Store(["ipc:///x/dead"]).agents.values()], 2.0)
    pps = next(c for c in tables.NODES if c.title == "PPS")
    assert [n.name for n in columns.ordered(found, pps)] == ["lb2", "lb1", "dead"]
    assert [n.name for n in columns.ordered(found, pps, reverse=True)] == ["lb1", "lb2", "dead"]
    assert [n.name for n in columns.matching(found, tables.NODES, "lb !lb2")] == ["lb1"]


# ---- objects


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("real/10.3.1.2@web", "real/10.3.1.2@web"),
        ("10.3.1.2@web", "real/10.3.1.2@web"),
        ("10.3.1.2", "real/10.3.1.2"),
        ("node/lb1", "node/lb1"),
        ("lb2", "node/lb2"),
        ("vip/web", "vip/web"),
        ("web", "vip/web"),
    ],
)
def test_objects(text: str, expected: str) -> None:
    agents = list(store_of(Fleet("lb1"), Fleet("lb2")).agents.values())
    assert str(objects.parse(text, agents, kinds=("real", "node", "vip"))) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.9.9.9", "no real or node"),
        ("real/10.3.1.2@nope", "there is real/10.3.1.2@dns"),
        ("node/", "a name is missing"),
        ("vip/web", "takes real/NAME or node/NAME"),
        ("web", "no real or node"),
    ],
)
def test_objects_that_mean_nothing(text: str, words: str) -> None:
    agents = list(store_of(Fleet("lb1")).agents.values())
    with pytest.raises(objects.ObjectError, match=words):
        objects.parse(text, agents, kinds=("real", "node"))


def test_a_name_that_means_two_things_is_refused() -> None:
    agents = list(store_of(Fleet("web")).agents.values())
    with pytest.raises(objects.ObjectError, match="ambiguous, write node/web or vip/web"):
        objects.parse("web", agents, kinds=("node", "vip"))


# ---- recordings


def test_recording_round_trip_and_damage() -> None:
    written = list(records({LB1: Fleet("lb1")}, range(2)))
    file = io.BytesIO()
    store_format.write(file, written)
    raw = file.getvalue()
    assert list(store_format.read(io.BytesIO(raw))) == written
    more = raw + store_format.block(written)[:-3]
    assert list(store_format.read(io.BytesIO(more))) == written, "cut while being written"
    flipped = raw[:200] + bytes([raw[200] ^ 1]) + raw[201:]
    assert list(store_format.read(io.BytesIO(flipped))) == [], "a damaged block is a gap"
    with pytest.raises(store_format.RecordingError, match="not what its header says"):
        store_format.unblock(flipped[len(store_format.MAGIC) :])
    with pytest.raises(store_format.RecordingError, match="not a recording"):
        list(store_format.read(io.BytesIO(b"hello" * 10)))
    with pytest.raises(store_format.RecordingError, match="damaged"):
        list(store_format.read(io.BytesIO(store_format.MAGIC + b"\xff" * 40)))


def test_recorded_garbage_is_a_fault() -> None:
    inbox = recording.inbox([Record(0.0, LB1, (b"node", b"\x01", b"junk"))])
    assert [fault.absence for fault in inbox.faults] == [None]
    assert [
        f.absence for f in recording.inbox([Record(0.0, LB1, (b"node", b"\x63", b""))]).faults
    ] == [Liveness.FOREIGN]
    assert len(events(Fleet("lb1"))) == 6


def test_f1_a_real_says_why_it_is_not_called_empty() -> None:
    """None is counted, but some may live: below the real, by the node that says so for longest."""
    fleets = {f"ipc:///run/remora/lb{n}": Fleet(f"lb{n}") for n in range(2)}
    for (n, fleet), until in zip(enumerate(fleets.values()), (0.0, 9_000_000.0), strict=True):
        fleet.flows["web", "10.3.1.2"] = 0
        unknown = until, "the flow table is new" if n else ""
        fleet.emptying["web", "10.3.1.2"] = Emptying(0.0, 0, -1, -1, 0.0, 0.0, "", -1, -1, *unknown)
    store = Store(list(fleets))
    store.take(recording.inbox(records(fleets, range(3))))
    view = View(store, 2.0, 0.0, "lab")
    (real,) = rows.reals(view.agents, 2.0, vip="web", address="10.3.1.2")
    assert real.emptied is not None
    assert real.emptied.unknown > 0
    texts = ["".join(cell.text for cell in one) for one in details.real_lines(view, real, 9)]
    said = [text for text in texts if "flows may be unknown for" in text]
    assert len(said) == 1
    assert said[0].endswith("more: the flow table is new")
    assert items.real(real)["drain"]["unknown_why"] == "the flow table is new"


def test_of_many_nodes_those_that_have_no_room_are_counted() -> None:
    many = {f"ipc:///run/remora/lb{n}": Fleet(f"lb{n}") for n in range(9)}
    store = Store(list(many))
    store.take(recording.inbox(records(many, range(3))))
    view = View(store, 2.0, 0.0, "lab")
    vip = rows.vips(view.agents, 2.0, name="web")[0]
    real = rows.reals(view.agents, 2.0, vip="web")[0]
    for lines in (details.vip_lines(view, vip, 4), details.real_lines(view, real, 4)):
        texts = ["".join(cell.text for cell in one) for one in lines]
        assert len(texts) == 4
        assert texts[3].startswith(" and 6 more nodes: ")
    assert len(details.vip_lines(view, vip, 9)) == 9
    (alone,) = rows.reals(view.agents, 2.0, vip="web", address=real.address)
    assert (alone.pps, alone.share) == (real.pps, None)
