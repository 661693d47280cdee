# SPDX-License-Identifier: Apache-2.0
"""`remora config`: what is in force and where it comes from, whether a file is right, a sample."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from console import settings
from console.cli import main as cli
from console.cli.sample import SAMPLE
from console.exits import Exit

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]
FILE = """\
context = "lab"
theme = "light"
[keys]
freeze = "x"
[contexts.lab]
agents = ["/run/remora/lb1"]
[contexts.prod]
agents = ["/run/remora/lb2"]
cluster = "fra1"
require_reason = true
theme = "safe"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REMORA_CONTEXT", "REMORA_AGENTS", "NO_COLOR", "SSH_TTY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "remora" / "config.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def in_force(capsys: Capture, *flags: str) -> dict[str, tuple[object, str]]:
    assert cli.main([*flags, "config", "-o", "json"]) == Exit.DONE
    items = json.loads(capsys.readouterr().out)["items"]
    return {item["key"]: (item["value"], item["from"]) for item in items}


def test_each_setting_says_where_it_comes_from(file: Path, capsys: Capture) -> None:
    found = in_force(capsys)
    assert found["context"] == ("lab", str(file))
    assert found["agents"] == (["/run/remora/lb1"], f"{file} [contexts.lab]")
    assert found["cluster"] == ("lab", str(file)), "a context is called as it is"
    assert found["theme"] == ("light", str(file))
    assert found["keys"] == (["freeze=x"], str(file))
    assert found["require_reason"] == (False, "default")
    assert set(found) == {"context", *settings.KEYS}, "all keys, and no other"


def test_what_goes_before_the_file(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMORA_CONTEXT", "prod")
    found = in_force(capsys)
    assert found["context"] == ("prod", "REMORA_CONTEXT")
    assert found["cluster"] == ("fra1", f"{file} [contexts.prod]")
    assert found["require_reason"] == (True, f"{file} [contexts.prod]")
    assert found["theme"] == ("safe", f"{file} [contexts.prod]")
    found = in_force(capsys, "-C", "lab", "-a", "/x", "--theme", "dark", "--ascii")
    assert found["context"] == ("lab", "--context")
    assert (found["agents"], found["theme"]) == ((["/x"], "-a"), ("dark", "--theme"))
    assert found["ascii"] == ("on", "--ascii")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SSH_TTY", "/dev/pts/1")
    found = in_force(capsys)
    assert found["theme"] == ("ansi", "NO_COLOR")
    assert found["mouse"] == ("off", "default (auto)")


def test_it_is_what_a_verb_goes_by(file: Path, capsys: Capture) -> None:
    for flags in ((), ("-C", "prod")):
        found = in_force(capsys, *flags)
        given = settings.load((), None, {"XDG_CONFIG_HOME": str(file.parents[1])},
                              context=flags[1] if flags else "")  # fmt: skip
        for key in ("cluster", "view_only", "require_reason", "relay"):
            assert found[key][0] == getattr(given, key)
        assert [f"ipc://{a}" for a in found["agents"][0]] == list(given.agents)  # type: ignore[attr-defined]  # a list


def test_without_a_file_agents_are_those_of_the_environment(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.unlink()
    assert in_force(capsys)["agents"] == ([], "default")
    monkeypatch.setenv("REMORA_AGENTS", "/a /b")
    assert in_force(capsys)["agents"] == (["/a", "/b"], "REMORA_AGENTS")


def test_path_and_files_of_check_only(file: Path, capsys: Capture) -> None:
    assert cli.main(["config", "path"]) == Exit.DONE
    assert capsys.readouterr().out == f"{file}\n"
    assert cli.main(["config", "view", "x.toml"]) == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FILE, ""),
        (FILE.replace('"safe"', '"pink"'), "theme: 'pink' is none of"),
        (FILE.replace('context = "lab"', 'context = "la"'), "context 'la': there is lab, prod"),
        (FILE.replace("require_reason", "require_raisin"), "require_raisin: unknown key"),
        (FILE.replace('["/run/remora/lb2"]', '["tcp://10.1.1.1:7400"]'), "is not known; add a"),
        (FILE.replace("[keys]", "[keys"), "not TOML"),
        (FILE.replace("[keys]", '[alerts]\nnode = ["speed>1"]\n[keys]'), "about one of node"),
        (FILE.replace("[keys]", '[hotkeys]\nw = "drain lb1"\n[keys]'), "a hot key only looks"),
        ("contexts = 3\n", "contexts: must be tables, [contexts.NAME]; got 3"),
        (FILE + "[contexts]\nold = 3\n", "contexts: old: must be a table, [contexts.old]; got 3"),
        ("context = 3\n", "context: must be the name of one, got 3"),
        (FILE.replace('"lab"', '["lab"]', 1), "context: must be the name of one, got ['lab']"),
        (
            FILE.replace("theme", 'known_agents = "~no-such-user/x"\ntheme', 1),
            "known_agents: '~no-such-user/x' is nobody's home; give a path without ~",
        ),
        (FILE.replace("theme", 'key = "~no-such-user/x"\ntheme', 1), "key: '~no-such-user/x'"),
        (
            FILE.replace("[keys]", '[columns]\nfleet = ["NODDE"]\n[keys]'),
            "columns: fleet: NODDE: no such column; there are NODE",
        ),
        (FILE.replace("[keys]", '[columns]\nheat = ["node", "cpu0"]\n[keys]'), ""),
    ],
)
def test_every_context_of_a_file_is_checked(
    file: Path, capsys: Capture, text: str, says: str
) -> None:
    """Also those that are not in force; as JSON, too."""
    file.write_text(text)
    code = Exit.FAILED if says else Exit.DONE
    assert cli.main(["config", "check", str(file)]) == code
    said = capsys.readouterr()
    assert says in said.err
    assert bool(said.out) is not bool(says)
    assert cli.main(["config", "check", "-o", "json"]) == code
    assert bool(json.loads(capsys.readouterr().out)["errors"]) is bool(says)


def test_a_file_that_is_not_there(file: Path, capsys: Capture) -> None:
    file.unlink()
    assert cli.main(["config", "check"]) == Exit.FAILED
    assert str(file) in capsys.readouterr().err


def test_the_sample_is_right_and_has_every_key(file: Path, capsys: Capture) -> None:
    """`python -m console config sample > configs/console.toml` after a change."""
    assert (ROOT / "configs" / "console.toml").read_text() == SAMPLE
    file.write_text(SAMPLE)
    assert cli.main(["config", "check", str(file)]) == Exit.DONE
    lines = [line.removeprefix("# ") for line in SAMPLE.splitlines()]
    head = lines[: next(n for n, line in enumerate(lines) if line.startswith("[contexts."))]
    tables = {"keys", "hotkeys", "columns", "alerts"}
    for key in {"context", *settings.KEYS} - tables:
        assert any(line.startswith(f"{key} = ") for line in head), key
    for key in tables:
        assert any(line.startswith(f"[{key}]") for line in head), key
    usual = tomllib.loads("\n".join(line for line in head if " = " in line and "`" not in line))
    given = settings.Settings((), "")
    for key in ("view_only", "require_reason", "relay"):
        assert usual.get(key, getattr(given, key)) == getattr(given, key)
    for key in ("theme", "colour", "mouse", "ascii"):
        assert usual[key] == getattr(given.appearance, key)
