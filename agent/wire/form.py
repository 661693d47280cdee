# SPDX-License-Identifier: Apache-2.0
"""A message's bytes with numbers of fixed size that numpy fills in, all at once.  Pure.

Ten times a second two thousand rows are due, in which mostly counters moved.  What stands in a
message is encoded once, with blanks; a blank is a number in the form that takes most bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.codec import BLANK, BLANK_FLOAT, blanks, telemetry_frames
from shared.messages import Telemetry

Head = dict[str, Any]
"""The keywords that every message takes."""
_AHEAD = 2
"""Blanks before the first row: sequence, at."""


def blank_head(head: Head) -> Head:
    """Of a message that becomes a Form."""
    return {**head, "sequence": BLANK, "at": BLANK_FLOAT}


class Form:
    """Of one message, whose head is a blank_head() and whose rows have `per_row` blanks each."""

    def __init__(self, message: Telemetry, per_row: int) -> None:
        *self._envelope, payload = telemetry_frames(message)
        self._payload = bytearray(payload)
        found = np.array(blanks(payload), np.intp)
        self._ahead, self._rows = found[:_AHEAD], found[_AHEAD:].reshape(-1, per_row)
        self.numbers = np.zeros(self._rows.shape, np.uint64)
        """[row, blank], as they stand in the payload or will."""
        # At every byte a number could begin; those that the blanks name are written.
        self._places: NDArray[Any] = np.ndarray(len(payload) - 7, ">u8", self._payload, 0, (1,))

    def __len__(self) -> int:
        return len(self._rows)

    def write(self, columns: slice | Sequence[int]) -> None:
        """Put these of the numbers into the payload."""
        self._places[self._rows[:, columns]] = self.numbers[:, columns]

    def frames(self, head: Head) -> list[bytes]:
        """As it is published; what was written last in each blank is in it."""
        at = np.float64(head["at"]).view(np.uint64)
        self._places[self._ahead] = np.array([head["sequence"], at], np.uint64)
        return [*self._envelope, bytes(self._payload)]
