# SPDX-License-Identifier: Apache-2.0
"""How long each CPU has spent in soft interrupts, as the kernel has it: proc(5), /proc/stat.

XDP in a driver runs there, so does all that the node receives besides.
"""

from __future__ import annotations

import os
import re

STAT = "/proc/stat"
_CPU = re.compile(rb"^cpu(\d+)(?: \d+){6} (\d+)", re.MULTILINE)
"""A CPU's line: user nice system idle iowait irq softirq, in ticks."""
_TICKS = os.sysconf("SC_CLK_TCK")


class SoftIrq:
    """The file stays open: it is read with every snapshot, and to open it takes as long again."""

    def __init__(self) -> None:
        try:
            self._fd = os.open(STAT, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def read(self) -> tuple[int, ...]:
        """Hundredths of a second by CPU number; empty where the kernel does not say."""
        try:
            return by_cpu(os.pread(self._fd, 1 << 16, 0))
        except OSError:
            return ()


def by_cpu(text: bytes, ticks: int = _TICKS) -> tuple[int, ...]:
    """A CPU that is off line has no line: its time is 0."""
    found = {int(number): int(spent) * 100 // ticks for number, spent in _CPU.findall(text)}
    return tuple(found.get(number, 0) for number in range(max(found, default=-1) + 1))
