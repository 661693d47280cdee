# SPDX-License-Identifier: Apache-2.0
"""A relay's Prometheus metrics over HTTP: what came, what did not, what was not passed on.

Imported by a relay that was given `--metrics`.  Served by a thread of its own; read only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily

from console.wire.sieve import NOT_KEPT

Sample = tuple[tuple[str, ...], float]
"""Label values in the family's order, and the value."""


class Counted(NamedTuple):
    """Messages so far; agents by their addresses."""

    passed: Mapping[str, int]
    """Of all agents, those too that sent none."""
    dropped: Mapping[tuple[str, str], int]
    """(agent, why)."""
    missed: Mapping[tuple[str, str], int]
    """(agent, topic)."""
    overruns: int
    """Times that the queue for a console was full."""


class Family(NamedTuple):
    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Counted], Iterable[Sample]]


FAMILIES = (
    Family("remora_relay_messages_total", "Telemetry that came from the agent and was passed on.",
           ("agent",), lambda c: [((agent,), n) for agent, n in c.passed.items()]),
    Family("remora_relay_missed_messages_total",
           "Telemetry that the agent sent and that did not come (its numbers have gaps): there was "
           "no connection, or the relay did not keep up.", ("agent", "topic"),
           lambda c: c.missed.items()),
    Family("remora_relay_dropped_messages_total",
           "What came and was not passed on: no telemetry of this wire (frames, topic, version, "
           "size, payload), or more than the relay keeps up with (backlog).", ("agent", "reason"),
           lambda c: [(of, n) for of, n in c.dropped.items() if of[1] != NOT_KEPT]),
    Family("remora_relay_unkept_messages_total",
           "Snapshots that were passed on and are too large to be kept for consoles that subscribe "
           "later.", ("agent",),
           lambda c: [((agent,), n) for (agent, why), n in c.dropped.items() if why == NOT_KEPT]),
    Family("remora_relay_overruns_total",
           "Times that the queue for a console was full (10,000 messages): it lost what came until "
           "it had read some.", (), lambda c: [((), c.overruns)]),
)  # fmt: skip


class Exporter:
    """The HTTP server.  `count` is called in its threads.  Raises OSError when it cannot listen."""

    def __init__(self, host: str, port: int, count: Callable[[], Counted]) -> None:
        self._count = count
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)  # collect() is all that is called
        self._server, self._thread = start_http_server(port, host, registry=registry)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For prometheus_client."""
        return exposed(self._count())

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def exposed(now: Counted) -> Iterator[CounterMetricFamily]:
    for family in FAMILIES:
        made = CounterMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in family.samples(now):
            made.add_metric(labels, value)
        yield made
