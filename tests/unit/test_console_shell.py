# SPDX-License-Identifier: Apache-2.0
"""The CLI for shells, pipes and screen readers: watch, diff, completion, the man page, speed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.cli import completion, manual, names
from console.cli import main as cli
from console.cli.grammar import top
from console.exits import Exit
from shared.messages import Batch, Drain
from shared.model import Admin, Health
from tests.tui.fake_agent import FakeAgent
from tests.tui.recorded import Fleet, events

ROOT = Path(__file__).parents[2]
NAMES = {
    "node": ["node/lb1", "node/lb2"],
    "vip": ["vip/web"],
    "real": ["real/10.3.1.2@web", "real/10.3.2.2@web"],
    "peer": ["peer/lb1/10.2.1.1"],
    "context": ["context/fra1", "context/lab"],
}
Pair = tuple[FakeAgent, FakeAgent]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Pair]:
    with (
        FakeAgent(tmp_path / "lb1", Fleet("lb1")) as one,
        FakeAgent(tmp_path / "lb2", Fleet("lb2", pps_factor=2)) as other,
    ):
        yield one, other


def remora(*words: str, agents: Pair) -> int:
    return cli.main([w for a in agents for w in ("-a", a.address)] + list(words))


# ---- watch


@pytest.mark.parametrize(
    ("view", "shows"),
    [
        ("fleet", ["NODE", "lb1", "lb2", "PPS"]),
        ("nodes", ["NODE", "REAL", "10.3.3.2"]),
        ("vips", ["VIP", "10.200.0.1:80/tcp"]),
        ("reals", ["REAL", "10.3.1.2"]),
        ("drops", ["REASON", "fragment"]),
        ("bgp", ["PEER", "10.2.1.1"]),
        ("checks", ["LAST WORDS", "http 200"]),
        ("alerts", ["nothing to show"]),
        ("operations", ["nothing to show"]),
        ("heat", ["CPU", "QUEUES"]),
        ("rings", ["VIP", "equal"]),
        ("events", ["nothing to show"]),
        ("node/lb1", ["NODE", "VIP", "10.200.0.1:80/tcp"]),
        ("vip/web", ["VIP", "REAL", "10.3.3.2"]),
        ("real/10.3.1.2@web", ["NODE", "lb1", "lb2"]),
    ],
)
def test_watch_appends_plain_blocks(
    two: Pair, capsys: Capture, view: str, shows: list[str]
) -> None:
    words = ("watch", view, "--plain", "--every", "0.1", "--count", "2")
    assert remora(*words, agents=two) == Exit.DONE
    text = capsys.readouterr().out
    blocks = text.strip().split("\n\n")
    assert len(blocks) == 2
    for block in blocks:
        heading = block.splitlines()[0]
        assert heading.endswith(f"Z remora {view} 2/2 nodes".partition("Z ")[2])
        assert all(word in block for word in shows)
    assert "\x1b" not in text
    assert not set(text) & set("▁▂▃▄▅▆▇█●◐✕"), "no sparklines, no signs for a screen reader"


def test_watch_of_what_is_not_there(two: Pair, capsys: Capture) -> None:
    assert remora("watch", "nonsense", "--count", "1", agents=two) == Exit.USAGE
    assert "views are fleet, nodes," in capsys.readouterr().err


def test_watch_shows_what_was_before_it_came(two: Pair, capsys: Capture) -> None:
    two[0].events = events(two[0].fleet)
    words = ("--plain", "--every", "0.1", "--count", "1")
    assert remora("watch", "events", "fragment", *words, agents=two) == Exit.DONE
    assert "drop    fragment" in capsys.readouterr().out
    assert remora("watch", "operations", *words, agents=two) == Exit.DONE
    assert "drain real/10.3.2.2@web" in capsys.readouterr().out


def test_words_of_watch_may_stand_behind_flags(two: Pair, capsys: Capture) -> None:
    flags = ("--every", "0.1", "--count", "1")
    for words in (
        ("reals", "10.3.2.2", "web", "--plain", *flags),
        ("--plain", *flags, "reals", "10.3.2.2", "web"),
        ("reals", "--plain", "10.3.2.2", *flags, "web"),
    ):
        assert remora("watch", *words, agents=two) == Exit.DONE
        heading, _, *rows = capsys.readouterr().out.strip().splitlines()
        assert " reals 2/2 nodes" in heading
        assert [row.split()[:2] for row in rows] == [["10.3.2.2", "web"]], words


def test_watch_filters_and_names_who_is_missing(two: Pair, tmp_path: Path, capsys: Capture) -> None:
    words = ["-a", str(tmp_path / "dead"), "--connect-timeout", "0.3", "watch", "reals", "10.3.2.2"]
    words += ["web", "--every", "0.1", "--count", "1"]
    assert remora(*words, agents=two) == Exit.PARTIAL
    heading, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert heading.endswith("2/3 nodes, not live: dead")
    assert len(rows) == 1
    assert rows[0].startswith("10.3.2.2")


# ---- diff


def test_diff_ring_exits_as_diff(two: Pair, capsys: Capture) -> None:
    assert remora("diff", "ring", agents=two) == Exit.DONE
    assert "● equal" in capsys.readouterr().out
    two[1].fleet.health["web", "10.3.1.2"] = Health.DOWN
    assert remora("diff", "ring", "web", "-o", "json", agents=two) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "RingDiff"
    rows = {row["node"]: row for row in found["items"]}
    assert rows["lb1"]["equal"]
    assert not rows["lb2"]["equal"]
    assert rows["lb2"]["first_slot"] == 0
    assert (rows["lb2"]["here"], rows["lb2"]["elsewhere"]) == ("10.3.2.2", "10.3.1.2")
    assert remora("diff", "ring", "mail", agents=two) == Exit.USAGE


def test_diff_without_a_noun_is_of_rings(two: Pair, capsys: Capture) -> None:
    assert remora("diff", "ring", "lb1", "lb2", agents=two) == Exit.DONE
    said = capsys.readouterr().out
    assert remora("diff", "lb1", "lb2", agents=two) == Exit.DONE
    assert capsys.readouterr().out == said
    assert remora("diff", "rings", agents=two) == Exit.USAGE
    assert "rings: no vip or node of that name" in capsys.readouterr().err


# ---- several objects


def test_several_objects_are_one_change_per_node(two: Pair, capsys: Capture) -> None:
    words = ("drain", "real/10.3.1.2@web", "real/10.3.2.2@web", "--yes")
    assert remora(*words, agents=two) == Exit.DONE
    batch = Batch((Drain("10.3.1.2", "web"), Drain("10.3.2.2", "web")))
    for agent in two:
        assert [c.action for c in agent.changes] == [batch, batch]
        assert agent.fleet.admin["web", "10.3.2.2"] is Admin.DRAINING
    assert len({agent.changes[-1].operation for agent in two}) == 1
    assert "these 2 reals" in capsys.readouterr().out


# ---- completion


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["dr"], ["drain"]),
        (["drain", "no"], ["node/lb1", "node/lb2"]),
        (["drain", "real/10.3.2"], ["real/10.3.2.2@web"]),
        (["drain", "real/10.3.1.2@web", "real/10.3.2"], ["real/10.3.2.2@web"]),
        (["drain", "node/lb1", "--re"], ["--reason"]),
        (["-a", "x", "status", "vip"], ["vip/web"]),
        (["get", "r"], ["real"]),
        (["get", "real", "--vip", ""], ["web"]),
        (["get", "real", "--node", "lb"], ["lb1", "lb2"]),
        (["get", "real", "-o", "js"], ["json", "jsonl"]),
        (["watch", "al"], ["alerts"]),
        (["status", "peer"], ["peer/lb1/10.2.1.1"]),
        (["diff", "r"], ["ring"]),
        (["diff", "node/"], ["node/lb1", "node/lb2"]),
        (["-o", "js"], ["json", "jsonl"]),
        (["-o", "json", "dr"], ["drain"]),
        (["-C", ""], ["fra1", "lab"]),
        (["get", "real", "--context=f"], ["--context=fra1"]),
        (["get", "real", "--vip=w"], ["--vip=web"]),
        (["get", "real", "-l", "rack=r2", "--node=lb"], ["--node=lb1", "--node=lb2"]),
        (["drain", "node/lb1", "--wait=d"], ["--wait=drained"]),
        (["drain", "node/lb1", "--dry-run="], ["--dry-run=plan", "--dry-run=agent"]),
        (["drain", "--dry-run", "node/lb1"], ["node/lb1"]),
        (["drain", "node/lb1", "--allow", "l"], ["last-healthy", "live-flows", "last-announcer"]),
        (["drain", "node/lb1", "--reason", ""], []),
        (["drain", "--reason=x", "no"], ["node/lb1", "node/lb2"]),
        (["drain", "node/lb1", "--node=lb1", "--nod"], ["--node"]),
        (["drain", "node/lb1", "--yes", "--ye"], []),
        (["drain", "node/lb1", "--nonsense="], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["--ren"], ["--render"]),
        (["--render", ""], ["diff", "stock"]),
        (["nonsense", "x"], []),
    ],
)
def test_what_a_word_may_become(given: list[str], wanted: list[str]) -> None:
    assert completion.words(top.parser(), given, NAMES) == wanted


def test_the_hidden_verb_is_offered_nowhere() -> None:
    offered = completion.words(top.parser(), [""], NAMES)
    assert "drain" in offered
    assert "complete" not in offered


def test_names_of_the_last_look_are_kept(
    two: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert names.kept() == {}
    assert remora("status", "--short", agents=two) == Exit.DONE
    assert names.kept()["vip"] == ["vip/dns", "vip/web"]
    capsys.readouterr()
    assert cli.main(["complete", "--", "drain", "real/10.3.1"]) == Exit.DONE
    assert capsys.readouterr().out.split() == ["real/10.3.1.2@dns", "real/10.3.1.2@web"]
    assert cli.main(["complete", "--", "drain", "node/lb1", "--rea"]) == Exit.DONE
    assert capsys.readouterr().out.split() == ["--reason"]
    where = names.path()
    assert where is not None
    where.write_text("[1")
    assert names.kept() == {}


@pytest.mark.parametrize("words", [("--config", "{}"), ("--config={}",)])
def test_contexts_are_those_of_the_file_that_is_given(
    words: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[contexts.fra1]\nagents = ["ipc:///x"]\n')
    given = [word.format(file) for word in words]
    assert cli.main(["complete", "--", *given, "-C", ""]) == Exit.DONE
    assert capsys.readouterr().out.split() == ["fra1"]


@pytest.mark.parametrize("shell", sorted(completion.SHELLS))
def test_the_scripts_are_what_the_shell_reads(shell: str, capsys: Capture) -> None:
    assert cli.main(["completion", shell]) == Exit.DONE
    script = capsys.readouterr().out
    if shutil.which(shell) is None:
        return  # the words are tested above; bash is everywhere
    checked = subprocess.run(
        [shell, "-n"], input=script, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


LABELLED = {"label": ["rack=r1", "rack=r2", "tier=web"], "real": ["real/10.3.1.2@web"]}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["get", "real", "-l", ""], ["rack", "tier", "rack=r1", "rack=r2", "tier=web"]),
        (["drain", "real", "-l", "rack="], ["rack=r1", "rack=r2"]),
        (["drain", "real", "-l", "rack=r2,"], ["rack=r2,tier", "rack=r2,tier=web"]),
        (["drain", "real", "--selector", "rack=r2,t"], ["rack=r2,tier", "rack=r2,tier=web"]),
        (["drain", "-l", "rack=r2", "re"], ["real/10.3.1.2@web", "real"]),
    ],
)
def test_labels_are_completed_from_those_in_use(given: list[str], found: list[str]) -> None:
    assert sorted(completion.words(top.parser(), given, LABELLED)) == sorted(found)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("drain real/2001:db8", ["db8::2@web"]),
        ("drain real/2001:db8::2@", ["@web"]),
        ("get real --vip=w", ["web"]),
        ("get real --context=", ["fra1", "lab"]),
        ("drain node/lb1 --stop-on d", ["drops="]),
        ("replay nothing", []),
    ],
)
def test_bash_completes_what_readline_cuts(tmp_path: Path, line: str, wanted: list[str]) -> None:
    """The whole way: bash asks, the script cuts what readline takes for separate words."""
    keep = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    names.keep({"real": ["real/2001:db8::2@web"], "vip": ["vip/web"]}, keep)
    (tmp_path / "remora" / "config.toml").write_text("[contexts.fra1]\n[contexts.lab]\n")
    (tmp_path / "remora.sh").write_text(f'exec {sys.executable} -m console "$@"\n')
    script = f"""
