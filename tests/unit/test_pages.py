# SPDX-License-Identifier: Apache-2.0
"""The pages and samples name only what there is: verbs, flags, metrics, exit codes, other pages."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main as agent_cli
from console.cli.grammar import top
from console.exits import Exit

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
SAMPLES = sorted(path for path in (ROOT / "configs").rglob("*") if path.is_file())
ALL = [*PAGES, *SAMPLES]
_COMMAND = re.compile(
    r"^(?:\w+[#$] |\$ )?(remora|remora-agent) (.*)|`(remora|remora-agent) ([^`]+)`", re.M
)
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_METRIC = re.compile(r"\bremora_[a-z0-9_]+[a-z0-9]\b(?!\.)")
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _verbs(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield name, verb
                yield from _verbs(verb)


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    own = {flag for action in parser._actions for flag in action.option_strings}
    return own.union(*(_flags(verb) for _, verb in _verbs(parser)))


GRAMMARS = {"remora": top.parser(), "remora-agent": agent_cli._parser()}
FLAGS = {name: _flags(parser) for name, parser in GRAMMARS.items()}
VERBS = {name: {verb for verb, _ in _verbs(parser)} for name, parser in GRAMMARS.items()}


def _commands(path: Path) -> Iterator[tuple[str, str]]:
    """(`remora` or `remora-agent`, what stands behind it) of every command that the page shows."""
    for found in _COMMAND.finditer(path.read_text()):
        name, rest = (found[1], found[2]) if found[1] else (found[3], found[4])
        yield name, rest.partition("#")[0]


SHOWING = [path for path in ALL if path.name != "wire.md"]
"""That page is about bytes, some of which spell `remora telemetry 2`."""


@pytest.mark.parametrize("path", SHOWING, ids=_name)
def test_every_command_that_is_shown_can_be_typed(path: Path) -> None:
    for name, rest in _commands(path):
        assert set(_FLAG.findall(rest)) <= FLAGS[name], f"{name} {rest}"
        first = rest.split()[0] if rest.split() else ""
        for word in first.split("|") if re.fullmatch(r"[a-z][a-z|-]*", first) else []:
            assert word in VERBS[name], f"{name} {rest}"


def test_commands_are_found() -> None:
    """Else the test above says nothing."""
    assert sum(len(list(_commands(path))) for path in PAGES) > 100


def test_every_verb_is_on_a_page() -> None:
    text = "\n".join(path.read_text() for path in PAGES)
    for name, verbs in VERBS.items():
        missing = {v for v in verbs - {"complete"} if not re.search(rf"\b{v}\b", text)}
        assert not missing, f"{name}: {missing}"


def test_every_metric_that_is_named_is_one() -> None:
    """docs/metrics.md is made from the source (tests/metrics_page.py)."""
    known = set(_METRIC.findall((ROOT / "docs" / "metrics.md").read_text()))
    for path in ALL:
        for metric in _METRIC.findall(path.read_text()):
            plain = re.sub(r"_(total|bucket|sum|count)$", "", metric)
            like = any(each.startswith(plain) for each in known)
            assert metric in known or like, f"{_name(path)}: {metric}"


def test_the_exit_codes_are_those_of_the_program() -> None:
    page = (ROOT / "docs" / "console.md").read_text()
    table = page.partition("| exit | means |")[2].partition("\n\n")[0]
    listed = top.EXAMPLES.partition("exit codes:")[2].partition("\n\n")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)} == set(Exit)
    assert {int(code) for code in re.findall(r"\b(\d+) [a-z]", listed)} == set(Exit)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target, anchor in _LINK.findall(path.read_text()):
        if "://" in target:
            continue
        found = path.parent / target
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.M)
            known = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor[1:] in known, f"{target}{anchor}"
