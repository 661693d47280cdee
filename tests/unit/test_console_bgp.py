# SPDX-License-Identifier: Apache-2.0
"""Sessions, announcements and checks as several nodes tell of them."""

from __future__ import annotations

from console.model.recording import inbox
from console.model.store import Agent, Store
from console.views.bgp import announced_lines, checks, sessions
from console.views.cells import TextLine
from shared.model import Admin, Health
from tests.tui.recorded import LB1, LB2, Fleet, records

DOWN = ("web", "10.3.2.2")


def agents(*, silent: bool = False) -> list[Agent]:
    store = Store((LB1, LB2))
    nodes = {
        LB1: Fleet("lb1", health={DOWN: Health.DOWN}, node_admin=Admin.DRAINING),
        LB2: Fleet("lb2", peers_up=False),
    }
    store.take(inbox(records(nodes, range(12), silent_from={LB2: 2} if silent else None)))
    return list(store.agents.values())


def text(lines: list[TextLine]) -> list[str]:
    return ["".join(cell.text for cell in one).rstrip() for one in lines]


def test_a_session_has_its_state_and_how_long() -> None:
    one, two = sessions(agents(), 12.0)
    assert (one.state.text, one.announced) == ("● up", "0/2")
    assert (two.state.text, two.detail) == ("✕ down", "hold timer")
    assert two.since == 5011.0 - 4001.0 + 1.0, "by the agent's clock, and what passed since"


def test_a_silent_node_has_no_state() -> None:
    """K4: it was up when it was last heard of, which is not now."""
    _, two = sessions(agents(silent=True), 12.0)
    assert two.state.text == "? STALE"
    assert not two.fresh


def test_announced_where() -> None:
    head, web, _ = text(announced_lines(agents(), 12.0, 80, 10))
    assert head.split() == ["VIP", "lb1", "lb2", "nodes", "address"]
    assert web.split() == ["web", "·", "●", "1", "10.200.0.1:80/tcp"]


def test_a_silent_node_is_counted_as_unknown() -> None:
    _, web, _ = text(announced_lines(agents(silent=True), 12.0, 80, 10))
    assert web.split() == ["web", "·", "?", "0+1?", "10.200.0.1:80/tcp"]


def test_many_nodes_and_little_room() -> None:
    store = Store([f"ipc:///run/remora/lb-{n:02}" for n in range(12)])
    nodes = {a: Fleet(a.rpartition("/")[2]) for a in store.agents}
    store.take(inbox(records(nodes, range(2))))
    lines = text(announced_lines(list(store.agents.values()), 1.5, 80, 2))
    assert lines[0].split()[1:4] == ["00", "01", "02"], "the end of a name tells nodes apart"
    assert lines[1] == " and 2 more: 3 has them all"
    assert all(len(one) <= 80 for one in lines)


def test_checks_name_the_nodes_that_disagree() -> None:
    found = {check.key: check for check in checks(agents(), 12.0)}
    split = found["real/10.3.2.2@web"]
    assert split.down_on == ("lb1",)
    assert split.state.text == "▲ split"
    assert split.real.check == "connection refused"
    assert found["real/10.3.1.2@web"].down_on == ()
