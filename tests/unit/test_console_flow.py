# SPDX-License-Identifier: Apache-2.0
"""`remora flow`: what is asked, what is said, how it exits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import wrpcap

from console.cli import main as cli
from console.exits import Exit
from console.views.flow_places import told
from shared.flows import unpacked
from shared.messages import (
    Drain,
    FlowAfter,
    FlowOf,
    FlowPlace,
    FlowPlaces,
    FlowsOf,
    StoredFlow,
)
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]
CLIENT = "198.51.100.7:40000"
NEW = FlowPlace("web", "flow", "track", 7, "10.3.1.2", "10.3.1.2", "ring")
OLD = FlowPlace(
    "web", "flow", "track", 7, "10.3.1.2", "10.3.2.2", "stored",
    stored=(StoredFlow(1, "10.3.2.2", "open", 3.2),),
)  # fmt: skip


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2")) as other,
    ):
        one.flow = other.flow = NEW
        yield one, other


def flow(two: Pair, *words: str) -> int:
    return cli.main([*(w for a in two for w in ("-a", a.address)), "flow", *words])


@pytest.mark.parametrize("to", ["10.200.0.1:80/tcp", "10.200.0.1:80", "vip/web"])
def test_all_nodes_send_it_to_one_real(two: Pair, capsys: Capture, to: str) -> None:
    assert flow(two, CLIENT, to) == Exit.DONE
    for agent in two:
        asked = agent.received[-1].action
        assert asked == FlowOf("198.51.100.7", 40000, "10.200.0.1", 80, "tcp")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{CLIENT} -> 10.200.0.1:80/tcp  web"
    assert said[2].split()[:4] == ["lb1", "10.3.1.2", "7", "10.3.1.2"]


def test_nodes_that_do_not_agree(two: Pair, capsys: Capture) -> None:
    two[1].flow = OLD
    assert flow(two, CLIENT, "vip/web") == Exit.FAILED
    assert "by its entry  10.3.2.2 open, silent 3s, CPU 1" in capsys.readouterr().out
    assert flow(two, CLIENT, "vip/web", "--node", "lb1") == Exit.DONE
    assert flow(two, CLIENT, "vip/web", "-o", "json") == Exit.FAILED
    capsys_out = capsys.readouterr().out
    found = json.loads(capsys_out[capsys_out.index("{") :])
    assert (found["apiVersion"], found["kind"]) == ("remora/1", "FlowList")
    assert found["items"][1]["stored"][0]["real"] == "10.3.2.2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("198.51.100.7", "vip/web"), "must be ADDRESS:PORT"),
        ((CLIENT, "10.200.0.1:80/sctp"), "must be tcp or udp"),
        ((CLIENT, "vip/none"), "there is none; there is"),
    ],
)
def test_what_is_no_flow(two: Pair, capsys: Capture, words: tuple[str, str], says: str) -> None:
    assert flow(two, *words) == Exit.USAGE
    assert says in capsys.readouterr().err
    assert not any(agent.received for agent in two)


def test_dropped_or_nobodys_or_too_old(two: Pair, capsys: Capture) -> None:
    for agent in two:
        agent.flow = FlowPlace("web", "flow", "track")
    assert flow(two, CLIENT, "vip/web") == Exit.FAILED
    assert "dropped: no_real" in capsys.readouterr().out
    for agent in two:
        agent.flow = FlowPlace("")
    assert flow(two, CLIENT, "10.99.0.1:80") == Exit.USAGE
    assert "each node passes it to its own host" in capsys.readouterr().err
    two[1].flow = None
    assert flow(two, CLIENT, "vip/web") == Exit.FAILED
    assert "lb2: cannot say; upgrade its agent" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(CLIENT, "vip/web"), ("--sample", "10", "vip/web")])
def test_none_of_those_that_are_meant_answers(
    two: Pair, tmp_path: Path, capsys: Capture, words: tuple[str, ...]
) -> None:
    """That is no empty table of which a part is there."""
    dead = ("-a", f"ipc://{tmp_path}/dead", "--connect-timeout", "0.2")
    agents = [w for agent in two for w in ("-a", agent.address)]
    assert cli.main([*agents, *dead, "flow", *words, "--node", "dead"]) == Exit.NO_AGENT
    said = capsys.readouterr()
    assert said.out == ""
    assert f"no answer from {dead[1]}" in said.err


# ---- what if


MOVED = msgspec.structs.replace(NEW, after=FlowAfter(9, "10.3.2.2", "10.3.1.2", "slot"))
DRAIN = "drain real/10.3.1.2@web"


def asked_of(agent: FakeAgent, kind: type[object]) -> list[object]:
    return [c.action for c in agent.received if isinstance(c.action, kind)]


def test_after_a_change_that_is_not_done(two: Pair, capsys: Capture) -> None:
    """K2: the nodes are asked where it would go; the change itself is a dry run."""
    two[0].flow = two[1].flow = MOVED
    assert flow(two, CLIENT, "vip/web", "--if", DRAIN) == Exit.DONE
    (asked,) = asked_of(two[0], FlowOf)
    assert isinstance(asked, FlowOf)
    assert asked.change == Drain("10.3.1.2", "web")
    assert all(c.dry_run for c in two[0].received if isinstance(c.action, Drain))
    out = capsys.readouterr().out
    assert f"if: {DRAIN}" in out
    assert "lb1   10.3.2.2     9  10.3.1.2  by the slot's earlier real" in out
    assert "a new one moves; one that began stays" in out
    assert "guards: ok on 2 nodes" in out


def test_the_guards_are_asked_too(tmp_path: Path, capsys: Capture) -> None:
    with FakeAgent(tmp_path / "lb1", Fleet("lb1"), guard="last-healthy") as one:
        one.flow = MOVED
        words = ("-a", one.address, "flow", CLIENT, "vip/web", "--if", DRAIN, "-o", "json")
        assert cli.main([*words]) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["if"] == [DRAIN]
    assert found["guards"] == ["✕ last-healthy on lb1: web would have no real left"]
    assert found["items"][0]["after"]["real"] == "10.3.2.2"


def test_an_agent_that_knows_no_changes(two: Pair, capsys: Capture) -> None:
    """It would pass the change over, and say where the flow goes now."""
    assert flow(two, CLIENT, "vip/web", "--if", DRAIN) == Exit.FAILED
    assert "cannot say of a change; upgrade its agent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((CLIENT, "vip/web", "--if", "reload lb1"), "must be a change"),
        ((CLIENT, "vip/web", "--if", "drain real/10.9.9.9@web"), "there is none"),
        ((CLIENT, "vip/web", "--if", "drain 'real"), "no closing quotation"),
        ((CLIENT, "vip/web", "--sample", "10"), "of which VIP"),
        ((CLIENT, "--pcap", "x"), "are those of the file"),
        (("--pcap", "x", "--sample", "10"), "one of them"),
        ((CLIENT,), "which one?"),
        (("--sample", "10", "vip/none"), "there is none; there is"),
        (("--pcap", "/nowhere.pcap"), "No such file"),
        (("--pcap", "~nosuchuser/x.pcap"), "~nosuchuser/x.pcap: Could not determine home"),
        (("--pcap", "x\0y"), "null byte"),
        (("--pcap", __file__), "neither pcap nor pcapng"),
        (("[2001:db8::1]:80", "10.200.0.1:80"), "two families"),
        ((CLIENT, "vip/web", "-l", "rack=r9"), "do not say their labels"),
    ],
)
def test_what_cannot_be_asked(
    two: Pair, capsys: Capture, words: tuple[str, ...], says: str
) -> None:
    assert flow(two, *words) == Exit.USAGE
    assert says in capsys.readouterr().err
    assert not asked_of(two[0], FlowOf)
    assert not asked_of(two[0], FlowsOf)


# ---- many


def places(asked: FlowsOf, *, turned: int = 0) -> FlowPlaces:
    """The first two thirds to one real, the rest to another; after a change all to that one."""
    count = sum(1 for _ in unpacked(asked.flows))
    reals = [(0 if 3 * (n + turned) < 2 * count else 1) for n in range(count)]
    packed = b"".join(n.to_bytes(2, "little") for n in reals)
    other = b"\1\0" * count
    return FlowPlaces(
        vips=("web",),
        reals=("10.3.1.2", "10.3.2.2"),
        vip=bytes(2 * count),
        real=packed,
        going_on=packed,
        by=b"\0" + b"\2" * (count - 1),
        real_after=other if asked.change else b"",
        going_on_after=packed if asked.change else b"",
    )


def test_flows_with_one_goal_share_it() -> None:
    """Memory: ten thousand flows, asked of each of many nodes, have a few goals."""
    reals = b"\0\0\1\0\xff\xff" * 1000
    part = FlowPlaces(("web",), ("10.3.1.2", "10.3.2.2"), bytes(6000), reals, reals, bytes(3000))
    found = told("lb1", [part, part])
    assert found.now[:3] == [("web", "10.3.1.2"), ("web", "10.3.2.2"), ("web", "")]
    lists = (found.now, found.going_on, found.then, found.going_on_then)
    assert [len(each) for each in lists] == [6000] * 4
    assert len({id(goal) for each in lists for goal in each}) == 3


def test_many_by_chance(two: Pair, capsys: Capture) -> None:
    for agent in two:
        agent.flows = places
    assert flow(two, "--sample", "9000", "vip/web", "--if", DRAIN) == Exit.DONE
    parts = asked_of(two[0], FlowsOf)
    assert parts == asked_of(two[1], FlowsOf), "the same flows to each"
    assert len(parts) > 1, "no command is larger than an operator may send"
    flows = [f for part in parts if isinstance(part, FlowsOf) for f in unpacked(part.flows)]
    assert len({(f.source, f.source_port) for f in flows}) > 8990
    assert {str(f).partition(" -> ")[2] for f in flows} == {"10.200.0.1:80/tcp"}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"9 000 flows by chance to vip/web  if: {DRAIN}"
    assert said[2].split() == ["lb1,", "lb2", "web", "10.3.1.2", "6", "000", "66.7%", "0", "0.0%"]
    assert said[6].split() == ["lb1", "9", "000", "3", "0", "0", "6", "000", "66.7%", "0", "0.0%",
                               "0", "-"]  # fmt: skip


def test_nodes_that_place_some_otherwise(two: Pair, capsys: Capture) -> None:
    two[0].flows, two[1].flows = places, lambda asked: places(asked, turned=3)
    assert flow(two, "--sample", "300", "vip/web", "-o", "json") == Exit.FAILED
    found = json.loads(capsys.readouterr().out)
    assert [item["unlike"] for item in found["items"]] == [0, 3]
    assert found["items"][1]["reals"][0]["flows"] == 197
    assert found["items"][0]["moved"] is None, "nothing was supposed"


def test_one_is_too_old_to_say(two: Pair, capsys: Capture) -> None:
    two[0].flows = places
    assert flow(two, "--sample", "30", "vip/web") == Exit.FAILED
    assert "lb2: cannot say; upgrade its agent" in capsys.readouterr().err


def test_the_flows_of_a_capture(two: Pair, capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "some.pcap"
    frames = [Ether() / IP(src=f"198.51.100.{n}", dst="10.200.0.1") / TCP(sport=1234, dport=80)
              for n in (1, 2, 3, 1)]  # fmt: skip
    wrpcap(str(file), [*frames, Ether() / ARP()])
    for agent in two:
        agent.flows = places
    assert flow(two, "--pcap", str(file)) == Exit.DONE
    (asked,) = asked_of(two[0], FlowsOf)
    assert isinstance(asked, FlowsOf)
    assert [str(f.source) for f in unpacked(asked.flows)] == [f"198.51.100.{n}" for n in (1, 2, 3)]
    assert "3 flows in 5 packets, 1 of no flow" in capsys.readouterr().out
