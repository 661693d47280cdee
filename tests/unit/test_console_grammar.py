# SPDX-License-Identifier: Apache-2.0
"""The words of the CLI, as a table: which flags stand where, what values may be, what they mean."""

from __future__ import annotations

import argparse
import io
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from console.cli import completion
from console.cli import main as cli
from console.cli.grammar import top, words
from console.cli.grammar.verb import written
from console.cli.verbs import past
from console.exits import Exit
from console.wire import hour
from shared.model import Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet

TARGET = "real/10.3.1.2@web"
Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2)) as other,
    ):
        yield one, other


def remora(*given: str, agents: tuple[FakeAgent, ...]) -> int:
    return cli.main([*(w for agent in agents for w in ("-a", agent.address)), *given])


# ---- flags of all verbs

ENOUGH = {
    **dict.fromkeys(("drain", "undrain", "maint", "reload", "rollback", "apply"), "x"),
    **{"weight": "x 5", "get": "node", "op": "hold x", "plan": "drain x", "diff": "ring"},
    **{"flow": "1.2.3.4:5 web", "keys": "f", "record": "f", "replay": "f"},
    **{"relay": "--listen h:1", "completion": "bash"},
}
"""Verb -> words without which it is not complete."""
VERBS = [verb for verb in completion._subparsers(top.parser()) if verb != "complete"]
GLOBAL = [
    (["--quiet"], "quiet", True),
    (["-v"], "verbose", True),
    (["-C", "lab"], "context", "lab"),
    (["--config", "f"], "config", "f"),
    (["--connect-timeout", "500ms"], "connect_timeout", 0.5),
    (["--max-age", "3s"], "max_age", 3.0),
    (["--no-input"], "no_input", True),
    (["--local"], "local", True),
    (["--local", "--utc"], "local", False),
    (["--units", "iec"], "units", "iec"),
    (["--color", "always"], "color", "always"),
    (["--plain"], "plain", True),
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_of_all_verbs_stands_before_the_verb_or_behind_it(verb: str) -> None:
    call = [verb, *ENOUGH.get(verb, "").split()]
    usual = vars(top.parser(call).parse_args(call))
    for flag, name, value in GLOBAL:
        for given in ([*flag, *call], [*call, *flag]):
            found = vars(top.parser(given).parse_args(given))
            assert found == {**usual, name: value}, given
    assert {flag[0] for flag, *_ in GLOBAL} <= {
        name for names in words.EVERYWHERE for name in names.split()
    }
    assert len(GLOBAL) == len(words.EVERYWHERE), "one line for each"


@pytest.mark.parametrize("verb", VERBS)
def test_the_output_may_be_said_before_the_verb(verb: str) -> None:
    call = [verb, *ENOUGH.get(verb, "").split()]
    own = written(completion.verb_of(top.parser(call), call)[0])
    before = ["-o", "json", *call]
    if own is None:
        with pytest.raises(SystemExit):
            cli._parsed(before)
        return
    usual = vars(cli._parsed(call))
    assert vars(cli._parsed(before)) == {**usual, "output": "json", "before": "json"}
    behind = [*before, "-o", "table"]
    assert vars(cli._parsed(behind))["output"] == "table", "what is said behind holds"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("-o", "csv", "status"), "remora status: -o: no 'csv'; there is table, json"),
        (("-o", "json", "completion", "bash"), "remora completion: -o: not known here"),
        (("-o", "json"), "the console has none"),
        (("-o", "text", "get", "node"), "remora: -o/--output: no 'text'; there is table, wide"),
    ],
)
def test_an_output_that_the_verb_has_not(
    capsys: Capture, given: tuple[str, ...], says: str
) -> None:
    with pytest.raises(SystemExit) as left:
        cli._parsed(given)
    assert left.value.code == Exit.USAGE
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5s", 1.5), ("500ms", 0.5), ("30m", 1800), ("2h", 7200), ("1d", 86400)],
)
def test_spans_of_time(text: str, seconds: float) -> None:
    assert words.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "5x", "s", "1e9", "nan", "inf", "1 m"])
def test_what_is_no_span_of_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be a time like"):
        words.duration(text)


SIGNS = set("●◐○▲✕·")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("status",), Exit.FAILED),
        (("get", "real"), Exit.DONE),
        (("top", "node"), Exit.DONE),
        (("diff", "ring"), Exit.FAILED),
        (("drain", TARGET, "--yes"), Exit.REFUSED),
    ],
)
def test_plain_is_words_only(
    two: Pair, capsys: Capture, given: tuple[str, ...], code: Exit
) -> None:
    """For a screen reader: the same words, without the signs and the colours."""
    two[1].fleet.health["web", "10.3.1.2"] = Health.DOWN
    two[1].guard = "last-healthy"
    assert remora(*given, "--color", "always", agents=two) == code
    shown = "".join(capsys.readouterr())
    assert SIGNS & set(shown)
    assert remora(*given, "--plain", "--color", "always", agents=two) == code
    plain = "".join(capsys.readouterr())
    assert not SIGNS & set(plain)
    assert "\x1b" not in plain
    assert plain.count("\n") == shown.count("\n")


