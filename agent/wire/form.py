# SPDX-License-Identifier: Apache-2.0
"""A message's bytes with numbers of fixed size that numpy fills in, all at once.  Pure.

Ten times a second two thousand rows are due, in which mostly counters moved.  What stands in a
message is encoded once, with blanks; a blank is a number in the form that takes most bytes.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.codec import BLANK, BLANK_FLOAT, blanks, telemetry_frames
from shared.messages import Telemetry

Head = dict[str, Any]
"""The keywords that every message takes."""
_AHEAD = 2
"""Blanks before the first row: sequence, at."""
_COPIES = 3
"""Kept: one is filled in while those before it are under way."""


def blank_head(head: Head) -> Head:
    """Of a message that becomes a Form."""
    return {**head, "sequence": BLANK, "at": BLANK_FLOAT}


class Form:
    """Of one message, whose head is a blank_head() and whose rows have `per_row` blanks each."""

    def __init__(self, message: Telemetry, per_row: int) -> None:
        *self._envelope, payload = telemetry_frames(message)
        found = np.array(blanks(payload), np.intp)
        rows = found[_AHEAD:].reshape(-1, per_row)
        self._places = np.concatenate([rows.T.reshape(-1), found[:_AHEAD]])
        self._numbers = np.zeros(len(found), ">u8")
        self._head = self._numbers[len(found) - _AHEAD :]
        self.numbers: NDArray[Any] = self._numbers[: rows.size].reshape(per_row, -1)
        """[blank, row]; as they stand in a float's place if it is one."""
        self._copies = [_copy(payload)]

    def frames(self, head: Head) -> list[bytes]:
        """As it is published, with the numbers as they are now.

        The payload is a bytearray that is written again when nobody has it any more; a reader,
        a queue or a history that holds it keeps what it got.
        """
        self._head[:] = head["sequence"], np.float64(head["at"]).view(np.uint64)
        copy = self._free_copy()
        copy.words[self._places] = self._numbers
        return [*self._envelope, copy.payload]  # type: ignore[list-item]  # as good as bytes

    def _free_copy(self) -> _Copy:
        """Half a megabyte of new memory ten times a second is mostly page faults."""
        for copy in self._copies:
            if _references(copy) == _NOBODYS:
                return copy
        fresh = _copy(self._copies[0].payload)
        self._copies = [*self._copies[1 - _COPIES :], fresh]
        return fresh


class _Copy(NamedTuple):
    payload: bytearray
    words: NDArray[Any]
    """At every byte a number could begin; those that are blanks are written."""


def _copy(payload: bytes | bytearray) -> _Copy:
    own = bytearray(payload)
    return _Copy(own, np.ndarray(len(own) - 7, ">u8", own, 0, (1,)))


def _references(copy: _Copy) -> int:
    return sys.getrefcount(copy.payload)


_UNUSED = _copy(bytes(8))
_NOBODYS = _references(_UNUSED)
"""While nobody but the form has a copy.  ZeroMQ, too, holds a reference until it has sent."""
