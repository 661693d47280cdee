# SPDX-License-Identifier: Apache-2.0
"""The command bar's grammar: the same words and names as the CLI."""

from __future__ import annotations

import re

import pytest

from console.exits import VerbError
from console.model.objects import Object
from console.model.recording import inbox
from console.model.selectors import selector
from console.model.store import Agent, Store
from console.tui.command import FLAGS, Go, History, Mark, Plan, completions, parse
from tests.tui.recorded import LB1, LB2, Fleet, records


@pytest.fixture
def agents() -> list[Agent]:
    store = Store((LB1, LB2))
    store.take(inbox(records({LB1: Fleet("lb1"), LB2: Fleet("lb2")}, range(2))))
    return list(store.agents.values())


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("fleet", Go("fleet")),
        ("alerts", Go("alerts")),
        ("quit", Go("quit")),
        ("node lb1", Go("node", "lb1")),
        ("node node/lb1", Go("node", "lb1")),
        ("vip web", Go("vip", "web")),
        ("drain lb2", Plan("drain", (Object("node", "lb2"),), None, "")),
        ("drain real/10.3.1.2@web", Plan("drain", (Object("real", "10.3.1.2", "web"),), None, "")),
        ("remora undrain 10.3.1.2", Plan("undrain", (Object("real", "10.3.1.2"),), None, "")),
        ("weight 10.3.1.2@web 50", Plan("weight", (Object("real", "10.3.1.2", "web"),), 50, "")),
        (
            "drain lb1 --reason 'disk swap'",
            Plan("drain", (Object("node", "lb1"),), None, "disk swap"),
        ),
        ("drain --reason=disk lb1", Plan("drain", (Object("node", "lb1"),), None, "disk")),
    ],
)
def test_what_a_line_means(text: str, order: Go | Plan, agents: list[Agent]) -> None:
    assert parse(text, agents) == order


RACKS = {"10.3.1.2": {"rack": "r2"}, "10.3.2.2": {"rack": "r1"}, "10.3.3.2": {"rack": "r2"}}
RACK2 = tuple(Object("real", f"10.3.{n}.2", vip) for vip in ("web", "dns") for n in (1, 3))


@pytest.fixture
def labelled() -> list[Agent]:
    store = Store((LB1, LB2))
    nodes = {
        address: Fleet(name, labels={"rack": rack}, real_labels=RACKS)
        for address, name, rack in ((LB1, "lb1", "r1"), (LB2, "lb2", "r3"))
    }
    store.take(inbox(records(nodes, range(2))))
    return list(store.agents.values())


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("drain real -l rack=r2", Plan("drain", RACK2, None, "")),
        ("drain -l 'rack in (r2,r9)' --reason x", Plan("drain", RACK2, None, "x")),
        ("weight real -l rack=r2 50", Plan("weight", RACK2, 50, "")),
        ("drain --selector=rack=r3", Plan("drain", (Object("node", "lb2"),), None, "")),
        ("mark -l rack=r2,!canary", Mark(selector("rack=r2,!canary"))),
        ("what-if drain real -l 'rack in (r2)'", Go("what-if", "drain real -l 'rack in (r2)'")),
    ],
)
def test_labels_mean_what_they_mean_in_the_shell(
    text: str, order: Go | Plan | Mark, labelled: list[Agent]
) -> None:
    assert parse(text, labelled) == order


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drain -l rack=r1", "ambiguous: 2 reals, 1 node; write real or node before"),
        ("drain -l rack=r9", "matches no real or vip or node"),
        ("drain lb1 -l rack=r1", "with -l comes real, vip or node"),
        ("drain -l rack==", "matches no"),
        ("drain real -l rack===", "must come a comma"),
        ("weight -l rack=r3 50", "a node has no weight"),
        ("mark", "takes -l and a selector"),
        ("mark lb1 -l rack=r1", "takes -l and a selector"),
        ("fleet -l rack=r1", "only a plan has one"),
    ],
)
def test_labels_that_mean_nothing_say_so(text: str, says: str, labelled: list[Agent]) -> None:
    with pytest.raises(VerbError, match=re.escape(says)):
        parse(text, labelled)


