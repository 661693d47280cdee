# SPDX-License-Identifier: Apache-2.0
"""`:` the command bar: the words of the CLI, what they mean here, and how they go on.  Pure.

A place, `node NAME` or `vip NAME` goes there; `drain`, `weight`, `withdraw` and the like open the
plan that the upper-case keys open, and send nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from console.model import objects
from console.model.labels import known_pairs
from console.model.objects import Kind, Object, ObjectError, Verb
from console.model.selectors import Selector, selector
from console.model.store import Agent
from console.model.underway import underway
from console.planning import arming
from console.planning.chosen import chosen
from console.planning.staging import Staging, staging
from console.tui.appearance import THEMES
from console.tui.keys import PLACES

VERBS: tuple[Verb, ...] = ("drain", "undrain", "maint", "weight", "withdraw", "announce")
NAMED: Mapping[str, Kind] = {"node": "node", "vip": "vip", "real": "real", "ring": "vip"}
OTHER = (
    "node", "vip", "real", "ring", "flow", "mark", "op", "undo", "at", "now", "arm", "disarm",
    "theme", "context", "help", "quit",
)  # fmt: skip
ORDERS = ("hold", "resume", "revert")
FLAGS = ("--reason", "--canary", "--soak", "--batch", "--stop-on")
BY_LABELS = ("-l", "--selector")
FLOW_FLAGS = {"--if": "'drain ...'", "--sample": "N", "--pcap": "FILE"}
"""Flag of `flow` -> what it takes."""
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
    targets: tuple[Object, ...]
    weight: int | None
    """None: not said, or not of this verb."""
    reason: str
    how: Staging | None = None
    """None: all nodes at once."""


class Mark(NamedTuple):
    """The rows on show of which this holds."""

    wanted: Selector


class Operate(NamedTuple):
    """What is wanted with an operation: `hold`, `resume`, `revert` or `undo`."""

    order: str
    operation: str
    """As much of its name as was typed."""


class At(NamedTuple):
    """To another moment of the agents' last hour."""

    text: str
    """Empty: now."""


def parse(text: str, agents: Sequence[Agent]) -> Go | Plan | Mark | Arm | Operate | At:
    """Raises ObjectError or ArmingError, whose text says what would do."""
    if (about := _flow(text)) is not None:
        return about
    words, flags = _words(text)
    reason = flags.get("--reason", "")
    verb = words[0] if words else ""
    if verb == "arm":
        said = reason or " ".join(words[2:])
        return Arm(arming.minutes(words[1] if len(words) > 1 else ""), said)
    if verb in VERBS:
        return _plan(verb, words[1:], flags, agents)
    if verb == "mark":
        return _mark(words[1:], flags)
    if verb == "what-if":
        return Go(verb, text.partition(verb)[2].strip())
    if flags:
        raise ObjectError(
            f"{next(iter(flags))}: {verb or 'nothing'} needs none; only a plan has one"
        )
    if verb in ("op", "undo"):
        return _operate(verb, words[1:])
    if verb in ("at", "now"):
        return At(_one(verb, words[1:]) if verb == "at" else "")
    if verb in NAMED:
        kind = NAMED[verb]
        name = _one(verb, words[1:]).removeprefix(f"{kind}/")
        found = objects.parse(f"{kind}/{name}", agents, kinds=(kind,))
        return Go(verb, str(found).partition("/")[2])
    if verb in ("theme", "context"):
        return Go(verb, _theme(words[1:]) if verb == "theme" else _one(verb, words[1:]))
    if verb not in {*PLACES, *OTHER}:
        known = ", ".join(dict.fromkeys((*PLACES, *VERBS, *OTHER)))
        raise ObjectError(f"{verb or 'nothing'}: no such command; there is {known}")
    if len(words) > 1:
        raise ObjectError(f"{words[1]}: {verb} takes nothing more")
    return Go(verb)


def _flow(text: str) -> Go | None:
    """`flow 198.51.100.7:40000 vip/web --if 'drain ...'`, as the CLI has it: asked on `7`."""
    given = text.split()
    if given[given[:1] == ["remora"] :][:1] != ["flow"]:
        return None
    plain, flags = _flow_words(_split(text)[1:])
    file, count, change = (flags.get(name, "") for name in ("--pcap", "--sample", "--if"))
    if file and (plain or count):
        raise ObjectError("--pcap: the flows are those of the file; no others beside them")
    about = f"pcap {file}" if file else " ".join([*([count] if count else []), *plain])
    return Go("what-if", f"flow {about}" + (f" if {change}" if change else ""))


