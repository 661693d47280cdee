# SPDX-License-Identifier: Apache-2.0
"""Labels: what an operator calls nodes, VIPs and reals besides their names (`rack=r2`).  Pure.

The syntax is Kubernetes' (kubernetes.io/docs/concepts/overview/working-with-objects/labels): what
is a label there is one here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from weakref import WeakValueDictionary

MOST = 32
"""Labels of one object."""
_PART = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_PREFIX = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
KEY = re.compile(rf"({_PREFIX}/)?{_PART}")
VALUE = re.compile(rf"({_PART})?")
_FORM = "1 to 63 letters, digits, '-', '_' and '.', the first and last a letter or digit"
KEY_RULE = f"{_FORM}; a prefix such as example.com/ may stand before"
VALUE_RULE = f"empty, or {_FORM}"


class LabelError(ValueError):
    """Not labels; the text says which key or value, and what would do."""


class Labels(Mapping[str, str]):
    """The labels of one object: checked, and a value like a number (it can be a key itself).

    Raises LabelError.
    """

    __slots__ = ("__weakref__", "_of")

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        found = dict(labels or {})
        if len(found) > MOST:
            raise LabelError(f"{len(found)} labels, at most {MOST}")
        for key, value in found.items():
            checked_key(key)
            if not isinstance(value, str):
                raise LabelError(f"key {key!r}: expected a text in quotes, got {value!r}")
            checked_value(key, value)
        self._of = {key: found[key] for key in sorted(found)}

    def __getitem__(self, key: str) -> str:
        return self._of[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def __hash__(self) -> int:
        return hash(tuple(self._of.items()))

    def __eq__(self, other: object) -> bool:
        return self._of == other._of if isinstance(other, Labels) else NotImplemented

    def __str__(self) -> str:
        return written(self._of) or "none"

    __repr__ = __str__


NO_LABELS = Labels()
_KNOWN: WeakValueDictionary[tuple[tuple[str, str], ...], Labels] = WeakValueDictionary()


def known(labels: Mapping[str, str]) -> Labels:
    """The same, once: thousands of reals share a few of them.  Raises LabelError."""
    made = Labels(labels)
    return _KNOWN.setdefault(tuple(made.items()), made) if made else NO_LABELS


def written(labels: Mapping[str, str]) -> str:
    """`rack=r2,tier=web`, in the order of the keys."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def checked_key(key: str) -> str:
    """Raises LabelError."""
    if not KEY.fullmatch(key):
        raise LabelError(f"key {key!r}: must be {KEY_RULE}")
    return key


def checked_value(key: str, value: str) -> str:
    """Raises LabelError."""
    if not VALUE.fullmatch(value):
        raise LabelError(f"key {key!r}: value {value!r}: must be {VALUE_RULE}")
    return value
