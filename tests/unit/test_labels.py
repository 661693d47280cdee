# SPDX-License-Identifier: Apache-2.0
"""Labels: their syntax, selectors over them, what agents say of them, and what a console makes of
several agents' words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import file as config
from agent.config.tree import Config
from agent.wire import labelling
from console.exits import VerbError
from console.model import rows
from console.model.labels import common, differing, in_words, known_pairs
from console.model.objects import Object
from console.model.selectors import Requirement, Selector, SelectorError, selector
from console.model.store import Agent, Arrived
from console.planning.chosen import chosen
from console.views import selecting
from console.views.columns import matching
from console.views.tables import REALS as COLUMNS
from shared import messages as m
from shared.codec import answer_of, command_frames, telemetry_frames
from shared.labels import KEY, MOST, VALUE, LabelError, Labels, written
from tests.tui.recorded import REALS, Fleet

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
KEYS = NAMES | st.builds("{}/{}".format, st.just("example.com"), NAMES)
PAIRS = st.dictionaries(KEYS, st.just("") | NAMES, max_size=4)
REQUIREMENTS = st.builds(
    Requirement,
    KEYS.filter(lambda key: key not in ("in", "notin")),
    st.none() | st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple),
    st.booleans(),
)

# ---- syntax


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"rack r2": "x"}, "key 'rack r2': must be"),
        ({"": "x"}, "key '': must be"),
        ({"-rack": "x"}, "key '-rack'"),
        ({"Example.com/rack": "x"}, "a prefix such as example.com/"),
        ({"a" * 64: "x"}, "1 to 63"),
        ({"rack": "r 2"}, "key 'rack': value 'r 2': must be empty, or"),
        ({"rack": "r2\n"}, "value 'r2\\n'"),
        ({"rack": 2}, "key 'rack': expected a text in quotes, got 2"),
        ({f"k{n}": "" for n in range(MOST + 1)}, f"{MOST + 1} labels, at most {MOST}"),
    ],
)
def test_what_is_no_label_is_said(labels: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(LabelError, match=said.replace("\\", "\\\\").replace("(", "\\(")):
        Labels(labels)


@given(PAIRS)
def test_labels_are_values(pairs: dict[str, str]) -> None:
    one, other = Labels(pairs), Labels(dict(reversed(pairs.items())))
    assert one == other
    assert hash(one) == hash(other)
    assert dict(one) == pairs
    assert all(KEY.fullmatch(key) and VALUE.fullmatch(value) for key, value in one.items())


# ---- selectors


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ("rack=r2", {"rack": "r2"}, True),
        ("rack==r2", {"rack": "r2"}, True),
        (" rack = r2 , tier = web ", {"rack": "r2", "tier": "web"}, True),
        ("rack=r2,tier=web", {"rack": "r2"}, False),
        ("rack!=r2", {"rack": "r1"}, True),
        ("rack!=r2", {"rack": "r2"}, False),
        ("rack!=r2", {}, True),
        ("tier in (web,api)", {"tier": "api"}, True),
        ("tier in (web,api)", {}, False),
        ("tier notin (web, api)", {"tier": "db"}, True),
        ("tier notin (web,api)", {}, True),
        ("tier notin(web)", {"tier": "web"}, False),
        ("canary", {"canary": ""}, True),
        ("canary", {}, False),
        ("!canary", {}, True),
        ("!canary", {"canary": "no"}, False),
        ("canary=", {"canary": ""}, True),
        ("canary=,rack", {"canary": "", "rack": "r2"}, True),
        ("in=x", {"in": "x"}, True),
        ("example.com/rack=r2", {"example.com/rack": "r2"}, True),
    ],
)
def test_selectors(text: str, labels: dict[str, str], holds: bool) -> None:
    assert selector(text).matches(labels) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at its beginning must come a key"),
        (",", "at its beginning must come a key"),
        ("rack=r2,", "after 'rack=r2,' must come a key"),
        ("rack r2", "after 'rack' must come a comma, or the end, not 'r2'"),
        ("rack=r2 r3", "after 'rack=r2'"),
        ("rack===r2", "after 'rack=='"),
        ("rack in r2", "after 'rackin' must come '(' and values"),
        ("rack in (r2", "a comma or ')'"),
        ("rack in ()", "no value between"),
        ("!rack=r2", "after '!rack' must come a comma, or the end"),
        ("rack=r/2", "value 'r/2': must be"),
        ("-rack=2", "key '-rack': must be"),
        ("rack>2", "key 'rack>2': must be"),
    ],
)
def test_what_is_no_selector_is_said(text: str, said: str) -> None:
    with pytest.raises(SelectorError) as found:
        selector(text)
    assert said in str(found.value)


@given(st.lists(REQUIREMENTS, min_size=1, max_size=4))
def test_a_selector_is_read_as_it_is_written(parts: list[Requirement]) -> None:
    made = Selector(tuple(parts))
    assert selector(str(made)) == made


@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_says_why_not(text: str) -> None:
    try:
        found = selector(text)
    except SelectorError:
        return
    assert selector(str(found)) == found


@given(REQUIREMENTS, PAIRS)
def test_negation_is_the_opposite(part: Requirement, labels: dict[str, str]) -> None:
    assert part.holds(labels) is not part._replace(negated=not part.negated).holds(labels)


def test_several_must_all_hold() -> None:
    both = selector(["rack=r2", "tier=web"])
    assert both == selector("rack=r2,tier=web")


# ---- what agents say

CONFIG = """
[node]
name = "lb1"
{node}
interface = "eth0"
hash_key = "00112233445566778899aabbccddeeff"
run_dir = "/run/remora/lb1"
state_dir = "/var/lib/remora/lb1"
[[vips]]
name = "web"
{vip}
address = "10.200.0.1"
port = 80
reals = [{{ address = "10.3.1.2"{real} }}, {{ address = "10.3.2.2" }}]
"""


def listed(node: str = "", vip: str = "", real: str = "") -> Config:
    return config.parse(CONFIG.format(node=node, vip=vip, real=real), "agent.toml")


@pytest.mark.parametrize(
    ("where", "text", "said"),
    [
        ("node", "labels = 1", "node.labels: expected a table such as"),
        ("node", 'labels = { rack = 2 }', "node.labels: key 'rack': expected a text in quotes"),
        ("vip", 'labels = { "a b" = "c" }', "vips[0].labels: key 'a b': must be"),
        ("real", ', labels = { rack = "r 2" }', "vips[0].reals[0].labels: key 'rack': value 'r 2'"),
    ],
)  # fmt: skip
def test_an_error_names_file_table_and_key(where: str, text: str, said: str) -> None:
    with pytest.raises(config.ConfigError) as found:
        listed(**{where: text})
    assert str(found.value).startswith("agent.toml: ")
    assert said in str(found.value)


def test_equal_labels_of_a_config_are_one_object() -> None:
    (vip,) = listed(real=', labels = { rack = "r2", tier = "web" }').vips
    (other,) = listed(real=', labels = { tier = "web", rack = "r2" }').vips
    assert vip.reals[0].labels is other.reals[0].labels


def test_the_message_says_all_of_it_once() -> None:
    told = labelling.snapshot(
        listed(
            'labels = { rack = "r1" }',
            'labels = { tier = "web" }',
            ', labels = { rack = "r2" }',
        ),
        {"node": "lb1", "boot": "b", "sequence": 1, "at": 1.0},
    )
    assert told.labels == {"rack": "r1"}
    assert told.sets == ({"tier": "web"}, {"rack": "r2"}, {})
    assert told.vips == {"web": 0}
    assert told.reals == {"web": {"10.3.1.2": 1, "10.3.2.2": 2}}


def test_digests_are_equal_where_labels_are() -> None:
    head: dict[str, Any] = {"node": "lb1", "boot": "b", "sequence": 1, "at": 1.0}
    one = labelling.snapshot(listed('labels = { rack = "r1" }'), head)
    other = labelling.snapshot(listed('labels = { rack = "r2" }'), head)
    assert one.common == other.common
    assert one.digest != other.digest
    digest = labelling.Digest()
    assert digest.of(listed('labels = { rack = "r1" }')) == one.digest
    assert digest.of(listed()) not in (one.digest, other.digest, "")


def test_a_look_can_be_read_by_a_console_that_knows_no_labels() -> None:
    """They stand beside the snapshots: those of another kind would spoil the whole answer."""

    class Older(msgspec.Struct):
        id: str
        snapshots: tuple[m.Snapshot, ...]

    fleet = Fleet("lb1", labels={"rack": "r1"})
    answer = m.Answer(
        id="1", node="lb1", status="ok", revision=1, snapshots=fleet.at(1.0),
        labels=fleet.labelled(1.0),
    )  # fmt: skip
    frames = command_frames(answer)
    assert answer_of(frames) == answer
    reader = msgspec.msgpack.Decoder(Older, dec_hook=lambda _, packed: m.Counters.of_packed(packed))
    assert len(reader.decode(frames[1]).snapshots) == len(answer.snapshots)


# ---- what a console makes of it


def told(*fleets: Fleet) -> list[Agent]:
    agents = []
    for fleet in fleets:
        agent = Agent(f"ipc:///run/remora/{fleet.name}")
        for message in (*fleet.at(1.0), fleet.labelled(1.0)):
            if message is not None:
                agent.file(Arrived(agent.address, message, 100.0))
        agents.append(agent)
    return agents


RACKS = {REALS[0]: {"rack": "r1"}, REALS[1]: {"rack": "r2"}, REALS[2]: {"rack": "r2"}}


def fleet(name: str, rack: str = "r1", reals: dict[str, dict[str, str]] | None = None) -> Fleet:
    found = RACKS if reals is None else reals
    return Fleet(
        name, labels={"rack": rack}, vip_labels={"web": {"tier": "web"}}, real_labels=found
    )


def test_nodes_that_label_alike_share_a_table() -> None:
    one, other, third = told(fleet("lb1"), fleet("lb2", "r2"), fleet("lb3", reals={}))
    assert one.label_table is other.label_table
    assert third.label_table is not one.label_table


def test_rows_have_their_labels() -> None:
    agents = told(fleet("lb1"), fleet("lb2", "r2"))
    assert [in_words(row.labels) for row in rows.nodes(agents, 100.0)] == ["rack=r1", "rack=r2"]
    assert [in_words(row.labels) for row in rows.vips(agents, 100.0)] == ["tier=web", ""]
    assert {row.address: in_words(row.labels) for row in rows.reals(agents, 100.0)} == {
        address: written(labels) for address, labels in RACKS.items()
    }
    assert known_pairs(agents) == ["rack=r1", "rack=r2", "tier=web"]


def test_labels_that_are_not_in_force_any_more_are_not_known() -> None:
    """The node says another digest: its config changed, and the new labels have not come yet."""
    (agent,) = told(fleet("lb1"))
    agent.file(Arrived(agent.address, fleet("lb1", "r7").at(2.0)[0], 101.0))
    assert agent.own_labels == ()
    assert rows.reals([agent], 101.0)[0].labels == ()


def test_where_nodes_disagree_that_is_what_is_said() -> None:
    agents = told(fleet("lb1"), fleet("lb2", reals=RACKS | {REALS[0]: {"rack": "r9", "tier": "x"}}))
    said = next(r for r in rows.reals(agents, 100.0) if r.address == REALS[0]).labels
    assert in_words(said) == "rack=r1|r9,tier=-|x"
    assert (common(said), differing(said)) == ({}, ["rack", "tier"])


def test_what_is_meant_is_listed_by_name() -> None:
    agents = told(fleet("lb1"), fleet("lb2", "r2"))
    found = chosen(agents, selector("rack=r2"), ("real",), vip="web")
    assert found == [Object("real", REALS[1], "web"), Object("real", REALS[2], "web")]
    assert chosen(agents, selector("rack=r2"), ("node",)) == [Object("node", "lb2")]
    assert chosen(agents, selector("tier"), ("real", "vip", "node")) == [Object("vip", "web")]


@pytest.mark.parametrize(
    ("fleets", "text", "kinds", "said"),
    [
        ((fleet("lb1"),), "rack=r7", ("real",), "matches no real"),
        ((fleet("lb1"),), "rak=r2", ("real",), "nothing has a label rak; there is rack, tier"),
        ((fleet("lb1"),), "rack=r1", ("real", "node"), "2 reals, 1 node; write real or node"),
        ((fleet("lb1"), Fleet("lb2")), "rack=r1", ("real",), "lb2 does not say its labels"),
        (
            (fleet("lb1"), fleet("lb2", reals=RACKS | {REALS[0]: {"rack": "r9"}})),
            "rack=r1", ("real",), "disagree about the labels of real/10.3.1.2@web: rack=r1|r9",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(
    fleets: tuple[Fleet, ...], text: str, kinds: Any, said: str  # noqa: ANN401
) -> None:  # fmt: skip
    with pytest.raises(VerbError) as found:
        chosen(told(*fleets), selector(text), kinds)
    assert said in str(found.value)


def test_a_node_that_does_not_answer_may_be_meant() -> None:
    agents = [*told(fleet("lb1")), Agent("ipc:///run/remora/lb2")]
    with pytest.raises(VerbError, match="no answer from lb2: whether it is meant is not known"):
        chosen(agents, selector("rack=r1"), ("node",), absent=[agents[1].address])
    found = chosen(agents[:1], selector("rack=r1"), ("node",))
    assert found == [Object("node", "lb1")]


def test_a_place_is_the_nodes_that_stand_there() -> None:
    agents = told(fleet("lb1"), fleet("lb2", "r2"))
    assert [agent.name for agent in selecting.nodes(agents, ["@r2"])] == ["lb2"]
    assert [agent.name for agent in selecting.nodes(agents, ["@r2", "lb1"])] == ["lb1", "lb2"]
    with pytest.raises(VerbError, match="@r9: no node is there; there is @r1, @r2"):
        selecting.nodes(agents, ["@r9"])
    two = told(fleet("lb1"), Fleet("lb2", labels={"zone": "r1"}))
    with pytest.raises(VerbError, match="the rack and the zone: write -l rack=r1 or zone=r1"):
        selecting.nodes(two, ["@r1"])
    with pytest.raises(VerbError, match="lb3 does not say its labels"):
        selecting.nodes(told(fleet("lb1"), Fleet("lb3")), ["@r1"])


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("label:rack=r2", 4),
        ("-l rack in (r1,r2)", 6),
        ("label:rack=r2 10.3.2", 2),
        ("10.3.3 -l rack=r2,!tier", 2),
        ("web -l rack=r2", 2),
        ("!web label:rack=r1", 1),
        ("label:rack=r7", 0),
        ("label:", 6),
        ("-l rack in (r1", 6),
        ("rack=r2", 4),
    ],
)
def test_a_filter_knows_labels(words: str, count: int) -> None:
    """What is not a selector yet hides nothing while it is being typed."""
    found = rows.reals(told(fleet("lb1")), 100.0)
    assert len(matching(found, COLUMNS, words)) == count


def test_the_message_of_a_thousand_reals_is_small() -> None:
    """Names and a number each: the labels themselves are said once."""
    many = {f"10.9.{n // 250}.{n % 250 + 1}": Labels({"rack": f"r{n % 40}"}) for n in range(1000)}
    said = labelling.said(Labels(), {"web": Labels()}, {"web": many})
    told = m.LabelSnapshot(node="lb1", boot="b", sequence=1, at=1.0, **said._asdict())
    assert len(telemetry_frames(told)[2]) < 14 * 1000
