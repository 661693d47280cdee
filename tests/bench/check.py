# SPDX-License-Identifier: Apache-2.0
"""`make bench-check`: has the data plane become slower?  Exit status 1 if so.

ns per packet of the balancer divided by the yardstick's, measured in turn on this machine, against
the ratios in reference.json.  More than 10 % above fails.  A case that fails is measured again up
to twice: noise passes, a regression stays.  By hand, on a machine that is otherwise idle; never in
CI.  After a change that is meant to cost or to gain: `make bench-check ARGS=--renew`, and commit
the file with the change that explains it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.dataplane import loader
from tests.bench import yardstick
from tests.bench.restorer import measure
from tests.bpf import frames
from tests.bpf.rig import SETTINGS, WEB, Rig
from tests.fabric import enclosure

REFERENCE = Path(__file__).with_name("reference.json")
TOLERANCE = 1.10
ROUNDS, CHUNKS, TRIES = 6, 9, 3
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

    def __init__(self, place: Path) -> None:
        self._pins = loader.pins(place / "bpffs", "check")
        loader.load(
            loader.Request(self._pins, loader.BALANCER, flows_per_cpu=FLOWS_PER_CPU, ring_rows=16)
        )
        self._rig = Rig(self._pins)
        self._rig.reset()
        self._rig.dataplane.configure(
            replace(SETTINGS, trace_all=False, event_rate=20, event_burst=40)
        )
        self._rig.serve(WEB, {f"10.3.{n}.2": 100 for n in range(1, 101)})
        self._yardstick = yardstick.load(place / "bpffs" / "yardstick", frames.VIP, WEB.port)

    def ratio(self, frame: bytes, flows: int) -> float:
        """Of the best of some rounds each, in which both were measured one after the other: what
        disturbs only ever adds."""
        ours, theirs = [], []
        for _ in range(ROUNDS):
            own = measure(self._rig.program, frame, flows=flows, chunks=CHUNKS)
            other = measure(self._yardstick, frame, flows=flows, chunks=CHUNKS)
            assert own.action == other.action, "they must do the same with the packet"
            ours.append(own.quiet)
            theirs.append(other.quiet)
        return min(ours) / min(theirs)

    def close(self) -> None:
        self._rig.close()
        os.close(self._yardstick)
        loader.detach(self._pins)


def measured(pair: Pair, reference: Mapping[str, float]) -> dict[str, float]:
    """The ratio of every case; of one above its reference, the best of some tries."""
    found = {}
    for name, (frame, flows) in cases().items():
        limit = reference.get(name, float("inf")) * TOLERANCE
        found[name] = pair.ratio(frame, flows)
        for _ in range(TRIES - 1):
            if found[name] <= limit:
                break
            found[name] = min(found[name], pair.ratio(frame, flows))
    return {name: round(ratio, 3) for name, ratio in found.items()}


def slower(found: Mapping[str, float], reference: Mapping[str, float]) -> list[str]:
    """A line for each case that fails; one that has no reference fails too."""
    lines = []
    for name, ratio in found.items():
        if name not in reference:
            lines.append(f"{name}: no reference; `make bench-check ARGS=--renew` adds it")
        elif ratio > reference[name] * TOLERANCE:
            percent = 100 * (ratio / reference[name] - 1)
            lines.append(
                f"{name}: {ratio:.3f} of the yardstick, reference {reference[name]:.3f}: "
                f"{percent:.0f} % slower"
            )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-check", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="write reference.json")
    parser.add_argument("--json", action="store_true", help="one JSON object, and judge nothing")
    options = parser.parse_args()
    place = enclosure.directory()
    if place is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.check", *sys.argv[1:]])
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    reference: dict[str, float] = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    pair = Pair(place)
    found = measured(pair, {} if options.renew else reference)
    pair.close()
    if options.renew:
        REFERENCE.write_text(json.dumps(found, indent=1) + "\n")
    if options.json:
        print(json.dumps({"ratios": found, "reference": reference}))
        return 0
    for name, ratio in found.items():
        was = f"{reference[name]:.3f}" if name in reference else "none"
        print(f"{name:32}{ratio:>8.3f} of the yardstick, reference {was}")
    failures = [] if options.renew else slower(found, reference)
    for line in failures:
        print(line, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
