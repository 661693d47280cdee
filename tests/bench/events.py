# SPDX-License-Identifier: Apache-2.0
"""A million dropped packets a second, each with an event: what the agent spends, what is lost.

`python -m tests.bench.events [--json]` (root).  A child sends fragments into the program on another
CPU, in four bursts a second; the data plane's own limit on events is set out of reach.  This
process does with the ring what the agent does (wire/telemetry.py): drained by a timer, some events
told, all others a number.  At the end packets, events, and those lost on the way must agree to the
last one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from agent.dataplane import bpf_syscall as bpf
from agent.dataplane import loader
from agent.wire.drop_feed import drop_events
from agent.wire.telemetry import DRAIN_EVERY
from shared.codec import telemetry_frames
from shared.messages import Event, LostEvent
from tests.bpf import frames
from tests.bpf.rig import DNS, SETTINGS, Rig
from tests.fabric import enclosure

RATES = (10_000, 100_000, 1_000_000)
SECONDS = 3.0
_CHUNK = 0.25
"""Seconds between two bursts of the sender: a test run costs the kernel some 20 ms to set up."""
HEAD: Mapping[str, Any] = {"node": "lb1", "boot": "b", "sequence": 1, "at": 1.0}


def _sender(program: int, cpu: int, rate: int) -> int:
    """A child that sends until it is told to stop by the clock."""
    child = os.fork()
    if child:
        return child
    os.sched_setaffinity(0, {cpu})
    frame, due = frames.fragment(), time.monotonic()
    ends = due + SECONDS
    while due < ends:
        bpf.run_program(program, frame, max(1, round(rate * _CHUNK)))
        due += _CHUNK
        time.sleep(max(0.0, due - time.monotonic()))
    os._exit(0)


def drained(rig: Rig, rate: int, cpus: tuple[int, int]) -> dict[str, float]:
    while rig.events.drain() is not None:
        pass
    before = _counted(rig)
    os.sched_setaffinity(0, {cpus[0]})
    child = _sender(rig.program, cpus[1], rate)
    told = untold = 0
    began, spent = time.monotonic(), time.process_time()
    running = True
    while running:
        time.sleep(DRAIN_EVERY)
        running = os.waitpid(child, os.WNOHANG) == (0, 0)
        records = rig.events.drain()
        for body in drop_events(records, {}) if records is not None else ():
            telemetry_frames(Event(**HEAD, wall=1.0, body=body))
            left_out = body.count if isinstance(body, LostEvent) else 0
            told, untold = told + (left_out == 0), untold + left_out
    took, spent = time.monotonic() - began, time.process_time() - spent
    dropped, events, suppressed, lost = (a - b for a, b in zip(_counted(rig), before, strict=True))
    if dropped != told + untold + suppressed + lost or events != told + untold:
        raise RuntimeError(
            f"{dropped} packets dropped, but {told} told, {untold} left out, {suppressed} "
            f"suppressed, {lost} lost"
        )
    return {
        "events_per_s": round(dropped / took),
        "cpu_percent": round(100 * spent / took, 2),
        "told": told,
        "left_out_by_the_agent": untold,
        "lost_in_the_ring": lost + suppressed,
        "unaccounted": dropped - told - untold - lost - suppressed,
    }


def _counted(rig: Rig) -> list[int]:
    names = ("drop_packets", "events", "events_suppressed", "events_lost")
    return [int(rig.totals[name].sum()) for name in names]


def figures(place: Path) -> dict[str, Any]:
    pins = loader.pins(place / "bpffs", "events")
    loader.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=4096, ring_rows=16))
    rig = Rig(pins)
    rig.reset()
    rig.dataplane.configure(
        replace(SETTINGS, trace_all=False, event_rate=10_000_000, event_burst=20_000_000)
    )
    rig.serve(DNS, {"10.3.1.2": 100})
    every = sorted(os.sched_getaffinity(0))
    found = {f"{rate:,} a second": drained(rig, rate, (every[0], every[-1])) for rate in RATES}
    rig.close()
    loader.detach(pins)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    place = enclosure.directory()
    if place is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.events", *sys.argv[1:]])
    found = figures(place)
    if options.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(name, *(f"{key}={value}" for key, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
