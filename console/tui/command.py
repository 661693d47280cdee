# SPDX-License-Identifier: Apache-2.0
"""`:` the command bar: the words of the CLI, what they mean here, and how they go on.  Pure.

A place, `node NAME` or `vip NAME` goes there; `drain`, `undrain` and `weight` open the plan that
the upper-case keys open, and send nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from console.model import objects
from console.model.objects import Kind, Object, ObjectError, Verb
from console.model.store import Agent
from console.planning import arming
from console.tui.appearance import THEMES
from console.tui.keys import PLACES

VERBS: tuple[Verb, ...] = ("drain", "undrain", "maint", "weight")
NAMED: Mapping[str, Kind] = {"node": "node", "vip": "vip", "real": "real", "ring": "vip"}
OTHER = ("node", "vip", "real", "ring", "arm", "disarm", "theme", "help", "quit")
LINES_KEPT = 50


class Go(NamedTuple):
    """To a place: one of the keys', `help`, `quit`, or a `node` or `vip` by name."""

    place: str
    name: str = ""


class Arm(NamedTuple):
    """Plans may be opened for so long."""

    minutes: int
    reason: str


class Plan(NamedTuple):
    """What a plan is wanted for."""

    verb: Verb
    target: Object
    weight: int | None
    """None: not said, or not of this verb."""
    reason: str


def parse(text: str, agents: Sequence[Agent]) -> Go | Plan | Arm:
    """Raises ObjectError or ArmingError, whose text says what would do."""
    words, reason = _words(text)
    verb = words[0] if words else ""
    if verb == "arm":
        said = reason or " ".join(words[2:])
        return Arm(arming.minutes(words[1] if len(words) > 1 else ""), said)
    if verb in VERBS:
        return _plan(verb, words[1:], reason, agents)
    if reason:
        raise ObjectError(f"--reason: {verb or 'nothing'} needs none; only a plan has a reason")
    if verb in NAMED:
        kind = NAMED[verb]
        name = _one(verb, words[1:]).removeprefix(f"{kind}/")
        found = objects.parse(f"{kind}/{name}", agents, kinds=(kind,))
        return Go(verb, str(found).partition("/")[2])
    if verb == "theme":
        if words[1:] not in ([name] for name in THEMES):
            raise ObjectError(f"theme: one of {', '.join(THEMES)}")
        return Go(verb, words[1])
    if verb == "what-if":
        return Go(verb, shlex.join(words[1:]))
    if verb not in {*PLACES, *OTHER}:
        known = ", ".join(dict.fromkeys((*PLACES, *VERBS, *OTHER)))
        raise ObjectError(f"{verb or 'nothing'}: no such command; there is {known}")
    if len(words) > 1:
        raise ObjectError(f"{words[1]}: {verb} takes nothing more")
    return Go(verb)


def _words(text: str) -> tuple[list[str], str]:
    """(words, what `--reason` says)."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ObjectError(f"{text}: {error}".lower()) from error
    if words[:1] == ["remora"]:
        del words[0]
    for index, word in enumerate(words):
        if word == "--reason" and index + 1 < len(words):
            return words[:index] + words[index + 2 :], words[index + 1]
        if word.startswith("--reason="):
            return words[:index] + words[index + 1 :], word.partition("=")[2]
        if word.startswith("-"):
            raise ObjectError(f"{word}: here only --reason TEXT; other flags need a shell")
    return words, ""


def _one(verb: str, words: Sequence[str]) -> str:
    if len(words) != 1:
        raise ObjectError(f"{verb}: takes one name, got {len(words)}")
    return words[0]


def _plan(verb: Verb, words: list[str], reason: str, agents: Sequence[Agent]) -> Plan:
    weight = None
    if verb == "weight":
        text = words.pop() if len(words) == 2 else ""
        if not text.isdecimal() or not 1 <= int(text) <= 1000:
            raise ObjectError("weight: takes a real and a number from 1 to 1000")
        weight = int(text)
    target = objects.parse(_one(verb, words), agents, kinds=("real", "vip", "node"))
    objects.action(verb, target, weight or 0)
    return Plan(verb, target, weight, reason)


def completions(text: str, agents: Sequence[Agent]) -> list[str]:
    """How the line may go on: whole lines, in order; none when it says something unknown."""
    before, _, last = text.rpartition(" ")
    given = before.split()
    if given[:1] == ["remora"]:
        del given[0]
    start = f"{before} " if before else ""
    return [f"{start}{word}" for word in _candidates(given, agents) if word.startswith(last)]


def _candidates(given: Sequence[str], agents: Sequence[Agent]) -> list[str]:
    match given:
        case []:
            return list(dict.fromkeys((*PLACES, *VERBS, *OTHER)))
        case ["drain" | "undrain"]:
            kinds: tuple[Kind, ...] = ("real", "vip", "node")
            return [name for kind in kinds for name in objects.names(kind, agents)]
        case ["weight" | "maint"]:
            return objects.names("real", agents)
        case ["node" | "vip" | "real" | "ring" as verb]:
            return [name.partition("/")[2] for name in objects.names(NAMED[verb], agents)]
        case ["what-if", *rest]:
            return [word for word in _candidates(rest, agents) if rest or word in VERBS]
        case ["theme"]:
            return list(THEMES)
        case ["arm"]:
            return ["15m", "30m", "1h"]
        case ["arm", _] | ["drain" | "undrain" | "maint", _] | ["weight", _, _]:
            return ["--reason"]
    return []


class History:
    """The lines that were given, newest last; walking it keeps what was being typed."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._at = 0
        self._typed = ""

    def add(self, text: str) -> None:
        if text and text not in self._lines[-1:]:
            self._lines = [*self._lines, text][-LINES_KEPT:]
        self._at = len(self._lines)

    def older(self, typed: str) -> str:
        if self._at == len(self._lines):
            self._typed = typed
        self._at = max(0, self._at - 1)
        return self._lines[self._at] if self._lines else typed

    def newer(self, typed: str) -> str:
        if self._at >= len(self._lines):
            return typed
        self._at += 1
        return self._lines[self._at] if self._at < len(self._lines) else self._typed
