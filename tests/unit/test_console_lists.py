# SPDX-License-Identifier: Apache-2.0
"""`get`, `top`, `events`: what is selected, in which order, and in which form."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.cli import main as cli
from console.cli.verbs.following import _Printer
from console.exits import Exit
from console.model.eventlog import EVENTS_KEPT
from console.model.store import Arrived, Inbox, Store
from console.views.event_filter import Filter
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import LB1, Fleet, dropped, events

Capture = pytest.CaptureFixture[str]
Pair = tuple[FakeAgent, FakeAgent]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2)) as other,
    ):
        yield one, other


def remora(two: Pair, *words: str) -> int:
    return cli.main([*(w for agent in two for w in ("-a", agent.address)), *words])


def names(two: Pair, capsys: Capture, *words: str) -> list[str]:
    assert remora(two, *words, "-o", "name") == Exit.DONE
    return capsys.readouterr().out.split()


# ---- selectors


def test_state_selects_by_the_words_of_the_table(two: Pair, capsys: Capture) -> None:
    for agent in two:
        agent.fleet.admin["web", "10.3.2.2"] = Admin.DRAINING
        agent.fleet.health["web", "10.3.3.2"] = Health.DOWN
    assert names(two, capsys, "get", "real", "--state", "down") == ["real/10.3.3.2@web"]
    assert names(two, capsys, "get", "real", "--state", "draining") == ["real/10.3.2.2@web"]
    both = names(two, capsys, "get", "real", "--state", "down", "--state", "drain")
    assert len(both) == 2


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ("w<=50", ["real/10.3.3.2@web"]),
        ("ring>30%", ["real/10.3.1.2@web", "real/10.3.2.2@web"]),
        ("real=10.3.1.2", ["real/10.3.1.2@web"]),
        ("address!=10.3.1.2", ["real/10.3.2.2@web", "real/10.3.3.2@web"]),
        ("live_flows>100", ["real/10.3.1.2@web", "real/10.3.2.2@web", "real/10.3.3.2@web"]),
    ],
)
def test_field_is_a_column_or_a_key(
    two: Pair, capsys: Capture, test: str, found: list[str]
) -> None:
    assert names(two, capsys, "get", "real", "--vip", "web", "--field", test) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--state", "down"), "nothing matches --state down"),
        (("--field", "w>5k"), "nothing matches --field 'w>5k'"),
        (("--field", "w"), "must be like"),
        (("--field", "nonsense>1"), "no such field; there is real, vip,"),
        (("--node", "lb[3-9]"), "no such node; there is lb1, lb2"),
        (("--vip", "wbe"), "nothing matches --vip wbe"),
        (("--sort", "nonsense"), "no such column"),
        (("--columns", "real,nonsense"), "no such column"),
        (("--columns", "real", "-o", "csv"), "--columns is of tables"),
        (("--count", "2"), "--count is of --watch"),
    ],
)
def test_what_selects_nothing_is_an_error(
    two: Pair, capsys: Capture, words: tuple[str, ...], said: str
) -> None:
    """Never everything, and never quietly nothing: exit 2, and nothing on stdout."""
    assert remora(two, "get", "real", *words) == Exit.USAGE
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_nodes_by_pattern(two: Pair, capsys: Capture) -> None:
    assert names(two, capsys, "get", "node", "--node", "lb[2-4]") == ["node/lb2"]
    assert len(names(two, capsys, "get", "each", "--node", "lb*", "--vip", "web")) == 6


def test_sort_columns_and_headers(two: Pair, capsys: Capture) -> None:
    words = ("--vip", "web", "--columns", "w,real", "--no-headers", "--sort", "w")
    assert remora(two, "get", "real", *words, "--reverse") == Exit.DONE
    assert capsys.readouterr().out.split()[0] == "50"
    assert remora(two, "get", "real", *words, "-n", "1") == Exit.DONE
    assert capsys.readouterr().out == "100  10.3.1.2\n"


def test_yaml_says_what_json_says(two: Pair, capsys: Capture) -> None:
    assert remora(two, "get", "node", "-o", "yaml") == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'apiVersion: "remora/1"'
    assert '- name: "lb1"' in lines
    assert '  - address: "192.0.2.254"' in lines or any("peers:" in line for line in lines)


# ---- rates, again and again


def test_top_has_the_busiest_first(two: Pair, capsys: Capture) -> None:
    assert remora(two, "top", "-o", "name") == Exit.DONE
    assert capsys.readouterr().out.split() == ["node/lb2", "node/lb1"], "its factor is 2"
    assert remora(two, "top", "real", "-n", "2") == Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "PPS" in lines[0]


def test_watch_appends_on_a_pipe(two: Pair, capsys: Capture) -> None:
    assert remora(two, "top", "vip", "--watch=0.1", "--count", "2") == Exit.DONE
    blocks = capsys.readouterr().out.split("\n\n")
    assert len(blocks) == 2
    assert all("PPS" in block and block.startswith(("0", "1", "2")) for block in blocks)
    assert remora(two, "get", "vip", "--watch=0.1", "--count", "2") == Exit.DONE
    found = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert found == [*found[: len(found) // 2]] * 2


# ---- colours


def test_colours_are_asked_for(two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    remora(two, "status")
    assert "\x1b" not in capsys.readouterr().out, "no terminal"
    assert remora(two, "--color", "always", "get", "node") == Exit.DONE
    assert "\x1b[32m● up" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    remora(two, "get", "node")
    assert "\x1b" not in capsys.readouterr().out


# ---- events


def seen(two: Pair, capsys: Capture, *words: str) -> list[dict[str, object]]:
    assert remora(two, "events", "-o", "jsonl", *words) == Exit.DONE
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_events_are_filtered(two: Pair, capsys: Capture) -> None:
    two[0].events = events(two[0].fleet)
    all_ = seen(two, capsys)
    drops = [each for each in all_ if each["type"] == "drop"]
    assert seen(two, capsys, "--reason", "fragment") == [
        each for each in drops if each["name"] == "fragment"
    ]
    assert seen(two, capsys, "--not", "--reason", "fragment") == [
        each for each in all_ if each.get("name") != "fragment"
    ]
    source = str(drops[0]["source"]).rpartition(":")[0] or str(drops[0]["source"])
    assert seen(two, capsys, "--src", source)[0]["source"] == drops[0]["source"]
    assert seen(two, capsys, "--node", "lb2") == []
    assert seen(two, capsys, "--until", "2001-01-01") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--reason", "nonsense"), "no such reason; there is"),
        (("--src", "10.0.0.0/33"), "must be an address or network"),
        (("--since", "nonsense"), "must be a time"),
    ],
)
def test_events_refuse_what_cannot_be(
    two: Pair, capsys: Capture, words: tuple[str, ...], said: str
) -> None:
    assert remora(two, "events", *words) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_dropped_packets_into_a_capture(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    """A pcapng of its own blocks; a file that is there is never written over."""
    two[0].events = events(two[0].fleet)
    file = tmp_path / "drops.pcapng"
    assert remora(two, "events", "drops", "--pcap", str(file)) == Exit.DONE
    written = file.read_bytes()
    assert written[:4] == b"\x0a\x0d\x0d\x0a"
    assert b"lb1:drops" in written
    assert b"drop fragment" in written
    assert remora(two, "events", "drops", "--pcap", str(file)) == Exit.USAGE
    assert "is there already" in capsys.readouterr().err


def test_dropped_packets_of_a_node_that_has_told_nothing_else(
    tmp_path: Path, capsys: Capture
) -> None:
    """As over TCP: the address does not name the node, its events do."""
    file = tmp_path / "drops.pcapng"
    with FakeAgent(tmp_path / "10.0.0.1:7471", Fleet("lb1")) as one:
        one.events = events(one.fleet)
        words = ("-a", one.address, "events", "drops", "--pcap", str(file))
        assert cli.main(list(words)) == Exit.DONE
    assert b"lb1:drops" in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "it holds what clients sent"


def test_following_for_days_takes_no_memory(tmp_path: Path) -> None:
    """K4: what was printed is remembered only as long as the log has it."""
    fleet, out = Fleet("lb1"), io.StringIO()
    session: Any = SimpleNamespace(store=Store([LB1]), write=out.write, paint=lambda text, _: text)
    arguments: Any = SimpleNamespace(output="table")
    printer = _Printer(session, arguments, Filter(None, (), None, None).passes, None)
    for number in range(3 * EVENTS_KEPT):
        session.store.take(Inbox([Arrived(LB1, fleet.event(number, number, dropped()), 0.0)]))
        if not number % 500:
            printer.print_new(last=None)
    printer.print_new(last=None)
    assert out.getvalue().count("fragment") == 3 * EVENTS_KEPT
    assert len(printer._written) <= EVENTS_KEPT
