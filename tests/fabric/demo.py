# SPDX-License-Identifier: Apache-2.0
"""`make demo`: the whole thing on one machine, with the console on top.

Without --headless the console has the terminal and whoever sits there steers.  With it a real is
drained half-way through the CLI, and what was seen is written down and judged.  Either way nothing
is left behind when it ends.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.fabric import enclosure, load
from tests.fabric import topology as t
from tests.fabric.fabric import REMORA, Fabric, Load, stopwatch
from tests.fabric.waiting import DeadlineError, until

DRAINED = "r2"
RATE, DOWNLOADS, DATAGRAMS = 150, 2, 100
"""New connections per second, long downloads on every real, datagrams per second."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    place = enclosure.directory()
    try:
        if place is None:
            return enclosure.run([sys.executable, "-m", "tests.fabric.demo", *given])
        return _inside(place, options)
    except enclosure.EnclosureError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("stopped; nothing is left behind", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--headless", action="store_true", help="no terminal: drain, write, judge")
    parser.add_argument("--seconds", type=float, default=20, help="of load when headless")
    parser.add_argument("--json", type=Path, metavar="FILE", help="what was seen (headless)")
    return parser


def _fail(text: str, status: int) -> int:
    print(f"demo: {text}", file=sys.stderr)
    return status


def _inside(place: Path, options: argparse.Namespace) -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say = stopwatch(lambda text: print(text, file=sys.stderr, flush=True))
    fabric = Fabric(place)
    try:
        fabric.build(say)
        real = fabric.request()
        first = time.monotonic() - began
        say(f"first request served, by {real}")
        if not options.headless:
            return _console(fabric)
        seen = _headless(fabric, options.seconds) | {"first_request_s": round(first, 3)}
    except (DeadlineError, OSError, AssertionError, subprocess.SubprocessError) as error:
        print(fabric.logs(), file=sys.stderr)
        return _fail(f"{error}; the ends of all logs are above", 1)
    return _conclude(seen, options.json)


def _console(fabric: Fabric) -> int:
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    print(f"also from another terminal: remora {' '.join(addresses)}", file=sys.stderr)
    with _load(fabric, record=False):
        return subprocess.run([*REMORA, *addresses], check=False).returncode


def _load(fabric: Fabric, *, record: bool) -> AbstractContextManager[Load]:
    return fabric.load(rate=RATE, downloads=DOWNLOADS, datagrams=DATAGRAMS, record=record)


def _headless(fabric: Fabric, seconds: float) -> dict[str, Any]:
    """Load for so many seconds, with a drain half-way; what was seen, for JSON."""
    with _load(fabric, record=True) as running:
        half = time.monotonic() + seconds / 2
        until(lambda: time.monotonic() > half, seconds, "half of the time", every=0.1)
        before = running.records()
        answered = _drain(fabric)
        end = answered + seconds / 2
        until(lambda: time.monotonic() > end, seconds, "the other half", every=0.1)
        bgp = _bgp(fabric)
        after = running.stop()
    return {
        "seconds": seconds,
        **_traffic(before, after, answered),
        "nodes": {name: _node(fabric, name) for name in t.NODES},
        "bgp": bgp,
    }


def _drain(fabric: Fabric) -> float:
    """Drain through the CLI; when it had answered (CLOCK_MONOTONIC)."""
    words = ("drain", f"real/{t.real(DRAINED).address}@web", "--yes", "--reason", "demo")
    done = fabric.cli(*words)
    if done.returncode != 0:
        raise AssertionError(f"remora {' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
    print(done.stdout, end="", file=sys.stderr)
    return time.monotonic()


def _traffic(
    before: Sequence[load.Record], records: Sequence[load.Record], answered: float
) -> dict[str, Any]:
    later = [record for record in records if record.at > answered]
    kept = {r.port for r in later if r.kind == "download" and r.real == DRAINED and not r.error}
    failed = load.failures(records)
    return {
        "requests": sum(record.kind == "request" for record in records),
        "datagrams": sum(record.kind == "datagram" for record in records),
        "failures": len(failed),
        "first_failures": [record._asdict() for record in failed[:10]],
        "requests_per_real_before": load.per_real(before),
        "requests_per_real_after": load.per_real(later),
        "drained_real": DRAINED,
        "flows_before_drain": len(
            {r.port for r in before if r.kind == "download" and r.real == DRAINED}
        ),
        "flows_kept_over_drain": len(kept),
        "flow_bytes_compared": sum(
            max(r.bytes for r in records if r.kind == "download" and r.port == port)
            for port in kept
        ),
        "new_connections_to_drained_real": load.per_real(later)[DRAINED],
    }


def _node(fabric: Fabric, name: str) -> dict[str, Any]:
    seen = fabric.look(name)
    return {
        "rx_packets": seen.node.rx_packets,
        "tx_packets": seen.node.tx_packets,
        "drop_packets": seen.node.drop_packets,
        "rx_packets_per_cpu": list(seen.cpu.rx_packets),
        "tx_packets_per_cpu": list(seen.cpu.tx_packets),
        "ring_digest": seen.node.ring_digest,
        "rss_bytes": seen.node.rss_bytes,
    }


def _bgp(fabric: Fabric) -> dict[str, Any]:
    return {
        "sessions": fabric.sessions(),
        "routes": {vip: sorted(fabric.routes(vip)) for vip in (t.WEB, t.ECHO)},
    }


def _conclude(seen: dict[str, Any], path: Path | None) -> int:
    problems = _problems(seen)
    text = json.dumps(seen | {"problems": problems}, indent=1)
    if path is None:
        print(text)
    else:
        path.write_text(text + "\n")
    for problem in problems:
        _fail(problem, 1)
    if not problems:
        print(_in_short(seen), file=sys.stderr)
    return 1 if problems else 0


def _problems(seen: dict[str, Any]) -> list[str]:
    """What was seen that must not be, or not seen that must be."""
    found = []
    if seen["failures"]:
        found.append(f"{seen['failures']} requests, datagrams or downloads failed")
    if seen["new_connections_to_drained_real"]:
        found.append(f"{seen['new_connections_to_drained_real']} new connections to a drained real")
    if not seen["flows_before_drain"] or seen["flows_kept_over_drain"] < seen["flows_before_drain"]:
        kept, had = seen["flows_kept_over_drain"], seen["flows_before_drain"]
        found.append(f"{kept} of {had} connections on the drained real went on")
    if not all(seen["requests_per_real_before"].values()):
        found.append("a real got no request before the drain")
    if not any(seen["requests_per_real_after"].values()):
        found.append("no request was answered after the drain")
    return found


def _in_short(seen: dict[str, Any]) -> str:
    per_node = ", ".join(f"{name} {n['tx_packets']}" for name, n in seen["nodes"].items())
    return (
        f"demo: ok: {seen['requests']} requests and {seen['datagrams']} datagrams, 0 failed; "
        f"{seen['drained_real']} drained: {seen['flows_kept_over_drain']} connections kept, "
        f"{seen['new_connections_to_drained_real']} new; packets {per_node}"
    )


if __name__ == "__main__":
    sys.exit(main())
