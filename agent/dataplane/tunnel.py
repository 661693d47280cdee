# SPDX-License-Identifier: Apache-2.0
"""The way that a client's packet goes to a real, for checks: marks, and what bpf/probe.c counted.

Written nowhere: the program reads the same maps as the balancer does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agent.boundary import EffectError
from agent.dataplane import abi, mapped
from agent.dataplane import bpf_syscall as bpf

OUTER = 40 + 8
"""Bytes of the largest outer header: IPv6 and GUE's UDP."""
_WHY = {
    "stale": "the real's number has another owner by now",
    "odd": "neither TCP nor UDP, or a fragment",
    "too_big": "larger than underlay_mtu once encapsulated",
    "failed": "no room for the outer header",
}


class Counts(NamedTuple):
    """Packets that checks sent to reals, over all CPUs; all but `sent` were dropped.  As struct
    lb_probe_totals begins."""

    sent: int
    stale: int
    odd: int
    too_big: int
    failed: int


class Tunnel:
    """Raises EffectError if the program's counters are not there: load it first."""

    def __init__(self, pins: Path, interface: str, underlay_mtu: int) -> None:
        self.interface = interface
        self.underlay_mtu = underlay_mtu
        try:
            descriptor = bpf.obj_get(str(pins / "probe_totals"))
        except OSError as error:
            raise EffectError(f"{pins}/probe_totals: {error.strerror}; load probe.c") from error
        entries = bpf.map_info(descriptor).max_entries
        self._totals = mapped.view(descriptor, abi.ProbeTotals, entries)
        os.close(descriptor)
        self._last = self.counts()

    def sent(self) -> int:
        """Of counts(): asked twice per check."""
        return int(self._totals["sent"].sum())

    def counts(self) -> Counts:
        """Totals since the maps were made."""
        by_cpu = self._totals.view(np.uint64).reshape(len(self._totals), -1)
        return Counts(*by_cpu.sum(axis=0)[: len(Counts._fields)].tolist())

    def segment(self, version: int) -> int:
        """Payload of a TCP segment that fits whatever encapsulation; headers without options."""
        return max(88, self.underlay_mtu - OUTER - (40 if version == 4 else 60))

    def why_not(self, sent: int) -> str:
        """Why nothing was sent since `sent` was read; empty: something was.

        Other checks' packets count as well: it is about whether the program is there at all.
        """
        now = self.counts()
        if now.sent != sent:
            return ""
        before, self._last = self._last, now
        for cause, text in _WHY.items():
            if getattr(now, cause) != getattr(before, cause):
                return text
        return f"nothing left {self.interface} by the tunnel: see `ip route get` for the VIP"
