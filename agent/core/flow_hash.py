# SPDX-License-Identifier: Apache-2.0
"""Flow -> 64-bit keyed hash, and the slots that it stands for: bpf/hash.h in Python.  Pure.

For questions about single flows; packets are hashed by the program.  A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.nouns import Hashed
from shared.flows import NUMBERS, Flow
from shared.model import RING_SLOTS

SLOTS_TRIED = 16
"""As bpf/place.h has it: so often a new flow looks for a real that is not down."""
_WORD = (1 << 64) - 1
_ODD_1, _ODD_2, _ODD_3 = 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0x9E3779B97F4A7C15
_STEP = 0xD1342543DE82EF95


def hashed(flow: Flow, key: bytes, how: Hashed = Hashed.FLOW) -> int:
    """`how`: what of the flow decides; all of it is the flow table's tag."""
    first, second = _words(key)
    ports = _ports(flow, how)
    number = NUMBERS[flow.protocol]
    source = bytes(16) if how is Hashed.PORT else flow.source.packed
    if flow.destination.version == 4:
        vip = (_little(flow.destination.packed) << 8 | number) * _ODD_3
        x = _stirred((_little(source[:4]) << 32 | ports) ^ (first + vip & _WORD))
        return _finished(x + second)
    to = _words(flow.destination.packed)
    upper, lower = _words(source)
    vip = ((to[0] + to[1] * _ODD_2) << 8 & _WORD | number) * _ODD_3
    x = _stirred(upper ^ (first + vip & _WORD))
    x = _stirred(lower ^ (x + second & _WORD))
    x = _stirred(ports ^ (x + first & _WORD))
    return _finished(x + second)


def slots(hash_: int) -> Iterator[int]:
    """Where a new flow looks, in this order, while the slot's real takes none."""
    for _ in range(SLOTS_TRIED):
        yield (hash_ >> 32) * RING_SLOTS >> 32
        hash_ = hash_ * _STEP + 1 & _WORD


def _ports(flow: Flow, how: Hashed) -> int:
    source = flow.source_port if how is Hashed.FLOW else 0
    to = 0 if how is Hashed.SOURCE else flow.destination_port
    return _little(source.to_bytes(2, "big") + to.to_bytes(2, "big"))


def _words(packed: bytes) -> tuple[int, int]:
    return _little(packed[:8]), _little(packed[8:])


def _little(packed: bytes) -> int:
    return int.from_bytes(packed, "little")


def _stirred(x: int) -> int:
    x = (x ^ x >> 32) * _ODD_1 & _WORD
    return x ^ x >> 29


def _finished(x: int) -> int:
    x = (x & _WORD) * _ODD_2 & _WORD
    return x ^ x >> 32
