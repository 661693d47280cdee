# SPDX-License-Identifier: Apache-2.0
"""A million nearly right frames, one outcome each; `make fuzz` goes on from there."""

from __future__ import annotations

import pytest

from shared import reasons
from tests.bpf import frames
from tests.bpf.crowd import Crowd, Wrong
from tests.bpf.fuzz import furnish, fuzz, seeds
from tests.bpf.rig import Rig

pytestmark = pytest.mark.root

ROUNDS, EACH = 10, 100_000
NOT_BY_FUZZ = {"internal", "encap_failed"}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_p6_c1_c3_a_million_mutants_in_all(rig: Rig, seed: int) -> None:
    """Truncated, padded, mutated frames of every kind to VIPs of every kind."""
    ran, seen = fuzz(rig, seed, count=EACH)
    assert ran == EACH
    known = {reason.name for reason in reasons.REASONS}
    assert known - seen <= NOT_BY_FUZZ | {"ping_limit"}, "every reason comes up"
    assert not seen & NOT_BY_FUZZ


def test_the_seeds_are_of_every_kind(rig: Rig) -> None:
    """Unmutated they are sent, passed, dropped, answered, unwrapped, routed by id."""
    furnish(rig)
    Crowd(rig).check(seeds())
    moved = ("tx_packets", "pass_packets", "drop_packets", "icmp_sent", "icmp_forwarded",
             "decapsulated", "tagged", "extended", "quic_routed", "quic_initial", "quic_unknown",
             "flow_untracked", "flow_hits", "icmp_too_big")  # fmt: skip
    assert [name for name in moved if not rig.totals[name].sum()] == []


def test_a_wrong_outcome_is_found_and_named(rig: Rig) -> None:
    """The check can fail: a count that nobody made, a packet that changed on its way."""
    furnish(rig)
    crowd = Crowd(rig)

    def spoilt(frame: bytes) -> tuple[int, bytes]:
        return 2, frame[:-1] + b"!"

    crowd.run = spoilt  # type: ignore[method-assign]
    with pytest.raises(Wrong, match=frames.tcp().hex()):
        crowd.check([frames.tcp()])
    crowd = Crowd(rig)
    counting = crowd.run

    def counted_twice(frame: bytes) -> tuple[int, bytes]:
        rig.quick(frame)
        return counting(frame)

    crowd.run = counted_twice  # type: ignore[method-assign]
    with pytest.raises(Wrong, match="only together"):
        crowd.check([frames.tcp(), frames.udp()])
