# SPDX-License-Identifier: Apache-2.0
"""Each CPU of a node: what it takes, misses and drops, and by which receive queues.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from console.model.rates import rate, share
from console.model.store import Agent
from console.model.tracks import Track
from shared.messages import CpuSnapshot


class Cpu(msgspec.Struct, frozen=True):
    number: int
    taking: bool
    """It has received a packet since the totals began."""
    pps: float | None
    share: float | None
    """Of the node's packets, as a fraction."""
    misses: float | None
    """Of its flow-table lookups, as a fraction."""
    drop_pps: float | None
    softirq: float | None
    """Of its time, spent in soft interrupts, as a fraction; its kernel counts by the tick."""
    track: Track
    queues: tuple[tuple[int, float], ...] = ()
    """(receive queue, fraction of the CPU's packets that came by it), busiest first."""


def cpus(agent: Agent) -> tuple[Cpu, ...]:
    """Each CPU of a node; rates are unknown where they cannot be known."""
    now = agent.cpus
    if now is None:
        return ()
    before, span = agent.pair("cpu")
    old = before if isinstance(before, CpuSnapshot) and _alike(before, now) else None
    whole = rate(sum(old.rx_packets), sum(now.rx_packets), span) if old else None
    return tuple(
        _cpu(agent, number, (now, old, span), whole=whole) for number in range(_count(now))
    )


def _count(snapshot: CpuSnapshot) -> int:
    return len(snapshot.rx_packets)


def _alike(one: CpuSnapshot, other: CpuSnapshot) -> bool:
    return _count(one) == _count(other)


Pair = tuple[CpuSnapshot, CpuSnapshot | None, float]
"""(totals, those before, seconds between)"""


def _cpu(agent: Agent, number: int, pair: Pair, *, whole: float | None) -> Cpu:
    now, old, span = pair

    def per_second(totals: Callable[[CpuSnapshot], Sequence[int]]) -> float | None:
        return rate(totals(old)[number], totals(now)[number], span) if old else None

    packets = per_second(lambda s: s.rx_packets)
    hits, misses = per_second(lambda s: s.flow_hits), per_second(lambda s: s.flow_misses)
    return Cpu(
        number=number,
        taking=now.rx_packets[number] > 0,
        pps=packets,
        share=share(packets, whole),
        misses=share(misses, None if hits is None or misses is None else hits + misses),
        drop_pps=per_second(lambda s: s.drop_packets),
        softirq=_softirq(number, pair),
        track=agent.track("cpu", number),
        queues=_queues(number, pair, packets),
    )


def _softirq(number: int, pair: Pair) -> float | None:
    now, old, span = pair
    if old is None or number >= min(len(old.softirq), len(now.softirq)):
        return None
    hundredths = rate(old.softirq[number], now.softirq[number], span)
    return None if hundredths is None else min(1.0, hundredths / 100)


def _queues(number: int, pair: Pair, whole: float | None) -> tuple[tuple[int, float], ...]:
    now, old, span = pair
    if old is None or len(old.queues) > len(now.queues):
        return ()
    before = (*old.queues, *(None,) * (len(now.queues) - len(old.queues)))
    found = []
    for queue, (was, is_) in enumerate(zip(before, now.queues, strict=True)):
        part = share(rate(was[number] if was else 0, is_[number], span), whole)
        if part:
            found.append((queue, part))
    return tuple(sorted(found, key=lambda each: -each[1]))