remora() {{ bash {tmp_path}/remora.sh "$@"; }}
{completion.SHELLS["bash"]}
COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
COMP_LINE='remora {line}'; COMP_POINT=${{#COMP_LINE}}
_remora
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | keep,
    )
    assert done.stdout.split() == wanted


# ---- man page and help


def test_help_and_man_page_say_the_same() -> None:
    """Every verb and every flag of the parser is on the page, and nothing reads as a request."""
    parser = top.parser()
    page = manual.page(parser, "1", top.EXAMPLES)
    plain = page.replace("\\-", "-").replace("\\&", "")
    for verb, parsed in completion._subparsers(parser).items():
        assert f'.SS "{verb}' in plain
        for flag in completion._flags(parsed):
            assert flag in plain
    assert "8 not allowed" in plain
    known = ("TH", "SH", "SS", "TP", "B ", "BR", "PP", "nf", "fi")
    requests = [line[1:3] for line in page.splitlines() if line.startswith(".")]
    assert set(requests) <= {name[:2] for name in known}


def test_the_man_page_in_docs_is_this_one() -> None:
    """`python -m console man > docs/remora.1` after a change of the grammar."""
    written = (ROOT / "docs" / "remora.1").read_text()
    assert written == manual.page(top.parser(), "0.1.0", top.EXAMPLES)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_no_complaints() -> None:
    page = manual.page(top.parser(), "1", top.EXAMPLES)
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


# ---- what is imported


@pytest.mark.parametrize(
    "words",
    [["version"], ["reasons"], ["complete", "--", "dr"], ["complete", "--", "-C", ""], ["man"]],
)
def test_verbs_import_no_textual_and_those_without_agents_no_zmq(words: list[str]) -> None:
    code = (
        "import sys; from console.cli import main as cli\n"
        f"cli.main({words!r})\n"
        "assert not {'textual', 'rich', 'asyncio', 'zmq'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


HEAVY = {
    "asyncio", "bz2", "dataclasses", "difflib", "email", "http", "inspect", "logging", "lzma",
    "queue", "rich", "shutil", "ssl", "statistics", "subprocess", "tempfile", "textual", "tomllib",
    "typing_extensions",
}  # fmt: skip
"""Each takes milliseconds; who asks agents and writes a table needs none (the file of a config is
TOML: who has one reads it)."""


@pytest.mark.parametrize(
    ("words", "plans"),
    [
        ("status --short", False),
        ("get real", False),
        ("top real -n 3", False),
        ("events drops", False),
        ("diff ring", False),
        ("watch --plain --count 1 --every 0.1", False),
        ("drain real/10.3.1.2@web --dry-run", True),
    ],
)
def test_a_verb_imports_what_it_needs_and_no_more(two: Pair, words: str, plans: bool) -> None:
    """The whole verb runs; nothing heavy is there, and planning only where something is planned."""
    addresses = [w for agent in two for w in ("-a", agent.address)]
    code = (
        "import sys; before = set(sys.modules)\n"
        "from console.cli import main as cli\n"
        f"cli.main({[*addresses, *words.split()]!r})\n"
        "print('imported', *(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "imported"
    assert "console.cli.asking" in last, "the verb was done"
    assert not HEAVY & set(last)
    assert ("console.planning" in last) == plans


def test_only_the_verb_that_is_asked_for_declares_its_flags() -> None:
    """All others keep their place in lists, errors and completion."""
    lean, whole = top.parser(["drain", "x"]), top.parser()
    assert completion.words(lean, [""], NAMES) == completion.words(whole, [""], NAMES)
    assert lean.format_help() == whole.format_help()
    for asked, same in (("drain", True), ("get", False)):
        flags = [completion.words(each, [asked, "--"], NAMES) for each in (lean, whole)]
        assert (flags[0] == flags[1]) is same
    assert vars(lean.parse_args(["drain", "x"])) == vars(whole.parse_args(["drain", "x"]))
    planned = ["plan", "weight", "x", "5"]
    assert vars(top.parser(planned).parse_args(planned)) == vars(whole.parse_args(planned))


def test_no_name_of_an_agent_is_a_command_of_the_shell(tmp_path: Path) -> None:
    """K4: what Tab puts on the command line is run when Enter is pressed."""
    place = {"XDG_RUNTIME_DIR": str(tmp_path)}
    kept = ["node/lb1", "real/2001:db8::1@web"]
    names.keep({"node": [*kept, "node/x;reboot", "node/$(id)", "node/*", "node/a b"]}, place)
    assert names.kept(place) == {"node": kept}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("{} get node >/dev/full", 1, "remora: output: No space left on device\n"),
        ("{} version >/dev/full", 1, "remora: output: No space left on device\n"),
        ("{} man >/dev/full", 1, "remora: output: No space left on device\n"),
        ("{} get node >&-", 0, ""),
        ("{} status >&- 2>&-", 0, ""),
        ("set -o pipefail; {} man | head -1 >/dev/null", 0, ""),
        ("{} trace vip/web -w /dev/nowhere/x", 1, "/dev/nowhere/x: No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_one_line(two: Pair, words: str, code: int, says: str) -> None:
    remora = f"{sys.executable} -m console -a {two[0].address} -a {two[1].address}"
    done = subprocess.run(
        ["bash", "-c", words.format(remora)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == bool(says)


def test_an_error_that_is_not_the_output_s_is_not_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def broken(arguments: object) -> int:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

    monkeypatch.setattr("console.cli.routes.run", broken)
    assert cli.main(["version"]) == Exit.FAILED
    assert capsys.readouterr().err == "remora: Connection refused\n"


def test_signs_that_a_locale_has_not_end_no_verb(two: Pair) -> None:
    command = [sys.executable, "-m", "console", "-a", two[0].address, "get", "node"]
    done = subprocess.run(
        command, env={"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "? up" in done.stdout
