# SPDX-License-Identifier: Apache-2.0
"""The data plane's clock, read from outside: jiffies, the kernel's ticks since shortly before boot.

The program reads them because that costs one load.  Nothing shows them to user space, so a program
of two instructions does.  Standard library only: the loader child imports this.
"""

from __future__ import annotations

import os
import time

from agent.dataplane import bpf_syscall as bpf

CLOCK_MONOTONIC_COARSE = 6
HZ = round(1 / time.clock_getres(CLOCK_MONOTONIC_COARSE))
"""Jiffies per second: that clock moves once per jiffy."""
TICKS = HZ << 16
"""Ticks (bpf/lb_abi.h) per second."""

_SCHED_CLS = 3
_FIRST = (1 << 32) - 300 * HZ
"""Jiffies at boot: the kernel lets 32 bits of them wrap after five minutes, to find who minds."""
_CALL_JIFFIES64 = bytes.fromhex("8500000076000000")
_EXIT = bytes.fromhex("9500000000000000")
_FRAME = bytes(14)


class Jiffies:
    """Raises OSError where the kernel does not let us load programs."""

    def __init__(self) -> None:
        self._program = bpf.program_load(_SCHED_CLS, "jiffies", _CALL_JIFFIES64 + _EXIT)

    def now(self) -> int:
        """All 64 bits; the program returns 32, the time since boot says the others."""
        low = bpf.run_program(self._program, _FRAME).result
        about = _FIRST + int(time.monotonic() * HZ)
        return about + (low - about + (1 << 31)) % (1 << 32) - (1 << 31)

    def close(self) -> None:
        os.close(self._program)