def test_plain_never_clears_the_screen(
    two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags, clears in (([], True), (["--plain"], False)):
        out = Terminal()
        monkeypatch.setattr("sys.stdout", out)
        again = ["--watch=100ms", "--count", "2", "--color", "never"]
        assert remora("get", "real", *again, *flags, agents=two) == Exit.DONE
        assert ("\x1b[2J" in out.getvalue()) is clears


def test_a_full_screen_is_not_plain(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert cli.main(["-a", "/nowhere", "--plain"]) == Exit.USAGE
    assert "remora watch --plain" in capsys.readouterr().err


# ---- objects of get and top, and VIPs by their address

HTTP = "10.200.0.1:80/tcp"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("get node/lb1", ["node/lb1"]),
        ("get nodes lb1 node/lb2", ["node/lb1", "node/lb2"]),
        ("get vip web", ["vip/web"]),
        (f"get vip {HTTP}", ["vip/web"]),
        (f"get vip/{HTTP}", ["vip/web"]),
        ("get real 10.3.1.2", ["real/10.3.1.2@web", "real/10.3.1.2@dns"]),
        ("get real/10.3.1.2@web", ["real/10.3.1.2@web"]),
        (f"get real 10.3.1.2@{HTTP}", ["real/10.3.1.2@web"]),
        (f"get real 10.3.1.2 --vip {HTTP}", ["real/10.3.1.2@web"]),
        ("get real --vip web 10.3.1.2 10.3.2.2", ["real/10.3.1.2@web", "real/10.3.2.2@web"]),
        ("get each/10.3.1.2@web", ["real/10.3.1.2@web/lb1", "real/10.3.1.2@web/lb2"]),
        ("get check real/10.3.1.2@dns", ["real/10.3.1.2@dns"]),
        ("get peer lb2", ["peer/lb2/10.2.1.1"]),
        ("get peer/lb2/10.2.1.1", ["peer/lb2/10.2.1.1"]),
        ("top real/10.3.1.2@web", ["real/10.3.1.2@web"]),
        ("top lb", None),
        ("get node lb", None),
        ("get node vip/web", None),
        ("get node/", None),
        ("get rael/10.3.1.2", None),
        ("get node lb1 lb9", None),
        ("get real 10.3.1", None),
    ],
)
def test_a_list_of_what_is_named(
    two: Pair, capsys: Capture, given: str, found: list[str] | None
) -> None:
    """Never everything, never quietly nothing: a name that is none is exit 2."""
    try:
        code = remora(*given.split(), "-o", "name", agents=two)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == (Exit.USAGE if found is None else Exit.DONE)
    assert capsys.readouterr().out.split() == (found or [])


def test_a_change_takes_a_vip_by_its_address(two: Pair, capsys: Capture) -> None:
    """What the node is sent is the VIP's name."""
    words_ = ("drain", f"real/10.3.1.2@{HTTP}", "--dry-run")
    assert remora(*words_, agents=two) == Exit.DONE
    assert capsys.readouterr().out.startswith(f"plan: drain {TARGET}\n")
    assert remora("status", f"vip/{HTTP}", agents=two) == Exit.DONE


@pytest.mark.parametrize("then", [("--at", "5s"), ("--from", "f.rec")])
@pytest.mark.parametrize(
    "verb",
    [("get", "node", "--watch"), ("top", "--watch"), ("events", "-f"),
     ("status", "--wait-for", "healthy")],
)  # fmt: skip
def test_the_past_does_not_go_on(
    two: Pair, capsys: Capture, verb: tuple[str, ...], then: tuple[str, str]
) -> None:
    assert remora(*verb, *then, agents=two) == Exit.USAGE
    assert "is about what is now: not with --at or --from" in capsys.readouterr().err


