# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics over HTTP, from the snapshots that were published last.

The only importer of prometheus_client (4.6 MB: imported by an agent that has `[metrics]`).  Served
by a thread that touches nothing but one reference to the bytes that were published, so a slow,
stuck or hostile scraper costs the agent's loop nothing but a share of the interpreter, a
millisecond at a time.  Read only: there is nothing here that a request can change.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.samples import Sample

from agent.boundary import EffectError
from agent.config.tree import Metrics
from agent.wire.exposition import FAMILIES, Family, Seen, seen
from shared.codec import telemetry_of

_PIECE, _YIELD = 128, 0.0005
"""After so many samples the interpreter is the loop's for so many seconds."""


class Exporter:
    """The HTTP server and what it shows.  Raises EffectError when it cannot listen."""

    def __init__(self, listed: Metrics) -> None:
        self._published: Sequence[list[bytes]] = ()
        self._labels: list[bytes] | None = None
        """The frames of those that were published last."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)  # collect() is all that is called
        try:
            self._server, self._thread = start_http_server(
                listed.port, listed.host, registry=registry
            )
        except OSError as error:
            raise EffectError(f"metrics.listen {listed.listen}: {error.strerror}") from error

    @property
    def port(self) -> int:
        """The one that was given, or chosen for 0."""
        return int(self._server.server_port)

    def show(self, published: Sequence[list[bytes]]) -> None:
        """From now on these, the frames of one snapshot of every topic; the last of them may be the
        labels, which come seldom.  Costs an assignment."""
        self._labels = published[-1] if published[-1][0] == b"label" else self._labels
        self._published = published

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client, in the server's thread."""
        published = self._published
        if not published:
            return
        labels = [self._labels] if self._labels and published[-1] is not self._labels else []
        shown = [telemetry_of(frames) for frames in (*published, *labels)]
        now = seen(shown)  # type: ignore[arg-type]
        for family in FAMILIES:
            yield metric(family, now)

    def describe(self) -> list[Metric]:
        """The names, for a scrape that asks for some (`?name[]=...`)."""
        return [_empty(family) for family in FAMILIES]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def metric(family: Family, now: Seen) -> Metric:
    """A family of the table with its samples, which are made as they are written.

    A list of some thousand would bring the garbage collector in, which stops every thread.
    """
    made = _empty(family)
    made.samples = _samples(family, now)  # type: ignore[assignment]  # it is only iterated over
    return made


def _samples(family: Family, now: Seen) -> Iterator[Sample]:
    for i, (labels, value) in enumerate(family.samples(now)):
        if i % _PIECE == 0:
            time.sleep(_YIELD)
        yield Sample(family.name, dict(zip(family.labels, labels, strict=True)), value)


def _empty(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return kind(family.name, family.help, labels=family.labels)
