# SPDX-License-Identifier: Apache-2.0
"""Indexes in the maps, of reals and of VIPs: given out, and taken back.  Pure."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable

from agent.nouns import Address, Encap, OwnedReal


class RealNumbers:
    """Gives real numbers out: those never used first, then the one that was freed longest ago.

    A number's generation goes up with each owner, so that flows of the last one miss; eight bits of
    it suffice because a number comes back only after all other free ones.
    """

    def __init__(self, owned: Iterable[OwnedReal], size: int) -> None:
        known = {real.real_num: real for real in owned}
        self._generation = bytearray(size)
        for number, real in known.items():
            self._generation[number] = real.generation
        unused = [number for number in range(1, size) if number not in known]
        freed = [number for number, real in known.items() if real.vip_num == 0]
        self._free = array("H", unused + freed)

    def take(self, vip_num: int, address: Address, encap: Encap) -> OwnedReal:
        """A free number for a real of a VIP.  Raises IndexError when none is left."""
        number = self._free.pop(0)
        generation = self._generation[number] % 255 + 1
        self._generation[number] = generation
        return OwnedReal(number, vip_num, address, generation, 0, encap)

    def give_back(self, real_num: int) -> None:
        self._free.append(real_num)

    def copy(self) -> RealNumbers:
        """With the same generations: a number taken from a copy that is thrown away may have had
        flows, so its next owner must differ."""
        twin = RealNumbers((), 0)
        twin._generation, twin._free = self._generation, self._free[:]
        return twin


class VipNumbers:
    """Gives VIP numbers out: those never used first, then the one that was freed longest ago."""

    def __init__(self, used: Iterable[int], size: int) -> None:
        taken = set(used)
        self._free = deque(number for number in range(1, size) if number not in taken)

    def take(self) -> int:
        """Raises IndexError when none is left."""
        return self._free.popleft()

    def give_back(self, vip_num: int) -> None:
        self._free.append(vip_num)

    def copy(self) -> VipNumbers:
        twin = VipNumbers((), 0)
        twin._free = deque(self._free)
        return twin
