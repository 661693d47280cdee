# SPDX-License-Identifier: Apache-2.0
"""One real behind every VIP of a full node fails: when are the flags set, when the rings flipped?

The agent's core and its data plane, without the event loop between them: verdicts in, map writes
out, as agent/runtime.py performs them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

from agent import boundary as b
from agent import nouns
from agent.config import file as config
from agent.core.director import Director
from agent.dataplane.maps import DataPlane

VIPS = 511
"""All that there can be."""
REALS = 8
SHARED = "10.3.255.1"
FALL = 3

_HEAD = """
[node]
name = "lb1"
interface = "eth0"
hash_key = "00112233445566778899aabbccddeeff"
run_dir = "/nowhere"
state_dir = "/nowhere"
"""


class Failover(NamedTuple):
    """Seconds from the verdicts."""

    flags: float
    """Until no packet goes to the real any more."""
    rings: float
    """Until every ring is in force without it."""
    longest_turn: float
    """For which the agent does nothing else."""


def failover(dataplane: DataPlane) -> Failover:
    """The data plane is empty before, and holds 511 VIPs afterwards."""
    director = Director(config.parse(_config(), "bench.toml"), dataplane.fill)
    _perform(dataplane, director, [b.Adopted({}, (), {}, (), 0, generation=1, newest_generation=1)])
    targets = [target for _, target in sorted((str(t), t) for t in _targets(director))]
    _perform(dataplane, director, [b.Probed(t, True, "http 200", 1.0) for t in targets])
    failing = [target for target in targets if str(target.real) == SHARED]
    assert len(failing) == VIPS
    verdicts = [b.Probed(target, False, "refused", 1.0) for target in failing]
    for _ in range(FALL - 1):
        _perform(dataplane, director, verdicts)
    return _perform(dataplane, director, verdicts)


def _perform(dataplane: DataPlane, director: Director, facts: Sequence[b.Fact]) -> Failover:
    """Until there is nothing left to do."""
    began = turn = time.perf_counter()
    flags = rings = longest = 0.0
    while True:
        for effect in director.take(facts, time.monotonic()):
            if isinstance(effect, b.MapEffect):
                dataplane.perform(effect)
            if isinstance(effect, b.SetFlags):
                flags = time.perf_counter() - began
            elif isinstance(effect, b.SetRing):
                rings = time.perf_counter() - began
        now = time.perf_counter()
        longest, turn = max(longest, now - turn), now
        if not director.unsettled:
            return Failover(flags, rings, longest)
        facts = [b.Tick()]


def _targets(director: Director) -> set[nouns.Target]:
    return {
        nouns.Target(name, address)
        for name, vip in director.state.vips.items()
        for address in vip.reals
    }


def _config() -> str:
    vips = []
    for n in range(VIPS):
        reals = [SHARED, *(f"10.{4 + r}.{n // 256}.{n % 256}" for r in range(1, REALS))]
        vips.append(
            f'[[vips]]\nname = "v{n}"\naddress = "10.200.{n // 256}.{n % 256}"\nport = 80\n'
            f"[vips.check]\nrise = 1\nfall = {FALL}\n"
            + "".join(f'[[vips.reals]]\naddress = "{ip_address(real)}"\n' for real in reals)
        )
    return _HEAD + "".join(vips)
