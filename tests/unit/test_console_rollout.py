# SPDX-License-Identifier: Apache-2.0
"""An operation that comes to its nodes one after the other: how it is steered, and what is seen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from console.model import recording, rows
from console.model.objects import ObjectError
from console.model.store import Reply, Store
from console.model.underway import EXPECTED, explained, touches, underway
from console.planning.rollout import SETTLE, Phase, Rollout, Start
from console.planning.staging import Staging, batches, of_terms, staging, stop_of
from console.planning.wish import Order
from console.views.operation_lines import operation_lines
from console.views.operations import operations, undoable
from console.views.problems import problems
from console.views.view import View, header
from shared.messages import Action, Answer, Drain, NodeSnapshot, RolloutRow, Withdraw
from shared.messages import Rollout as Told
from shared.model import Admin, Health
from tests.tui.recorded import LB1, LB2, Fleet, records

DRAIN = Drain("10.3.1.2", "web")
LINES = ("drain real/10.3.1.2@web",)
LB3 = "ipc:///run/remora/lb3"
ORDERS = tuple(Order(a, a[-3:], DRAIN) for a in (LB1, LB2, LB3))
HOW = Staging("lb1", soak=30.0, batch=1)


@dataclass
class Sender:
    sent: list[tuple[str, Action, dict[str, Any]]] = field(default_factory=list)

    def send(self, address: str, action: Action, **options: Any) -> str:  # noqa: ANN401  # as the client
        self.sent.append((address, action, options))
        return str(len(self.sent))

    def last(self, kind: type) -> list[str]:
        """Whom the newest message of this kind went to, one after the other from the end."""
        return [address[-3:] for address, action, _ in self.sent if isinstance(action, kind)]


class World:
    """Three nodes whose telemetry goes on; the test answers for them."""

    def __init__(self, odd: str = "", **start: Any) -> None:  # noqa: ANN401  # of Start
        self.fleets = {a: (Odd if a == odd else Fleet)(a[-3:]) for a in (LB1, LB2, LB3)}
        self.store = Store(list(self.fleets))
        self.sender = Sender()
        self.now = 0.0
        self.said: list[str] = []
        self._answered = 0
        self.pass_time(3)
        given: dict[str, Any] = {"orders": ORDERS, "how": HOW} | start
        made = Start("op1", LINES, revisions=dict.fromkeys(self.fleets, 7), why="INC-7", **given)
        self.rollout = Rollout(self.sender, made, self.said.append)
        self.rollout.begin(self.now, self.store.agents)

    def pass_time(self, seconds: int, *, silent: str = "") -> None:
        for _ in range(seconds):
            self.now += 1
            told = {a: f for a, f in self.fleets.items() if a != silent}
            second = int(self.now)
            self.store.take(recording.inbox(records(told, range(second, second + 1))))
            if hasattr(self, "rollout"):
                self.rollout.tick(self.now, self.store.agents)

    def answer(
        self, status: str = "applied", error: str = "", guard: str = "", only: int | None = None
    ) -> None:
        """To all that was sent and not answered yet; `only`: to so many."""
        sent = self.sender.sent[self._answered :][:only]
        for n, (address, _, _) in enumerate(sent, start=self._answered + 1):
            answer = Answer(
                id=str(n),
                node=address[-3:],
                status=status,  # type: ignore[arg-type]
                revision=8,
                error=error,
                guard=guard,
            )
            self.rollout.take(Reply(address, str(n), answer, self.now), self.now)
        self._answered += len(sent)
        self.rollout.tick(self.now, self.store.agents)


def test_the_canary_soaks_then_the_others_follow_one_by_one_and_all_are_told() -> None:
    world = World()
    assert world.sender.last(Told) == ["lb1", "lb2", "lb3"], "told before anything changes"
    told = world.sender.sent[0]
    assert told[1] == Told("running", DRAIN, str(HOW), within=50.0)
    assert told[2]["operation"] == "op1"
    world.answer()
    assert world.sender.last(Drain) == ["lb1"]
    assert world.sender.sent[-1][2]["expect_revision"] == 7
    world.answer()
    assert world.rollout.phase is Phase.SOAKING
    world.pass_time(29)
    assert world.sender.last(Drain) == ["lb1"]
    world.pass_time(1)
    world.answer()  # told again how long the rest takes
    assert world.sender.last(Drain) == ["lb1", "lb2"]
    world.answer()
    world.pass_time(int(SETTLE))
    assert world.sender.last(Drain) == ["lb1", "lb2", "lb3"]
    world.answer()
    world.pass_time(int(SETTLE))
    assert world.rollout.ended
    assert [action for _, action, _ in world.sender.sent[-3:]] == [Told("over")] * 3
    assert world.said[-1] == "3/3 applied"


def held(world: World) -> str:
    assert world.rollout.phase is Phase.HELD
    last = [(a[-3:], t.state) for a, t, _ in world.sender.sent[-3:] if isinstance(t, Told)]
    assert last == [("lb1", "held"), ("lb2", "held"), ("lb3", "held")], "every node knows"
    assert world.sender.last(Drain) == ["lb1"], "nothing more is sent"
    return world.rollout.said


def soaking() -> World:
    world = World()
    world.answer()
    world.answer()
    assert world.rollout.phase is Phase.SOAKING
    return world


def test_k2_a_node_is_told_who_announces_at_its_turn_not_when_it_was_planned() -> None:
    """The only other one that would go on dies while the canary soaks."""
    planned = Withdraw(vip="web", elsewhere={"web": 1})
    world = World(orders=tuple(Order(a, a[-3:], planned) for a in (LB1, LB2)))
    world.answer()
    world.answer()
    world.pass_time(30, silent=LB3)
    world.answer()
    sent = [(a[-3:], t.elsewhere) for a, t, _ in world.sender.sent if isinstance(t, Withdraw)]
    assert sent == [("lb1", {"web": 1}), ("lb2", {"web": 0})]
    world.answer("refused", "web: no other node announces it", "last-announcer", only=1)
    assert world.rollout.phase is Phase.HELD, "its guard judges by what is so"


def test_drops_stop_it() -> None:
    world = soaking()
    world.pass_time(2)
    assert world.rollout.phase is Phase.SOAKING, "6 drops/s as before"
    world.fleets[LB1] = MoreDrops("lb1")
    world.pass_time(2)
    assert held(world).startswith("drops +")
    world.pass_time(60)
    assert world.sender.last(Drain) == ["lb1"]


class MoreDrops(Fleet):
    def _node(self, second: float) -> NodeSnapshot:
        found = super()._node(second)
        return msgspec.structs.replace(found, drop_packets=int(600 * second))


class Odd(Fleet):
    """Each second another number, smaller than the one before, as of an agent that starts again
    and again: no rate can be made of it."""

    def _node(self, second: float) -> NodeSnapshot:
        found = super()._node(second)
        return msgspec.structs.replace(found, drop_packets=int(-second))


class Mended(Fleet):
    """Counts from anew, as many a second as before."""

    def _node(self, second: float) -> NodeSnapshot:
        found = super()._node(second)
        return msgspec.structs.replace(found, drop_packets=found.drop_packets - 100_000)


def test_drops_that_are_not_known_are_not_none() -> None:
    """The canary is judged as soon as its rate is known again, and held when it never is."""
    world = soaking()
    world.fleets[LB1] = Odd("lb1")
    world.pass_time(32)
    assert world.rollout.phase is Phase.SOAKING, "its time is over, but who knows"
    world.fleets[LB1] = Mended("lb1")
    world.pass_time(2)
    world.answer()
    assert world.sender.last(Drain) == ["lb1", "lb2"]
    world = soaking()
    world.fleets[LB1] = Odd("lb1")
    world.pass_time(41)
    assert held(world) == "lb1: drops not known for 10 s: nothing says whether they grew"


def test_drops_of_before_that_are_not_known_are_waited_for() -> None:
    world = World(odd=LB2)
    world.answer()
    world.pass_time(2)
    assert world.sender.last(Drain) == [], "nothing to compare with"
    world.fleets[LB2] = Mended("lb2")
    world.pass_time(2)
    assert world.sender.last(Drain) == ["lb1"]
    world = World(odd=LB2)
    world.answer()
    world.pass_time(10)
    assert world.rollout.phase is Phase.OVER
    assert world.said[-1].startswith("not begun: lb2: drops not known")
    world = World(odd=LB2, how=HOW._replace(stop=stop_of("hc")))
    world.answer()
    assert world.sender.last(Drain) == ["lb1"], "drops do not stop it: nothing is waited for"


def test_an_operation_that_another_console_steers_is_left_to_it() -> None:
    world = World(orders=ORDERS[1:], go_on=True, others=(LB1,), steers="mine")
    assert {action.steers for _, action, _ in world.sender.sent if isinstance(action, Told)} == {
        "mine"
    }
    world.answer("refused", "already resumed by ann@jump", guard="steered")
    assert (world.rollout.phase, world.rollout.taken) == (Phase.OVER, True)
    assert world.rollout.said == "lb2: already resumed by ann@jump"
    assert len(world.sender.sent) == 3, "no node is told to hold what goes on, or that it is over"
    assert world.rollout.parted


def test_two_that_each_have_a_node_leave_it_held() -> None:
    """One word was faster here, the other there: rather held than steered by two."""
    world = World(orders=ORDERS[1:], go_on=True, steers="mine")
    world.answer("applied", only=1)
    world.answer("refused", "already resumed by ann@jump", guard="steered")
    address, told, _ = world.sender.sent[-1]
    assert (address, told.state) == (LB2, "held")  # type: ignore[union-attr]


def test_a_real_of_its_vips_that_fails_stops_it_another_one_does_not() -> None:
    world = soaking()
    world.fleets[LB3].health["dns", "10.3.2.2"] = Health.DOWN
    world.pass_time(2)
    assert world.rollout.phase is Phase.SOAKING
    world.fleets[LB3].health["web", "10.3.2.2"] = Health.DOWN
    world.pass_time(1)
    assert held(world) == "real/10.3.2.2@web went down on lb3"


def test_a_node_that_falls_silent_stops_it() -> None:
    world = soaking()
    world.pass_time(7, silent=LB2)
    assert held(world) == "lb2: no telemetry for 6 s"


def test_another_console_that_holds_it_stops_it() -> None:
    world = soaking()
    world.fleets[LB2].rollouts = (row(held="held by mo@jump", since=5000.0 + world.now + 0.5),)
    world.pass_time(1)
    assert held(world) == "held by mo@jump"


def test_a_refusal_stops_it_and_so_does_an_answer_that_does_not_come() -> None:
    world = World()
    world.answer()
    world.answer("refused", "expected revision 7, lb1 is at 8")
    assert "expected revision 7" in held(world)
    world = World(how=HOW._replace(stop=stop_of("ack=3s")))
    world.answer()
    world.pass_time(4)
    assert held(world) == "lb1: no answer within 3 s"


def test_what_no_node_was_told_to_do_is_not_held_but_not_begun() -> None:
    world = World()
    world.answer("refused", "operation op0 of mo is not over yet")
    assert world.rollout.phase is Phase.OVER
    assert world.said[-1].startswith("not begun: ")
    assert world.sender.last(Drain) == []


def test_going_on_needs_no_canary_and_is_not_stopped_by_its_own_past() -> None:
    world = World(orders=ORDERS[1:], go_on=True, others=(LB1,))
    world.fleets[LB2].rollouts = (row(held="drops", since=5000.0),)
    world.pass_time(1)
    assert set(world.sender.last(Told)) == {"lb1", "lb2", "lb3"}
    world.answer()
    assert world.sender.last(Drain) == ["lb2"]
    world.answer()
    world.pass_time(int(SETTLE))
    assert world.sender.last(Drain) == ["lb2", "lb3"]
    world.answer()
    world.pass_time(int(SETTLE))
    assert world.rollout.phase is Phase.OVER
    assert {a for a, action, _ in world.sender.sent if action == Told("over")} == {LB1, LB2, LB3}


# ---- how it is written


def test_stages_are_written_as_the_cli_has_them() -> None:
    how = staging("2", "10s", "3", "drops=+80/s,ack=3s")
    assert how is not None
    assert str(how) == "--canary 2 --soak 10s --batch 3 --stop-on drops=+80/s,ack=3s"
    assert of_terms(str(how)) == how
    assert of_terms("") is None
    assert staging("", "", "", "") is None, "all at once"
    assert [[o.node for o in step] for step in batches(ORDERS, how)] == [["lb1", "lb2"], ["lb3"]]
    named = HOW._replace(canary="lb2", batch=5)
    assert [[o.node for o in step] for step in batches(ORDERS, named)] == [["lb2"], ["lb1", "lb3"]]


@pytest.mark.parametrize(
    ("soak", "batch", "stop", "why"),
    [("2h", "", "", "1s to 50m"), ("", "x", "", "number of nodes"), ("", "", "hx", "takes drops")],
)
def test_stages_that_make_no_sense(soak: str, batch: str, stop: str, why: str) -> None:
    with pytest.raises(ObjectError, match=why):
        staging("lb1", soak, batch, stop)
    with pytest.raises(ObjectError, match="must be one of lb1, lb2, lb3"):
        batches(ORDERS, HOW._replace(canary="lb9"))


@pytest.mark.parametrize(
    ("soak", "batch", "stop", "word"),
    [("30s", "", "", "soak"), ("", "3", "", "batch"), ("", "", "hc", "stop-on")],
)
def test_stages_without_a_canary_are_not_all_nodes_at_once(
    soak: str, batch: str, stop: str, word: str
) -> None:
    """K2: whoever types `--batch 3` must not get every node in the same second."""
    with pytest.raises(ObjectError, match=f"^{word}: only with a canary"):
        staging("", soak, batch, stop)


# ---- what every console sees


def row(*, held: str = "", since: float = 5001.0, done: bool = False) -> RolloutRow:
    return RolloutRow(
        "op1",
        "ann@jump",
        LINES,
        "held" if held else "running",
        since,
        until=0.0 if held else since + 60,
        done=done,
        undo=("undrain real/10.3.1.2@web",) if done else (),
        why="INC-7",
        terms=str(HOW),
        said=held,
    )


def canary(*, held: str = "", seconds: int = 3) -> Store:
    one = Fleet("lb1", admin={("web", "10.3.1.2"): Admin.DRAINING})
    one.rollouts = (row(held=held, done=True),)
    others = {a: Fleet(a[-3:], rollouts=(row(held=held),)) for a in (LB2, LB3)}
    store = Store((LB1, LB2, LB3))
    store.take(recording.inbox(records({LB1: one, **others}, range(seconds))))
    return store


def test_a_canary_is_no_alarm_while_it_is_bounded() -> None:
    agents = list(canary().agents.values())
    assert explained(agents, 2.0) == {"web"}
    first, second, _ = rows.nodes(agents, 2.0)
    assert (first.ring_expected, first.ring_differs) == (True, False)
    assert (second.ring_expected, second.ring_differs) == (False, False)
    assert rows.vips(agents, 2.0, name="web")[0].state.text == "◐ canary"
    assert problems(agents, 2.0) == []
    late = EXPECTED + 10
    store = canary()
    told = {a: replace(Fleet(a[-3:]), rollouts=(row(),)) for a in (LB2, LB3)}
    one = Fleet("lb1", admin={("web", "10.3.1.2"): Admin.DRAINING}, rollouts=(row(done=True),))
    store.take(recording.inbox(records({LB1: one, **told}, range(int(late), int(late) + 2))))
    kinds = {problem.kind for problem in problems(list(store.agents.values()), late + 1)}
    assert kinds == {"ring", "mixed", "held"}


def test_what_no_operation_explains_stays_an_alarm() -> None:
    """A third ring, or a difference in another VIP."""
    store = canary()
    odd = Fleet("lb3", weight={("web", "10.3.3.2"): 25}, rollouts=(row(),))
    store.take(recording.inbox(records({LB3: odd}, range(3, 4))))
    agents = list(store.agents.values())
    assert explained(agents, 3.0) == frozenset()
    assert "ring" in {problem.kind for problem in problems(agents, 3.0)}


def test_a_held_operation_is_first_in_the_list_and_in_every_header() -> None:
    store = canary(held="drops +80/s")
    agents = list(store.agents.values())
    (each,) = underway(agents, 2.0)
    assert (each.count, each.held, each.said) == ("1/3", True, "drops +80/s")
    (problem,) = problems(agents, 2.0)
    assert (problem.kind, problem.subject) == ("held", "op/op1")
    first = operations(agents, 2.0)[0]
    assert first.state.text == "HELD 1/3"
    assert undoable(first) == "R K"
    text = "\n".join("".join(c.text for c in line) for line in operation_lines(first, 12))
    for said in ("INC-7", "--canary lb1", "drops +80/s", "lb1        done", "undrain real"):
        assert said in text
    head = "".join(c.text for c in header(View(store, 2.0, 0.0, "lab"), 100))
    assert "ops 1 HELD" in head


def test_a_part_that_is_old_says_so() -> None:
    """K4"""
    store = canary()
    (each,) = underway(list(store.agents.values()), 20.0)
    assert each.count == "1/3?"
    first = operations(list(store.agents.values()), 20.0)[0]
    text = "\n".join("".join(c.text for c in line) for line in operation_lines(first, 12))
    assert text.count("its values are old") == 3


def test_which_vips_it_is_about() -> None:
    assert touches(("drain real/10.3.1.2@web",), "web")
    assert not touches(("drain real/10.3.1.2@web",), "dns")
    assert touches(("weight real/10.3.1.2 50",), "dns")
    assert touches(("drain node/lb1",), "dns")
    assert touches(("drain vip/dns",), "dns")
    assert not touches(("drain vip/dns", "?"), "web")
    assert touches(("drain real/10.3.1.2@web real/10.3.2.2@dns --deadline 600s",), "dns")
