# SPDX-License-Identifier: Apache-2.0
"""Latency of a request through the fabric, with and without the balancer, and while rings flip.

`python -m tests.bench.latency [--json]` (root).  One client, one UDP request at a time to the VIP
`echo`; the answer comes from the same process on the same real in every case:

  direct   the router has a route to the real itself: client, router, real
  node     through one node: client, router, node (XDP), router, real
  stores   the same, while the VIP's row number is stored ten times a second, of two rows with the
           same ring that were there before: what the flip itself does, without the agent
  plans    the same, while the node's agent plans ten weight changes a second and makes none
  flips    the same, while it makes them: the VIP's ring is replaced ten times a second

`stores` is compared with `node`, and says what moving to another row costs a request.  `plans` is
what `flips` is compared with: the agent's work takes processor time from the client on a small
machine in both, but to make a change is more work (two rings of milliseconds) than to plan it.  The
cases take turns in short rounds, in an order that changes, so that a drift of the machine hits all
alike.  A quantile is that of a round, the median over the rounds is given; a difference is the
median of those between rounds of the same turn, with its 95 % interval by resampling them
(bootstrap): a round in which the machine did something else does not decide it.  One that holds 0
is no difference that can be measured.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.dataplane import abi, loader
from agent.dataplane.maps import DataPlane
from shared.messages import Weight
from tests.fabric import enclosure, netns, wire
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric

CASES = ("direct", "node", "stores", "plans", "flips")
ROUNDS, SECONDS, UNCOUNTED = 50, 0.3, 20
PER_SECOND = 10.0
QUANTILES = (50, 99, 99.9)
RESAMPLED = 2000
NODE, REAL, OTHER = "lb1", "r1", "r2"


class Client:
    """A socket whose flow the ring gives to REAL."""

    def __init__(self, fabric: Fabric) -> None:
        with netns.inside(t.CLIENT), _through(fabric):
            for _ in range(64):
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._socket.settimeout(2)
                self._socket.connect((t.ECHO, t.ECHO_PORT))
                if self._ask().endswith(REAL.encode()):
                    return
                self._socket.close()
        raise RuntimeError(f"no flow of 64 goes to {REAL}")

    def _ask(self) -> bytes:
        self._socket.send(b"request")
        return self._socket.recv(64)

    def latencies(self) -> NDArray[np.float64]:
        """Microseconds of each request of one round."""
        for _ in range(UNCOUNTED):
            self._ask()
        taken, until = [], time.monotonic() + SECONDS
        while time.monotonic() < until:
            began = time.perf_counter_ns()
            answer = self._ask()
            taken.append(time.perf_counter_ns() - began)
            assert answer.endswith(REAL.encode()), f"the flow left {REAL}: {answer!r}"
        return np.array(taken) / 1000

    def close(self) -> None:
        self._socket.close()


def _through(fabric: Fabric) -> Any:  # noqa: ANN401  # a context manager
    return fabric.only_via(NODE)


@contextmanager
def _directly() -> Iterator[None]:
    route = f"route {{}} {t.ECHO}/32 via {t.real(REAL).address} metric 1"
    netns.ip(route.format("add"), netns=t.ROUTER)
    try:
        yield
    finally:
        netns.ip(route.format("del"), netns=t.ROUTER)


@contextmanager
def _changes(fabric: Fabric, *, dry_run: bool) -> Iterator[list[str]]:
    """Weight changes of another real, ten a second; yields the answers' statuses."""
    ended, answers = threading.Event(), list[str]()
    address, real = fabric.agents[NODE].address, t.real(OTHER).address

    def ask() -> None:
        n, due = 0, time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            n, due = n + 1, due + 1 / PER_SECOND
            action = Weight(real, 100 + n % 2 * 20, vip="echo")
            answers.append(wire.ask(address, action, dry_run=dry_run).status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        ended.set()
        asking.join()


@contextmanager
def _stores(fabric: Fabric) -> Iterator[None]:
    """Ten a second of the echo VIP's row, in turn with a copy of it; as it was afterwards."""
    ended = threading.Event()
    with closing(DataPlane(loader.pins(fabric.place / "bpffs", NODE))) as dataplane:
        vips = dataplane.owned().vips.items()
        vip_num = next(number for key, number in vips if str(key.address) == t.ECHO)
        in_force = dataplane.rings.in_force
        rows = int(in_force[vip_num]), abi.RING_ROWS - 1  # the agent's turn for it comes last
        dataplane.rings.row(rows[1])[:] = dataplane.rings.row(rows[0])

        def store() -> None:
            n = 0
            while not ended.wait(1 / PER_SECOND):
                n += 1
                in_force[vip_num] = rows[n % 2]

        storing = threading.Thread(target=store)
        storing.start()
        try:
            yield
        finally:
            ended.set()
            storing.join()
            in_force[vip_num] = rows[0]


def _round(fabric: Fabric, client: Client, case: str, changes: dict[str, int]) -> NDArray[Any]:
    with ExitStack() as held:
        held.enter_context(_directly() if case == "direct" else _through(fabric))
        answers: list[str] = []
        if case == "stores":
            held.enter_context(_stores(fabric))
        if case in ("plans", "flips"):
            answers = held.enter_context(_changes(fabric, dry_run=case == "plans"))
        found = client.latencies()
    wrong = set(answers) - {"planned" if case == "plans" else "applied", "unchanged"}
    assert not wrong, f"{case}: the agent answered {wrong}"
    changes[case] = changes.get(case, 0) + answers.count("applied")
    return found


def figures(place: Path) -> dict[str, Any]:
    fabric = Fabric(place)
    fabric.build(lambda text: None)
    client = Client(fabric)
    rounds: dict[str, list[NDArray[Any]]] = {case: [] for case in CASES}
    changes: dict[str, int] = {}
    chance = random.Random(1)
    for _ in range(ROUNDS):
        for case in chance.sample(CASES, len(CASES)):
            rounds[case].append(_round(fabric, client, case, changes))
    client.close()
    of = {c: np.array([np.percentile(r, QUANTILES) for r in found]) for c, found in rounds.items()}
    return {
        "requests": {case: sum(map(len, found)) for case, found in rounds.items()},
        "rings_flipped": changes["flips"],
        "us": {case: _named(np.median(found, axis=0)) for case, found in of.items()},
        "node_less_direct_us": _difference(of["node"] - of["direct"]),
        "stores_less_node_us": _difference(of["stores"] - of["node"]),
        "flips_less_plans_us": _difference(of["flips"] - of["plans"]),
        "flips_less_node_us": _difference(of["flips"] - of["node"]),
    }


def _named(found: NDArray[Any]) -> dict[str, float]:
    return {f"p{q:g}": round(float(us), 1) for q, us in zip(QUANTILES, found, strict=True)}


def _difference(pairs: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Of [round, quantile]: the median of the rounds, and between what it is in 95 % of
    resamplings."""
    drawn = np.random.default_rng(1).integers(0, len(pairs), (RESAMPLED, len(pairs)))
    medians = np.median(pairs[drawn], axis=1)
    return {
        "lowest": _named(np.percentile(medians, 2.5, axis=0)),
        "measured": _named(np.median(pairs, axis=0)),
        "highest": _named(np.percentile(medians, 97.5, axis=0)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    place = enclosure.directory()
    if place is None:
        return enclosure.run([sys.executable, "-m", "tests.bench.latency", *sys.argv[1:]])
    print(json.dumps(figures(place), indent=None if options.json else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