def test_who_watches_for_what_is_not_there_yet_goes_on(two: Pair, capsys: Capture) -> None:
    """`--state down --watch`: once it is an error, again and again it is an answer."""
    down = ("get", "real", "--state", "down", "--no-headers")
    assert remora(*down, agents=two) == Exit.USAGE
    assert "nothing matches --state down" in capsys.readouterr().err
    for output, said in (("table", "nothing matches --state down"), ("jsonl", "")):
        again = ("--watch=100ms", "--count", "2", "-o", output)
        assert remora(*down, *again, agents=two) == Exit.DONE
        assert capsys.readouterr().out.count("nothing matches") == (2 if said else 0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["get", "real", "10.3.2"], ["10.3.2.2@web"]),
        (["get", "reals", "10.3.1.2@web", "10.3.2"], ["10.3.2.2@web"]),
        (["get", "node/"], ["node/lb1", "node/lb2"]),
        (["top", "vip/w"], ["vip/web"]),
        (["get", "n"], ["node"]),
        (["op", "wait", ""], ["op1abc"]),
        (["drain", "real/10.3.1.2@web", "--wait", "d"], ["drained"]),
        (["drain", "real/10.3.1.2@web", "--canary", "lb2"], ["lb2"]),
        (["status", "--wait-for", ""], ["healthy"]),
        (["get", "node", "--color", "al"], ["always"]),
    ],
)
def test_names_of_a_kind_are_completed(given: list[str], wanted: list[str]) -> None:
    known = {
        "node": ["node/lb1", "node/lb2"],
        "vip": ["vip/web"],
        "real": ["real/10.3.1.2@web", "real/10.3.2.2@web"],
        "op": ["op1abc"],
    }
    assert completion.words(top.parser(), given, known) == wanted


# ---- --wait


@pytest.mark.parametrize("until", ["drained", "gone", "quiet:5"])
@pytest.mark.parametrize("verb", ["undrain", "weight"])
def test_nobody_waits_for_what_cannot_come(
    two: Pair, capsys: Capture, verb: str, until: str
) -> None:
    """After an undrain flows come: it would be half an hour, and exit 5."""
    given = [verb, TARGET, *(["50"] if verb == "weight" else []), "--yes", f"--wait={until}"]
    assert remora(*given, agents=two) == Exit.USAGE
    assert f"{verb} empties nothing" in capsys.readouterr().err
    assert two[0].changes == []


def test_gone_is_drained(two: Pair, capsys: Capture) -> None:
    """As kubectl calls it; who waits is told how to look again at just that."""
    given = ("drain", TARGET, "--yes", "--wait=gone", "--timeout", "0")
    assert remora(*given, agents=two) == Exit.TIMED_OUT
    assert f"look again with: remora get {TARGET}\n" in capsys.readouterr().err
    for agent in two:
        agent.fleet.flows["web", "10.3.1.2"] = 0
    assert remora(*given, agents=two) == Exit.DONE


# ---- what is said of what was typed


@pytest.mark.parametrize("flag", ["--since", "--until", "--at"])
def test_a_time_that_is_none_is_said_with_its_flag(two: Pair, capsys: Capture, flag: str) -> None:
    assert remora("events", flag, "5x", agents=two) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"remora: {flag} 5x: must be a time")


def test_a_recording_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "x.rec"
    assert cli.main(["get", "node", "--from", str(file)]) == Exit.FAILED
    assert capsys.readouterr().err == f"remora: {file}: No such file or directory\n"


