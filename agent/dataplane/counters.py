# SPDX-License-Identifier: Apache-2.0
"""What the program counts: arrays laid out [cpu][index], read without a system call.

Totals only grow, for as long as the maps live; a number that gets another owner begins at 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.dataplane import abi
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.mapped import view


class Counters:
    """Of one node, by CPU or over all of them."""

    def __init__(self, fds: Mapping[str, int], cpus: int) -> None:
        """`fds`: of the maps, by name.  Raises OSError."""
        self.boot = _boot(bpf.map_info(fds["totals"]).id)
        self._cpus = cpus
        self._totals = view(fds["totals"], abi.Totals, cpus)
        self._vips = view(fds["vip_totals"], abi.Share, cpus * abi.MAX_VIPS)
        self._reals = view(fds["real_totals"], abi.Share, cpus * abi.MAX_REALS)

    def totals(self) -> NDArray[Any]:
        """struct lb_totals per CPU."""
        return self._totals.copy()

    def by_vip(self) -> NDArray[np.uint64]:
        """[vip_num, column] over all CPUs; columns: packets, bytes, flows, drops."""
        return self._summed(self._vips)

    def by_real(self) -> NDArray[np.uint64]:
        """[real_num, column] over all CPUs; columns: packets, bytes, flows, drops (0)."""
        return self._summed(self._reals)

    def by_queue(self) -> NDArray[np.uint64]:
        """[cpu, receive queue]: packets; the last queue stands for all behind it."""
        counted: NDArray[np.uint64] = self._totals["queues"].copy()
        return counted

    @property
    def traced(self) -> int:
        """Packets that matched a filter since the maps were made, over all CPUs."""
        return int(self._totals["traced"].sum())

    @property
    def unstored(self) -> int:
        """Flows that got no entry because too many came at once."""
        return int(self._totals["flow_unstored"].sum())

    @property
    def busy(self) -> int:
        """CPUs that received packets; all of them while none has.  A machine may have many more
        than the NIC has queues, or none online."""
        return int(np.count_nonzero(self._totals["rx_packets"])) or self._cpus

    def handled(self) -> list[int]:
        """Packets by CPU that were a VIP's: sent on, answered or dropped; each is counted behind
        all else that it did."""
        packets: list[int] = (self._totals["tx_packets"] + self._totals["drop_packets"]).tolist()
        return packets

    def begin_vip(self, vip_num: int) -> None:
        """The number's next VIP begins at 0; number 0 keeps what is gone, so that sums go on."""
        totals = self._vips.view(np.uint64).reshape(self._cpus, abi.MAX_VIPS, -1)
        totals[:, 0, :3] += totals[:, vip_num, :3]  # drops of no VIP the program counts there
        totals[:, vip_num] = 0

    def begin_real(self, real_num: int) -> None:
        """The number's next real begins at 0."""
        self._reals.reshape(self._cpus, -1)[:, real_num] = 0

    def _summed(self, shares: NDArray[Any]) -> NDArray[np.uint64]:
        summed: NDArray[np.uint64] = shares.view(np.uint64).reshape(self._cpus, -1, 4).sum(axis=0)
        return summed


def _boot(map_id: int) -> str:
    """Names the life of the counters: another after a reboot and when the map was made anew."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return hashlib.blake2b(f"{kernel} {map_id}".encode(), digest_size=4).hexdigest()
