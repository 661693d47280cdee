# SPDX-License-Identifier: Apache-2.0
"""One counter of every CPU, as it crosses the wire."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import overload


class Counters(Sequence[int]):
    """One counter of every CPU; on the wire little-endian 64-bit numbers, one after the other."""

    __slots__ = ("_numbers", "packed")

    def __init__(self, numbers: Iterable[int]) -> None:
        """Raises ValueError for what is no 64-bit counter."""
        self._numbers = tuple(numbers)
        try:
            self.packed = struct.pack(f"<{len(self._numbers)}Q", *self._numbers)
        except struct.error as error:
            raise ValueError(f"not a 64-bit counter: {error}") from error

    @classmethod
    def of_packed(cls, packed: bytes) -> Counters:
        """Raises ValueError when it is not a whole number of counters."""
        if len(packed) % 8:
            raise ValueError(f"{len(packed)} bytes are not a whole number of 64-bit counters")
        return cls(struct.unpack(f"<{len(packed) // 8}Q", packed))

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[int, ...]: ...
    def __getitem__(self, at: int | slice) -> int | tuple[int, ...]:
        return self._numbers[at]

    def __len__(self) -> int:
        return len(self._numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counters) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        return f"Counters({self._numbers!r})"
