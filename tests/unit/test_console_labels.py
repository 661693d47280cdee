# SPDX-License-Identifier: Apache-2.0
"""`-l` in the verbs, against fake agents on real sockets: what is listed, what is sent, what is
refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import main as cli
from console.cli import trace_words
from console.exits import Exit, VerbError
from console.model.eventlog import Line
from console.model.selectors import selector
from console.model.store import Arrived, Inbox, Store
from console.views.event_labels import EventLabels
from shared.messages import (
    Batch,
    ChangeEvent,
    Drain,
    DropEvent,
    Event,
    EventBody,
    FlowOf,
    FlowPlace,
    HealthEvent,
    PeerEvent,
    Reload,
    Undrain,
    Weight,
)
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import REALS, Fleet

Capture = pytest.CaptureFixture[str]
Pair = tuple[FakeAgent, FakeAgent]
RACKS = {REALS[0]: {"rack": "r2"}, REALS[1]: {"rack": "r1"}, REALS[2]: {"rack": "r2"}}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", _fleet("lb1", "r1")) as one,
        FakeAgent(tmp_path / "lb2", _fleet("lb2", "r2")) as other,
    ):
        yield one, other


def _fleet(name: str, rack: str) -> Fleet:
    vips = {"web": {"tier": "web"}, "dns": {"tier": "infra"}}
    return Fleet(name, labels={"rack": rack}, vip_labels=vips, real_labels=dict(RACKS))


def remora(*words: str, agents: tuple[FakeAgent, ...], more: tuple[str, ...] = ()) -> int:
    return cli.main([*(w for agent in agents for w in ("-a", agent.address)), *more, *words])


# ---- lists


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("node", "-l", "rack=r2"), ["node/lb2"]),
        (("node", "-l", "rack in (r1,r2)"), ["node/lb1", "node/lb2"]),
        (("node", "--node", "@r2"), ["node/lb2"]),
        (("vip", "-l", "tier!=web"), ["vip/dns"]),
        (("real", "-l", "rack=r2", "--vip", "web"), ["real/10.3.1.2@web", "real/10.3.3.2@web"]),
        (("each", "-l", "rack=r1", "--vip", "web", "--node", "@r2"), ["real/10.3.2.2@web/lb2"]),
        (("check", "-l", "rack=r1", "-l", "!canary", "--vip", "dns"), ["real/10.3.2.2@dns"]),
        (("peer", "-l", "rack=r2"), ["peer/lb2/10.2.1.1"]),
    ],
)
def test_what_is_listed(
    two: Pair, capsys: Capture, words: tuple[str, ...], names: list[str]
) -> None:
    assert remora("get", *words, "-o", "name", agents=two) == Exit.DONE
    assert capsys.readouterr().out.split() == names


def test_labels_are_in_wide_and_in_json(two: Pair, capsys: Capture) -> None:
    assert remora("get", "real", "--vip", "web", "-o", "wide", agents=two) == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-1] == "LABELS"
    assert [line.split()[-1] for line in lines[1:]] == ["rack=r2", "rack=r1", "rack=r2"]
    assert remora("get", "node", "-o", "json", agents=two) == Exit.DONE
    found = json.loads(capsys.readouterr().out)["items"]
    assert [(each["labels"], each["labels_differ"]) for each in found] == [
        ({"rack": "r1"}, []),
        ({"rack": "r2"}, []),
    ]


def test_an_older_agent_is_said_to_be_left_out(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    with FakeAgent(tmp_path / "old", Fleet("old")) as older:
        agents = (*two, older)
        assert remora("get", "node", "-l", "rack", "-o", "json", agents=agents) == Exit.PARTIAL
        said = capsys.readouterr()
        assert "old does not say its labels (an older agent): not judged by -l" in said.err
        assert json.loads(said.out)["missing"] == [older.address]
        assert remora("get", "node", "-o", "json", agents=agents) == Exit.DONE
        assert json.loads(capsys.readouterr().out)["items"][2]["labels"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("get", "real", "-l", "rack=r9"), "nothing matches -l 'rack=r9'"),
        (("get", "peer", "-l", "rack=r9"), "nothing matches -l 'rack=r9'"),
        (("get", "op", "-l", "rack=r1"), "operations have no labels"),
        (("get", "real", "-l", "rack=="), "nothing matches"),
        (("get", "real", "-l", "rack=r1,"), "after 'rack=r1,' must come a key"),
        (("status", "-l", "rack=r9"), "nothing matches -l 'rack=r9'"),
        (("status", "node/lb1", "-l", "rack=r1"), "an object, or -l; not both"),
        (("drain",), "drain: of what?"),
        (("drain", "-l", "rack=r1", "--yes"), "ambiguous: 2 reals, 1 node; write real or node"),
        (("drain", "real/10.3.1.2", "-l", "rack=r1"), "with -l comes real, vip or node"),
        (("drain", "real", "-l", "rack=r9", "--yes"), "matches no real"),
        (("drain", "real", "-l", "rakc=r1", "--yes"), "has a label rakc; there is rack, tier"),
        (("drain", "node", "-l", "rack=r1", "--vip", "web"), "is of reals, not of a node"),
        (("drain", "real/10.3.1.2", "--vip", "web"), "goes with -l; else write real/ADDRESS@VIP"),
        (("reload", "lb1", "-l", "rack=r1"), "names of nodes, -l or --all-nodes; one of these"),
    ],
)
def test_what_is_refused(two: Pair, capsys: Capture, words: tuple[str, ...], said: str) -> None:
    assert remora(*words, agents=two) == Exit.USAGE
    assert said in capsys.readouterr().err
    assert not two[0].changes
    assert not two[1].changes


def test_what_cannot_be_meant_is_said_before_any_agent_is_asked(capsys: Capture) -> None:
    for words in (("drain",), ("drain", "-l", "rack="), ("plan", "drain", "real", "-l", "a b")):
        code = cli.main(["-a", "/nowhere", "--connect-timeout", "0.1", *words])
        asked = code == Exit.NO_AGENT
        assert asked is (words[-1] == "rack="), capsys.readouterr().err


def test_the_health_of_a_rack(two: Pair, capsys: Capture) -> None:
    two[0].fleet.health["web", REALS[1]] = two[1].fleet.health["web", REALS[1]] = Health.DOWN
    assert remora("status", "-l", "rack=r2", agents=two) == Exit.DONE
    out = capsys.readouterr().out
    assert "lb2" in out
    assert "lb1" not in out
    assert remora("status", "-l", "rack=r1", "--short", agents=two) == Exit.FAILED
    assert "real/10.3.2.2@web" in capsys.readouterr().out


# ---- changes


def test_a_rack_is_drained_as_one_change_of_what_is_listed(two: Pair, capsys: Capture) -> None:
    """Every object is named before anything is sent; a node gets all of it as one command, so that
    its guards judge all of it."""
    words = ("drain", "real", "-l", "rack=r2", "--reason", "INC-7", "--yes")
    assert remora(*words, agents=two) == Exit.DONE
    out = capsys.readouterr().out
    meant = [f"real/{r}@{v}" for v in ("web", "dns") for r in (REALS[0], REALS[2])]
    assert f"plan: drain {' '.join(meant)}\n" in out
    assert "selected    4 objects: rack=r2\n" in out
    for agent in two:
        planned, sent = agent.changes
        assert planned.dry_run
        assert sent.action == Batch(
            tuple(Drain(r, v) for v in ("web", "dns") for r in (REALS[0], REALS[2]))
        )
        assert agent.fleet.admin == {
            (v, r): Admin.DRAINING for v in ("web", "dns") for r in (REALS[0], REALS[2])
        }
    assert remora("undrain", "-l", "rack=r2", "real", "--yes", agents=two) == Exit.DONE
    assert not any(agent.fleet.admin for agent in two)


def test_of_one_vip_on_one_place(two: Pair) -> None:
    words = ("drain", "real", "-l", "rack=r2", "--vip", "web", "--node", "@r2", "--yes")
    assert remora(*words, agents=two) == Exit.DONE
    assert not two[0].changes
    assert two[1].fleet.admin == {("web", r): Admin.DRAINING for r in (REALS[0], REALS[2])}


def test_nodes_by_label(two: Pair) -> None:
    assert remora("drain", "node", "-l", "rack=r2", "--yes", agents=two) == Exit.DONE
    assert [agent.fleet.node_admin for agent in two] == [Admin.ENABLED, Admin.DRAINING]
    assert remora("reload", "-l", "rack=r1", "--yes", agents=two) == Exit.DONE
    assert [type(c.action) for c in two[0].changes] == [Reload]
    assert not [c for c in two[1].changes if isinstance(c.action, Reload)]


def test_weights_by_label(two: Pair) -> None:
    words = ("weight", "-l", "rack=r1", "--vip", "web", "50%", "--yes")
    assert remora(*words, agents=two) == Exit.DONE
    assert two[0].changes[-1].action == Weight(REALS[1], 50, "web")


def test_a_plan_by_label_names_what_it_means(two: Pair, capsys: Capture) -> None:
    words = ("plan", "undrain", "real", "-l", "rack=r1", "-o", "json")
    two[0].fleet.admin["web", REALS[1]] = Admin.DRAINING
    assert remora(*words, agents=two) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["objects"] == ["real/10.3.2.2@web", "real/10.3.2.2@dns"]
    assert two[0].changes[-1].action == Batch((Undrain(REALS[1], "web"), Undrain(REALS[1], "dns")))


def test_a_guard_s_refusal_refuses_all_of_it(two: Pair, capsys: Capture) -> None:
    two[1].guard = "last-healthy"
    assert remora("drain", "real", "-l", "rack=r2", "--yes", agents=two) == Exit.REFUSED
    assert "last-healthy" in capsys.readouterr().err
    assert not any(agent.fleet.admin for agent in two)


def test_nothing_is_guessed_of_a_node_that_says_no_labels(
    two: Pair, tmp_path: Path, capsys: Capture
) -> None:
    """K2: not a node that is older, nor one of which nobody knows; others can be chosen."""
    with FakeAgent(tmp_path / "old", Fleet("old")) as older:
        agents = (*two, older)
        assert remora("drain", "real", "-l", "rack=r2", "--yes", agents=agents) == Exit.USAGE
        assert "old does not say its labels" in capsys.readouterr().err
        assert not any(agent.changes for agent in agents)
        words = ("drain", "real", "-l", "rack=r2", "--node", "lb*", "--yes")
        assert remora(*words, agents=agents) == Exit.DONE
        assert not older.changes
    dead = ("-a", str(tmp_path / "dead"), "--connect-timeout", "0.3")
    assert remora("drain", "node", "-l", "rack=r2", "--yes", agents=two, more=dead) == Exit.USAGE
    assert "no answer from dead" in capsys.readouterr().err
    assert two[1].fleet.node_admin is Admin.ENABLED


def test_nodes_that_disagree_about_a_real_are_not_overruled(two: Pair, capsys: Capture) -> None:
    two[1].fleet.real_labels[REALS[0]] = {"rack": "r9"}
    assert remora("drain", "real", "-l", "rack=r2", "--yes", agents=two) == Exit.USAGE
    assert "disagree about the labels of real/10.3.1.2@web: rack=r2|r9" in capsys.readouterr().err
    assert not any(agent.changes for agent in two)


# ---- events, traces, flows


def _events(agent: FakeAgent) -> None:
    named = f"drain real/{REALS[1]}@web, weight real/{REALS[1]}@web 5"
    drop = DropEvent(1, "fragment", "web", "1.2.3.4:5", "10.200.0.1:80", "tcp", 60, 0, 0, b"")
    bodies: list[EventBody] = [
        HealthEvent("web", REALS[0], Health.UP, Health.DOWN, "refused"),
        HealthEvent("dns", REALS[1], Health.UP, Health.DOWN, "timeout"),
        drop,
        ChangeEvent("ann@jump", named, "ok", 1),
        PeerEvent("10.2.1.1", "up", "established"),
    ]
    agent.events = [
        Event(node=agent.fleet.name, boot="b", at=1.0, sequence=n, wall=1e9 + n, body=body)
        for n, body in enumerate(bodies)
    ]


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ("rack=r2", ["lb1 health 10.3.1.2@web", *(f"lb2 {w}" for w in (
            "health 10.3.1.2@web", "health 10.3.2.2@dns", "drop fragment", "change ann@jump:",
            "peer 10.2.1.1"))]),
        ("tier=web", [f"{node} {w}" for node in ("lb1", "lb2") for w in (
            "health 10.3.1.2@web", "drop fragment", "change ann@jump:")]),
        ("tier=web,rack=r1", ["lb1 health 10.3.1.2@web", "lb1 drop fragment",
                              "lb1 change ann@jump:", "lb2 change ann@jump:"]),
        ("rack!=r2", ["lb1 health 10.3.2.2@dns", "lb1 drop fragment", "lb1 change ann@jump:",
                      "lb1 peer 10.2.1.1"]),
        ("!tier", ["lb1 peer 10.2.1.1", "lb2 peer 10.2.1.1"]),
    ],
)  # fmt: skip
def test_events_about_what_is_labelled_so(
    two: Pair, capsys: Capture, wanted: str, lines: list[str]
) -> None:
    for agent in two:
        _events(agent)
    assert remora("events", "-l", wanted, agents=two) == Exit.DONE
    said = [" ".join(ln.split()[1:4]) for ln in capsys.readouterr().out.splitlines()]
    assert sorted(said) == sorted(lines)


def test_events_of_an_agent_without_labels(tmp_path: Path, capsys: Capture) -> None:
    with FakeAgent(tmp_path / "lb1", Fleet("lb1")) as old:
        _events(old)
        assert remora("events", "-l", "rack=r2", agents=(old,)) == Exit.PARTIAL
    said = capsys.readouterr()
    assert said.out == ""
    assert "lb1 does not say its labels (an older agent): not judged by -l" in said.err


def test_an_agent_that_comes_up_later_is_known_by_the_name_that_it_says_then() -> None:
    """`events -f -l`: before that it is known by its address only."""
    address, fleet = "tcp://127.0.0.1:7710", _fleet("lb1", "r2")
    store = Store([address])
    about = EventLabels(selector("rack=r2"), list(store.agents.values()))
    event = Event(
        node="lb1", boot="b", at=1.0, sequence=1, wall=1e9, body=PeerEvent("10.2.1.1", "up", "")
    )
    line = Line(1e9, "lb1", (1, 1), event, 0)
    assert not about.hold(line), "nobody knows its labels"
    labels = fleet.labelled(1.0)
    assert labels is not None
    store.take(Inbox([Arrived(address, each, 1.0) for each in (*fleet.at(1.0), labels)], []))
    assert about.hold(line)


def test_what_to_trace(two: Pair) -> None:
    store = Store([agent.address for agent in two])
    for agent in two:
        for message in agent.fleet.at(1.0):
            store.take(Inbox([Arrived(agent.address, message, 1.0)], []))
        labels = agent.fleet.labelled(1.0)
        assert labels is not None
        store.take(Inbox([Arrived(agent.address, labels, 1.0)], []))
    agents = list(store.agents.values())

    def words(*given: str, labels: str) -> list[str]:
        return trace_words.labelled(given, selector(labels), agents)

    assert words("node", "src=192.0.2.1", labels="rack=r2") == ["src=192.0.2.1", "node/lb2"]
    assert words(labels="tier=infra") == ["vip/dns"]
    assert words("vip", labels="tier") == ["vip/web", "vip/dns"]
    assert words("real", "vip/web", labels="rack=r1") == ["vip/web", f"real/{REALS[1]}@web"]
    with pytest.raises(VerbError, match="ambiguous"):
        words(labels="rack=r2")
    with pytest.raises(VerbError, match="one vip at a time"):
        trace_words.parse(words("vip", labels="tier"), agents, one_in=1, rate=1, seconds=1.0)


def test_flows_are_asked_of_the_nodes_that_are_labelled_so(two: Pair) -> None:
    place = FlowPlace("web", "flow", "track", 7, "10.3.1.2", "10.3.1.2", "ring")
    for agent in two:
        agent.flow = place
    assert remora("flow", "1.2.3.4:5", "vip/web", "-l", "rack=r2", agents=two) == Exit.DONE
    assert not two[0].received
    assert [type(c.action) for c in two[1].received] == [FlowOf]
