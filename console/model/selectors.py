# SPDX-License-Identifier: Apache-2.0
"""`-l 'rack=r2,tier in (web,api),!canary'`: which labels are meant, in Kubernetes' grammar.  Pure.

    selector    = requirement { "," requirement }            all of them
    requirement = key | "!" key                              it has that label, or has it not
                | key ("=" | "==" | "!=") value
                | key ("in" | "notin") "(" value { "," value } ")"

As in Kubernetes `!=` and `notin` hold for what has no such label; an empty value may be meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from console.exits import VerbError
from shared.labels import KEY, KEY_RULE, VALUE, VALUE_RULE

_TOKEN = re.compile(r"\s*(==|!=|[=!(),]|[^\s=!(),]+)\s*")
_SIGNS = frozenset({"=", "==", "!=", "!", "(", ")", ","})
_SETS = ("in", "notin")
_FORMS = "rack=r2, rack!=r2, rack, !rack, 'rack in (r1,r2)', 'rack notin (r1,r2)'"


class SelectorError(VerbError):
    """Not a selector; the text says where it ends to be one."""


class Requirement(NamedTuple):
    key: str
    values: tuple[str, ...] | None = None
    """One of these; None: any, it has the label."""
    negated: bool = False

    def holds(self, labels: Mapping[str, str]) -> bool:
        if self.values is None:
            return (self.key in labels) != self.negated
        return (labels.get(self.key) in self.values) != self.negated

    def __str__(self) -> str:
        match self.values:
            case None:
                return f"!{self.key}" if self.negated else self.key
            case (value,):
                return f"{self.key}{'!=' if self.negated else '='}{value}"
        return f"{self.key} {'notin' if self.negated else 'in'} ({','.join(self.values)})"


class Selector(NamedTuple):
    requirements: tuple[Requirement, ...] = ()
    """All of them; none: everything."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(each.holds(labels) for each in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __bool__(self) -> bool:
        return bool(self.requirements)


def selector(texts: str | Sequence[str]) -> Selector:
    """One, or several that must all hold.  Raises SelectorError."""
    given = [texts] if isinstance(texts, str) else texts
    return Selector(tuple(part for text in given for part in _Reader(text).requirements()))


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [found[1] for found in _TOKEN.finditer(text)]
        self._at = 0

    def requirements(self) -> list[Requirement]:
        found = [self._requirement()]
        while self._next:
            self._take(",", "a comma, or the end")
            found.append(self._requirement())
        return found

    @property
    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _requirement(self) -> Requirement:
        if self._next == "!":
            self._at += 1
            return Requirement(self._key(), negated=True)
        key = self._key()
        sign = self._next
        if sign in ("=", "==", "!="):
            self._at += 1
            return Requirement(key, (self._value(key),), sign == "!=")
        if sign in _SETS:
            self._at += 1
            return Requirement(key, self._values(key), sign == "notin")
        return Requirement(key)

    def _key(self) -> str:
        key = self._next
        if not key or key in _SIGNS:
            raise self._wrong("a key")
        if not KEY.fullmatch(key):
            raise SelectorError(f"selector {self._text!r}: key {key!r}: must be {KEY_RULE}")
        self._at += 1
        return key

    def _value(self, key: str) -> str:
        """Nothing there is a value, too."""
        value = "" if self._next in _SIGNS else self._next
        if not VALUE.fullmatch(value):
            why = f"{key}: value {value!r}: must be {VALUE_RULE}"
            raise SelectorError(f"selector {self._text!r}: {why}")
        self._at += bool(value)
        return value

    def _values(self, key: str) -> tuple[str, ...]:
        self._take("(", "'(' and values")
        found = [self._value(key)]
        while self._next == ",":
            self._at += 1
            found.append(self._value(key))
        self._take(")", "a comma or ')'")
        if not any(found):
            raise SelectorError(f"selector {self._text!r}: {key}: no value between '(' and ')'")
        return tuple(dict.fromkeys(found))

    def _take(self, sign: str, wanted: str) -> None:
        if self._next != sign:
            raise self._wrong(wanted)
        self._at += 1

    def _wrong(self, wanted: str) -> SelectorError:
        before = "".join(self._tokens[: self._at])
        where = f"after {before!r}" if before else "at its beginning"
        there = f", not {self._next!r}" if self._next else ""
        return SelectorError(
            f"selector {self._text!r}: {where} must come {wanted}{there}; it is like {_FORMS}"
        )
