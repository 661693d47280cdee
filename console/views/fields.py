# SPDX-License-Identifier: Apache-2.0
"""`miss>1%`, `pps>=10k`, `state=down`, `node=lb-0*`: one value of a row against a number or a word.

The same in `--field` of the CLI and among the words of a filter.  Pure.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

_TEST = re.compile(r"\s*([\w/ ]+?)\s*(>=|<=|!=|=|>|<)\s*(.+?)\s*")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\s*(%|k|M|G|ms|s|m|h)?")
_UNITS = {"%": 0.01, "k": 1e3, "M": 1e6, "G": 1e9, "ms": 1, "s": 1, "m": 60, "h": 3600, None: 1}


class Comparison(NamedTuple):
    field: str
    """As it was typed: a column's title in any case, or a key of the JSON."""
    sign: str
    given: str

    def holds(self, value: object, shown: str) -> bool:
        """`value`: raw, None unknown, which is like nothing and differs from nothing; `shown`: as
        one reads it, before which there may be a sign of its state."""
        number, compare = _NUMBER.fullmatch(self.given), _COMPARE[self.sign]
        if number is not None and isinstance(value, int | float):
            return bool(compare(value, float(number[1]) * _UNITS[number[2]]))
        if value is None or (number is not None and not isinstance(value, str | tuple)):
            return False
        wanted, text = self.given.lower(), shown.lower()
        texts = (text, text.partition(" ")[2]) if not text[:1].isascii() else (text,)
        if self.sign in ("=", "!="):
            return any(fnmatchcase(each, wanted) for each in texts) == (self.sign == "=")
        return bool(compare(texts[-1], wanted))


def parsed(text: str) -> Comparison | None:
    """None: it is no such test (yet)."""
    parts = _TEST.fullmatch(text)
    return Comparison(*parts.groups()) if parts else None
