# SPDX-License-Identifier: Apache-2.0
"""`make bench-check`: has the data plane become slower?  Exit status 1 if so, 2 if the machine is
too busy to tell.

ns per packet of the balancer divided by the yardstick's, against the ratios in reference.json.
Balancer, yardstick and an empty program take turns of some milliseconds; a handful of turns is a
block, and its ratio that of the best turns, without the empty program's: what disturbs only adds.
The median of the blocks counts, with its 95 % interval (bootstrap).  More than 10 % above fails, if
the interval says so too; what does not pass is measured again with programs that are loaded anew,
up to twice, and all its blocks count.  By hand; never in CI.  After a change that is meant to cost
or to gain: `make bench-check ARGS=--renew`, and commit the file with the change that explains it.
`--burden 20` shows that it can fail: so many instructions more before each packet of ours.
"""

from __future__ import annotations

import argparse
import enum
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from agent.dataplane import loader
from tests.bench import yardstick
from tests.bench.restorer import side_by_side
from tests.bpf import frames
from tests.bpf.rig import SETTINGS, WEB, Rig
from tests.fabric import enclosure

REFERENCE = Path(__file__).with_name("reference.json")
TOLERANCE = 1.10
SURE = 1.05
"""So much above is the interval's lower end of what fails,"""
CLEAR = 1.20
"""and at most so much the upper end of what passes."""
CHUNKS, BLOCKS, LOADS = 5, 8, 3
"""Turns in a block; blocks per load; loads at most: where the kernel puts code and maps is chance,
and worth some percent."""
RESAMPLED = 1000
FLOWS_PER_CPU = 262144


def cases() -> Mapping[str, tuple[bytes, int]]:
    """Name -> frame, flows."""
    known, opening = frames.tcp(flags="A", payload=bytes(64)), frames.tcp(flags="S")
    return {
        "existing flow, 1 flow": (known, 1),
        "existing flow, 65,536 flows": (known, 1 << 16),
        "SYN, 65,536 flows": (opening, 1 << 16),
        "not a VIP, pass": (frames.tcp(to="198.51.100.1", flags="A", payload=bytes(64)), 1),
    }


class Pair:
    """Balancer and yardstick, loaded and serving the same VIP."""

    def __init__(self, place: Path, load: int) -> None:
        self._pins = loader.pins(place / "bpffs", f"check{load}")
        loader.load(
            loader.Request(self._pins, loader.BALANCER, flows_per_cpu=FLOWS_PER_CPU, ring_rows=16)
        )
        self._rig = Rig(self._pins)
        self._rig.reset()
        self._rig.dataplane.configure(
            replace(SETTINGS, trace_all=False, event_rate=20, event_burst=40)
        )
        self._rig.serve(WEB, {f"10.3.{n}.2": 100 for n in range(1, 101)})
        self._yardstick = yardstick.load(place / "bpffs" / f"yardstick{load}", frames.VIP, WEB.port)

    def ratios(self, frame: bytes, flows: int, *, burden: int = 0) -> list[float]:
        """Of some blocks."""
        programs, chunks = (self._rig.program, self._yardstick), BLOCKS * CHUNKS
        rows = np.array(side_by_side(programs, frame, flows=flows, chunks=chunks, burden=burden))
        floor, ours, theirs = rows.reshape(BLOCKS, CHUNKS, 3).min(axis=1).T
        found: list[float] = ((ours - floor) / (theirs - floor)).tolist()
        return found

    def close(self) -> None:
        self._rig.close()
        os.close(self._yardstick)
        loader.detach(self._pins)


class Ratio(NamedTuple):
    """The median of the blocks, and between what it is in 95 % of resamplings."""

    low: float
    middle: float
    high: float


class Verdict(enum.Enum):
    FINE = "as it was"
    SLOWER = "slower"
    UNSURE = "the machine is too busy to tell"
    UNKNOWN = "no reference; `make bench-check ARGS=--renew` adds it"


def ratio_of(blocks: Sequence[float]) -> Ratio:
    drawn = np.random.default_rng(1).choice(blocks, (RESAMPLED, len(blocks)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return Ratio(float(low), float(np.median(blocks)), float(high))


def judged(ratio: Ratio, reference: float | None) -> Verdict:
    if reference is None:
        return Verdict.UNKNOWN
    low, middle, high = (x / reference for x in ratio)
    if middle > TOLERANCE and low > SURE:
        return Verdict.SLOWER
    return Verdict.FINE if middle <= TOLERANCE and high <= CLEAR else Verdict.UNSURE


def measured(place: Path, reference: Mapping[str, float], burden: int) -> dict[str, Ratio]:
    """The ratio of every case; of one that does not pass, and all without a reference, by more
    blocks of programs that are loaded anew."""
    blocks: dict[str, list[float]] = {name: [] for name in cases()}

    def passes(name: str) -> bool:
        found = blocks[name]
        return bool(found) and judged(ratio_of(found), reference.get(name)) is Verdict.FINE

    for load in range(LOADS):
        left = [name for name in blocks if not passes(name)]
        if left:
            pair = Pair(place, load)
            for name in left:
                blocks[name] += pair.ratios(*cases()[name], burden=burden)
            pair.close()
    return {name: ratio_of(found) for name, found in blocks.items()}


def line(name: str, ratio: Ratio, reference: float | None) -> str:
    """One case, in words."""
    verdict = judged(ratio, reference)
    was = f", reference {reference:.3f} ({ratio.middle / reference - 1:+.0%})" if reference else ""
    interval = f"{ratio.middle:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) of the yardstick"
    return f"{name}: {interval}{was}: {verdict.value}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-check", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="write reference.json")
    parser.add_argument("--burden", type=int, default=0, help="instructions more, to see it fail")
    parser.add_argument("--json", action="store_true", help="one JSON object, and judge nothing")
    options = parser.parse_args()
    place = enclosure.directory()
    if place is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.check", *sys.argv[1:]])
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    reference: dict[str, float] = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    found = measured(place, {} if options.renew else reference, options.burden)
    if options.renew:
        middles = {name: round(ratio.middle, 3) for name, ratio in found.items()}
        REFERENCE.write_text(json.dumps(middles, indent=1) + "\n")
    if options.json:
        named = {name: ratio._asdict() for name, ratio in found.items()}
        print(json.dumps({"ratios": named, "reference": reference}))
        return 0
    for name, ratio in found.items():
        print(line(name, ratio, reference.get(name)))  # before they are renewed, if they are
    return 0 if options.renew else status(judged(r, reference.get(n)) for n, r in found.items())


def status(verdicts: Iterable[Verdict]) -> int:
    """1: a case is slower, or has no reference; 2: none is, but of one it cannot be said."""
    found = set(verdicts)
    if found & {Verdict.SLOWER, Verdict.UNKNOWN}:
        return 1
    return 2 if Verdict.UNSURE in found else 0


if __name__ == "__main__":
    sys.exit(main())