def test_nobody_who_could_tell_of_the_past(
    two: Pair, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not: nobody has kept it."""
    monkeypatch.setattr(past, "recalled", partial(hour.recalled, patience=0.2))
    for agent in two:
        agent.deaf = True
    assert remora("get", "node", "--at", "5s", agents=two) == Exit.NO_AGENT
    assert "tells of its past: is it running" in capsys.readouterr().err


def test_who_waits_for_health_waits_for_the_agents_too(tmp_path: Path, capsys: Capture) -> None:
    """After a reboot of all nodes, say: it is no error that they are not there yet."""
    late = FakeAgent(tmp_path / "lb1", Fleet("lb1"))
    wait = ["-a", late.address, "--connect-timeout", "200ms", "status", "--short"]
    wait += ["--wait-for", "healthy", "--timeout"]
    assert cli.main([*wait, "0"]) == Exit.NO_AGENT
    assert cli.main([*wait, "500ms"]) == Exit.NO_AGENT
    assert "no agent answers" in capsys.readouterr().err
    timer = threading.Timer(0.7, late.__enter__)
    timer.start()
    try:
        assert cli.main([*wait, "15s"]) == Exit.DONE
    finally:
        timer.join()
        late.__exit__(None, None, None)


# ---- nodes and formats


def test_all_nodes_is_said_or_not(two: Pair, capsys: Capture) -> None:
    """`reload` never means all of them by itself; where that is the default it may be said."""
    assert remora("reload", "--yes", agents=two) == Exit.USAGE
    assert "or --all-nodes" in capsys.readouterr().err
    assert remora("reload", "lb1", "-A", "--yes", agents=two) == Exit.USAGE
    assert [agent.changes for agent in two] == [[], []]
    assert remora("reload", "-A", "--yes", agents=two) == Exit.DONE
    assert [len(agent.changes) for agent in two] == [1, 1], "nothing to reload"
    assert remora("drain", TARGET, "-A", "--dry-run", agents=two) == Exit.DONE
    with pytest.raises(SystemExit) as left:
        remora("drain", TARGET, "-A", "--node", "lb1", agents=two)
    assert left.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("about", "vips", "code"),
    [
        ((), ["web", "dns"], Exit.FAILED),
        (("web",), ["web"], Exit.FAILED),
        (("vip/dns",), ["dns"], Exit.DONE),
        ((HTTP, "node/lb1", "lb2"), ["web"], Exit.FAILED),
        (("lb1",), [], Exit.USAGE),
        (("cheese",), [], Exit.USAGE),
    ],
)
def test_rings_of_these_vips_on_these_nodes(
    two: Pair, capsys: Capture, about: tuple[str, ...], vips: list[str], code: Exit
) -> None:
    two[1].fleet.health["web", "10.3.1.2"] = Health.DOWN
    assert remora("diff", "ring", *about, "-o", "json", agents=two) == code
    out = capsys.readouterr().out
    found = json.loads(out)["items"] if out else []
    assert list(dict.fromkeys(item["vip"] for item in found)) == vips


def test_an_absent_node_matters_only_where_it_is_meant(two: Pair, tmp_path: Path) -> None:
    more = ("-a", str(tmp_path / "dead"), "--connect-timeout", "200ms", "diff", "ring")
    assert remora(*more, agents=two) == 2, "trouble, as diff has it"
    assert remora(*more, "lb1", "lb2", agents=two) == Exit.DONE


def test_the_version_for_a_script(capsys: Capture) -> None:
    assert cli.main(["version", "-o", "json"]) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], f"remora {found['version']}\n") == ("Version", _version(capsys))


def _version(capsys: Capture) -> str:
    cli.main(["version"])
    return capsys.readouterr().out


@pytest.mark.parametrize("word", ["op", "ops", "changes"])
def test_operations_are_changes(word: str) -> None:
    """`get op` lists them, `events changes` tells them one by one."""
    given = ["events", word]
    assert top.parser(given).parse_args(given).kind == "changes"


def test_an_audit_as_one_object(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text('{"n": 1, "at": 5.0, "what": "drain"}\n{"n": 2, "at": 6.0}\n')
    assert cli.main(["audit", "--file", str(file), "-o", "json", "--last", "1"]) == Exit.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], [item["n"] for item in found["items"]]) == ("AuditList", [2])
    assert cli.main(["audit", "--file", str(file), "-o", "json", "--verify"]) == Exit.USAGE


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("real", "--node", "lb1"), Exit.DONE),
        (("node", "lb1"), Exit.DONE),
        (("node/lb2",), Exit.DONE),
        (("real",), Exit.PARTIAL),
        (("real", "--node", "*"), Exit.PARTIAL),
        (("node", "lb1", "dead"), Exit.PARTIAL),
        (("node", "--node", "@r1"), Exit.PARTIAL),
    ],
)
def test_who_is_missing_is_who_was_meant(
    two: Pair, tmp_path: Path, capsys: Capture, given: tuple[str, ...], code: Exit
) -> None:
    """A node that nobody asked about makes no list incomplete; of @r1 it may be one."""
    for agent in two:
        agent.fleet.labels = {"rack": "r1"}
    dead = f"ipc://{tmp_path}/dead"
    more = ("-a", dead, "--connect-timeout", "200ms", "get", *given, "-o", "json")
    assert remora(*more, agents=two) == code
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == ([dead] if code else [])
    assert found["complete"] is not bool(code)


# ---- replay


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("replay", "--at", "5m"), Exit.DONE, ""),
        (("replay",), Exit.USAGE, "FILE, or --at TIME"),
        (("replay", "--at", "noon"), Exit.USAGE, "--at noon: must be a time"),
        (("replay", "--at", "5m", "--speed", "2"), Exit.USAGE, "--speed is of a recording"),
        (("console",), Exit.DONE, ""),
    ],
)
def test_the_console_opens_on_a_moment_of_the_last_hour(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, given: tuple[str, ...], code: Exit, says: str
) -> None:
    from console.tui import app

    opened: list[float | None] = []

    def run(settings: object, who: str, render: str, at: float | None, switch: object) -> int:
        opened.append(at)
        return Exit.DONE

    monkeypatch.setattr(app, "run", run)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", Terminal())
    assert cli.main(["-a", "/nowhere", *given]) == code
    assert says in capsys.readouterr().err
    assert len(opened) == (not code)
    if code == Exit.DONE:
        at = opened[0]
        assert at is None if given == ("console",) else abs(time.time() - 300 - (at or 0)) < 30
