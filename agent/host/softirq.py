# SPDX-License-Identifier: Apache-2.0
"""How long each CPU has spent in soft interrupts, as the kernel has it: proc(5), /proc/stat.

XDP in a driver runs there, so does all that the node receives besides.
"""

from __future__ import annotations

import os
from pathlib import Path

STAT = Path("/proc/stat")
_SOFTIRQ = 7
"""Word of a `cpuN` line, after its name: user nice system idle iowait irq softirq."""
_TICKS = os.sysconf("SC_CLK_TCK")


def softirq() -> tuple[int, ...]:
    """Hundredths of a second by CPU number; empty where the kernel does not say."""
    try:
        return by_cpu(STAT.read_text())
    except OSError:
        return ()


def by_cpu(text: str, ticks: int = _TICKS) -> tuple[int, ...]:
    """A CPU that is off line has no line: its time is 0."""
    found: dict[int, int] = {}
    for line in text.splitlines():
        name, *words = line.split()
        if name == "intr":
            break  # the CPUs stand first
        number = name.removeprefix("cpu")
        if name.startswith("cpu") and number.isdecimal() and len(words) >= _SOFTIRQ:
            found[int(number)] = int(words[_SOFTIRQ - 1]) * 100 // ticks
    return tuple(found.get(number, 0) for number in range(max(found, default=-1) + 1))