def test_an_older_agent_s_labels_are_not_guessed(agents: list[Agent]) -> None:
    with pytest.raises(VerbError, match="lb1, lb2 do not say their labels"):
        parse("drain real -l rack=r2", agents)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("drain real ", ["drain real -l"]),
        ("drain real -l ra", [f"drain real -l rack=r{n}" for n in (1, 2, 3)]),
        ("mark -l rack=r2,rack=r1", ["mark -l rack=r2,rack=r1"]),
    ],
)
def test_completion_knows_the_labels(text: str, found: list[str], labelled: list[Agent]) -> None:
    assert completions(text, labelled) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no such command"),
        ("dran lb1", "dran: no such command; there is fleet"),
        ("drain", "takes one name, got 0"),
        ("drain lb1 lb2", "takes one name, got 2"),
        ("drain lb9", "lb9: no real or vip or node of that name"),
        ("drain peer/x", "takes real/NAME or vip/NAME or node/NAME"),
        ("weight 10.3.1.2@web", "a number from 1 to 1000"),
        ("weight 10.3.1.2@web 0", "a number from 1 to 1000"),
        ("weight lb1 5", "a node has no weight"),
        ("drain lb1 --yes", "--yes: here only --reason, --canary"),
        ("drain lb1 --reason", "--reason: say what it is"),
        ("fleet --reason x", "only a plan has one"),
        ("fleet now", "fleet takes nothing more"),
        ("vip smtp", "there is none; there is vip/dns, vip/web"),
        ("drain 'lb1", "no closing quotation"),
    ],
)
def test_what_cannot_be_done_says_what_would(text: str, says: str, agents: list[Agent]) -> None:
    with pytest.raises(VerbError, match=re.escape(says)):
        parse(text, agents)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dr", ["drops", "drain"]),
        ("dra", ["drain"]),
        ("drain no", ["drain node/lb1", "drain node/lb2"]),
        ("drain real/10.3.1.2@", ["drain real/10.3.1.2@dns", "drain real/10.3.1.2@web"]),
        ("weight node", []),
        ("vip ", ["vip dns", "vip web"]),
        ("drain node/lb1 ", [f"drain node/lb1 {flag}" for flag in FLAGS]),
        ("fleet x", []),
        ("remora al", ["remora alerts"]),
    ],
)
def test_completion_knows_the_names(text: str, found: list[str], agents: list[Agent]) -> None:
    assert completions(text, agents) == found


def test_every_completion_of_a_first_word_is_a_command(agents: list[Agent]) -> None:
    """Alone it may want a name; it is never unknown."""
    assert [w for w in completions("", agents) if "no such command" in _refusal(w, agents)] == []


def _refusal(text: str, agents: list[Agent]) -> str:
    try:
        parse(text, agents)
    except VerbError as refusal:
        return str(refusal)
    return ""


FLOW, CHANGE = "198.51.100.7:40000 vip/web", "drain real/10.3.1.2@web"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("flow", "flow "),
        (f"flow {FLOW}", f"flow {FLOW}"),
        (f"remora  flow {FLOW} --if '{CHANGE}'", f"flow {FLOW} if {CHANGE}"),
        (f"flow {FLOW} --if={CHANGE.replace(' ', '@@')}".replace("@@", "' '"),
         f"flow {FLOW} if {CHANGE}"),
        (f"flow --if '{CHANGE}' {FLOW}", f"flow {FLOW} if {CHANGE}"),
        (f"flow {FLOW} --if {CHANGE}", f"flow {FLOW} if {CHANGE}"),
        (f"flow {FLOW} if {CHANGE}", f"flow {FLOW} if {CHANGE}"),
        ("flow --sample 99 vip/web", "flow 99 vip/web"),
        ("flow vip/web --sample=99", "flow 99 vip/web"),
        (f"flow --if '{CHANGE}' --pcap a.pcap", f"flow pcap a.pcap if {CHANGE}"),
        (f"flow --pcap=a.pcap --if '{CHANGE}'", f"flow pcap a.pcap if {CHANGE}"),
        ("flow --pcap \"o'neil  1.pcap\"", "flow pcap o'neil  1.pcap"),
        ("flow pcap a.pcap", "flow pcap a.pcap"),
    ],
)  # fmt: skip
def test_a_flow_is_asked_about_as_the_cli_has_it(
    text: str, asked: str, agents: list[Agent]
) -> None:
    assert parse(text, agents) == Go("what-if", asked)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flow --pcap", "--pcap: say what it is, once: --pcap FILE"),
        ("flow --pcap a --pcap b", "--pcap: say what it is, once"),
        (f"flow {FLOW} --pcap a", "no others beside them"),
        (f"flow {FLOW} --node lb1", "--node: here only --if, --sample, --pcap"),
        ("flow --pcap o'neil", "no closing quotation"),
    ],
)
def test_a_flow_that_cannot_be_asked_about(text: str, says: str, agents: list[Agent]) -> None:
    with pytest.raises(VerbError, match=re.escape(says)):
        parse(text, agents)


def test_history_keeps_what_was_being_typed() -> None:
    history = History()
    assert history.older("dra") == "dra", "nothing there yet"
    history.add("fleet")
    history.add("drain lb1")
    history.add("drain lb1")
    assert [history.older("x"), history.older(""), history.older("")] == [
        "drain lb1",
        "fleet",
        "fleet",
    ]
    assert [history.newer(""), history.newer(""), history.newer("y")] == ["drain lb1", "x", "y"]