def _flow_words(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """(words, what the flags say); a change may stand without quotes, at the end.  Raises
    ObjectError."""
    plain: list[str] = []
    flags: dict[str, str] = {}
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name in FLOW_FLAGS or name == "if":
            name = "--if" if name == "if" else name
            value = value if equals else words.pop(0) if words else ""
            if not value or name in flags:
                raise ObjectError(f"{name}: say what it is, once: {name} {FLOW_FLAGS[name]}")
            if name == "--if" and " " not in value:
                value, words = shlex.join([value, *words]), []
            flags[name] = value
        elif name.startswith("-"):
            raise ObjectError(f"{name}: here only {', '.join(FLOW_FLAGS)}; others need a shell")
        else:
            plain.append(f"{name}{equals}{value}")
    return plain, flags


def _operate(verb: str, words: list[str]) -> Operate:
    if verb == "op" and (len(words) != 2 or words[0] not in ORDERS):
        raise ObjectError(f"op: takes {', '.join(ORDERS)} and an operation's name (9)")
    order = words.pop(0) if verb == "op" else verb
    return Operate(order, _one(verb, words).removeprefix("op/"))


def _theme(words: list[str]) -> str:
    if words not in ([name] for name in THEMES):
        raise ObjectError(f"theme: one of {', '.join(THEMES)}")
    return words[0]


def _split(text: str) -> list[str]:
    """As a shell does, without the word remora.  Raises ObjectError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ObjectError(f"{text}: {error}".lower()) from error
    return words[1:] if words[:1] == ["remora"] else words


def _words(text: str) -> tuple[list[str], dict[str, str]]:
    """(words, what the flags say)."""
    words = _split(text)
    plain: list[str] = []
    flags: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        name = BY_LABELS[0] if name in BY_LABELS else name
        if name in (*FLAGS, *BY_LABELS):
            flags[name] = value if equals else next(rest, "")
            if not flags[name]:
                raise ObjectError(f"{name}: say what it is: {name} TEXT")
        elif word.startswith("-") and not word[1:2].isdigit():
            known = ", ".join((*FLAGS, BY_LABELS[0]))
            raise ObjectError(f"{word}: here only {known}; other flags need a shell")
        else:
            plain.append(word)
    return plain, flags


def _one(verb: str, words: Sequence[str]) -> str:
    if len(words) != 1:
        raise ObjectError(f"{verb}: takes one name, got {len(words)}")
    return words[0]


def _plan(verb: Verb, words: list[str], flags: Mapping[str, str], agents: Sequence[Agent]) -> Plan:
    weight = None
    labels = flags.get(BY_LABELS[0], "")
    if verb == "weight":
        text = words.pop() if len(words) == 2 or labels else ""
        if not text.isdecimal() or not 1 <= int(text) <= 1000:
            raise ObjectError("weight: takes a real and a number from 1 to 1000")
        weight = int(text)
    if labels:
        targets = _chosen(verb, words, selector(labels), agents)
    else:
        targets = (objects.parse(_one(verb, words), agents, kinds=objects.kinds_of(verb)),)
    for target in targets:
        objects.action(verb, target, weight or 0)
    how = staging(*(flags.get(name, "") for name in FLAGS[1:]))
    return Plan(verb, targets, weight, flags.get("--reason", ""), how)


def _chosen(
    verb: Verb, words: Sequence[str], wanted: Selector, agents: Sequence[Agent]
) -> tuple[Object, ...]:
    labelled = objects.labelled_kinds(verb)
    kinds = tuple(kind for kind in labelled if not words or kind == words[0])
    if len(words) > 1 or not kinds:
        said = objects.either(labelled)
        raise ObjectError(f"{words[-1]}: with -l comes {said}, or nothing; no names")
    never = [agent.address for agent in agents if agent.node is None]
    return tuple(chosen(agents, wanted, kinds, absent=never))


def _mark(words: Sequence[str], flags: Mapping[str, str]) -> Mark:
    if words or set(flags) != {BY_LABELS[0]}:
        raise ObjectError("mark: takes -l and a selector, such as rack=r2")
    return Mark(selector(flags[BY_LABELS[0]]))


def completions(text: str, agents: Sequence[Agent]) -> list[str]:
    """How the line may go on: whole lines, in order; none when it says something unknown."""
    before, _, last = text.rpartition(" ")
    given = before.split()
    if given[:1] == ["remora"]:
        del given[0]
    start = f"{before} " if before else ""
    if given and given[-1] in BY_LABELS:
        whole, comma, last = last.rpartition(",")
        return [f"{start}{whole}{comma}{p}" for p in known_pairs(agents) if p.startswith(last)]
    return [f"{start}{word}" for word in _candidates(given, agents) if word.startswith(last)]


def _candidates(given: Sequence[str], agents: Sequence[Agent]) -> list[str]:
    if given and given[0] in VERBS:
        return _of_verb(given[0], given[1:], agents)
    match given:
        case ["mark"]:
            return ["-l"]
        case []:
            return list(dict.fromkeys((*PLACES, *VERBS, *OTHER)))
        case ["node" | "vip" | "real" | "ring" as verb]:
            return [name.partition("/")[2] for name in objects.names(NAMED[verb], agents)]
        case ["what-if", *rest]:
            return [word for word in _candidates(rest, agents) if rest or word in VERBS]
        case ["flow", _]:
            return objects.names("vip", agents)
        case ["theme"]:
            return list(THEMES)
        case ["op"]:
            return list(ORDERS)
        case ["op", _] | ["undo"]:
            return [each.operation for each in underway(agents, 0.0)]
        case ["arm"]:
            return ["15m", "30m", "1h"]
        case ["arm", _]:
            return list(FLAGS)
    return []


def _of_verb(verb: str, words: Sequence[str], agents: Sequence[Agent]) -> list[str]:
    """How a change goes on: what it is of, a weight, flags."""
    if not words:
        kinds = ("real",) if verb in ("weight", "maint") else objects.kinds_of(verb)
        return [*(name for kind in kinds for name in objects.names(kind, agents)), "-l"]
    if len(words) == 1 and words[0] in objects.PLACED:
        return ["-l"]
    return list(FLAGS) if len(words) == (2 if verb == "weight" else 1) else []


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
