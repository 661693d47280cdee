# SPDX-License-Identifier: Apache-2.0
"""An empty table says `nothing` only where every node is live and said so (unknown is not 0)."""

from __future__ import annotations

from console.model.recording import inbox
from console.model.store import Agent, Store
from console.views.blank import why_empty
from tests.tui.recorded import LB1, LB2, Fleet, records


def _why(*lists: str, now: float, silent_from: int = 99, look: str = "") -> str:
    nodes = {LB1: Fleet("lb1", empty=True), LB2: Fleet("lb2", empty=True)}
    kept = {a: node for a, node in nodes.items() if a in lists}
    store = Store([LB1, LB2])
    store.take(inbox(records(kept, range(20), silent_from={LB2: silent_from})))
    agents: list[Agent] = list(store.agents.values())
    return why_empty(agents, now, lambda agent: agent.vips, "no VIPs", look)


def test_nothing_is_said_of_live_nodes_that_told_so() -> None:
    assert _why(LB1, LB2, now=19.0) == "no VIPs"


def test_an_answer_may_say_where_there_would_be_some() -> None:
    assert _why(LB1, LB2, now=19.0, look="3 has all") == "no VIPs: 3 has all"
    assert "3 has all" not in _why(LB1, now=19.0, look="3 has all"), "first that node"


def test_what_live_nodes_have_not_told_yet_is_on_its_way() -> None:
    """A screen that follows another topic shows it a moment after it opened."""
    store = Store([LB1])
    store.take(inbox(records({LB1: Fleet("lb1")}, range(20))))
    agents: list[Agent] = list(store.agents.values())
    assert why_empty(agents, 19.0, lambda _: None, "no VIPs") == "asking lb1 …"


def test_a_silent_or_stale_node_is_left_out_aloud() -> None:
    left_out = "no VIPs, as far as is known: no live values from lb2 (8)"
    assert _why(LB1, now=19.0) == left_out
    assert _why(LB1, LB2, now=19.0, silent_from=5) == left_out


def test_without_any_live_node_nothing_is_known() -> None:
    assert _why(now=19.0).startswith("not known: no live values from 2 nodes")
    assert _why(LB1, LB2, now=60.0).startswith("not known")
