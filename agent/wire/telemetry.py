# SPDX-License-Identifier: Apache-2.0
"""What the agent tells the world: snapshots at their rate, events as they come, both over ZeroMQ.

Reads the event ring, keeps the last events for those who missed some, and decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.boundary import Counted, StartTrace
from agent.config.tree import Config, Metrics
from agent.core.state import NodeState
from agent.dataplane import abi
from agent.dataplane.events import EVENT, EventRing
from agent.dataplane.maps import DataPlane
from agent.dataplane.tunnel import Tunnel
from agent.records.history import History, history_path
from agent.records.state_disk import StateDisk
from agent.wire import labelling
from agent.wire.drop_feed import drop_events
from agent.wire.kept import Kept
from agent.wire.pace import EVERY, TOPICS, Pace
from agent.wire.readings import Readings
from agent.wire.server import Server
from agent.wire.snapshot import DiskHealth, Origin, Snapshots
from agent.wire.trace_feed import Feed, Names, names_of
from shared.codec import Encoded
from shared.messages import Event, EventBody, LabelSnapshot, LostEvent
from shared.recording import Record
from shared.version import VERSION

if TYPE_CHECKING:
    from agent.wire.eventlog import EventLog
    from agent.wire.metrics import Exporter

log = logging.getLogger("remora")

DRAIN_EVERY = 0.1
"""Seconds between two looks into the event ring; the data plane never wakes us (it costs 6 us)."""
LOOK_EVERY = 1.0
"""Seconds, at the least, between two counts of the flows, and between two snapshots that the
history keeps: what takes milliseconds does not become dear when snapshots come more often."""
_NOTHING: NDArray[Any] = np.empty(0, EVENT)


class Telemetry:
    """The node's voice.  publish() and drain() run until they are cancelled."""

    def __init__(
        self,
        state: NodeState,
        dataplane: DataPlane,
        ring: EventRing,
        server: Server,
        *,
        tunnel: Tunnel,
        tell: Callable[[Counted], None],
        disk: StateDisk,
        disk_health: Callable[[], DiskHealth],
    ) -> None:
        """`disk`: for the last hour."""
        self._state = state
        self._dataplane = dataplane
        self._ring = ring
        self._server = server
        self._tell = tell
        settings = state.listed.telemetry
        self._metrics = state.listed.metrics
        self._exporter = _exporter(self._metrics)
        self._event_log = ""
        self._log: EventLog | None = None
        place = history_path(state.listed.node.state_dir)
        self.history = History(place, settings.history_mib << 20)
        self._disk = disk
        self._kept = Kept()
        self._next_event = 0
        self._pace = Pace()
        self._feed: Feed | None = None
        self._next_packets = 0
        self._draining = asyncio.Lock()
        self._snapshots = Snapshots(
            Origin(dataplane.counters.boot, VERSION, time.monotonic(), dataplane.program_tag)
        )
        self._labelled = state.listed
        """The config whose labels were said last."""
        self._readings = Readings(state, dataplane, tunnel, disk_health, lambda: server.overruns)
        self._look_at = 0.0
        self._began = 0.0
        """When the first snapshots were made; monotonic seconds."""

    async def start(self) -> None:
        """Before the first event.  Raises EffectError."""
        await self._log_to(self._state.listed.telemetry.event_log)

    async def configure(self, listed: Config) -> None:
        """The tables `telemetry` and `metrics`; what is as it was goes on.  Raises EffectError."""
        self.history.limit = listed.telemetry.history_mib << 20
        await self._log_to(listed.telemetry.event_log)
        if listed.metrics != self._metrics:
            old, self._exporter, self._metrics = self._exporter, None, None
            if old:  # first: the new address may contain the old one
                await asyncio.to_thread(old.close)
            self._exporter = _exporter(listed.metrics)
            self._metrics = listed.metrics
            if self._exporter:
                self._exporter.show(self._make(TOPICS))

    async def close(self) -> None:
        await self._drain()
        if self._exporter:
            await asyncio.to_thread(self._exporter.close)
        self._ring.close()
        self._write_history()
        if self._log:
            await self._log.close()

    # ---- snapshots

    async def publish(self) -> None:
        self._began = time.monotonic()
        while True:
            self._publish_due(time.monotonic())
            rates = self._state.listed.telemetry.rates
            await asyncio.sleep(self._rest(time.monotonic(), rates))

    def _publish_due(self, now: float) -> None:
        settings = self._state.listed.telemetry
        kept = now >= self._look_at
        if kept:
            self._look_at = max(self._look_at, now - LOOK_EVERY / 2) + LOOK_EVERY
            self._look_again()
        if self._state.listed is not self._labelled:
            self._labelled = self._state.listed
            self._pace.hasten("label")
        due = self._pace.take(now, settings.rates)
        everything = self._exporter or (kept and settings.history_mib)
        made = self._make({*EVERY, *due} if everything else due & self._server.wanted)
        if self._exporter:
            self._exporter.show(made)
        self._send([frames for frames in made if frames[0].decode() in due], now)
        if kept:
            self._keep(made)

    def _send(self, due: list[list[bytes]], now: float) -> None:
        for frames in due:
            self._pace.cost(frames[0].decode(), sum(map(len, frames)), now)
        self._server.send(due)

    def _rest(self, now: float, rates: Mapping[str, float]) -> float:
        """Until a topic is due, or it is time to look though none is."""
        return min(self._pace.wait(now, rates), max(0.0, self._look_at + LOOK_EVERY / 2 - now))

    def _look_again(self) -> None:
        counted = self._readings.look()
        if counted is not None:
            self._tell(counted)

    def snapshots(self) -> tuple[Encoded, ...]:
        """One of every topic, as of now, as it would be published: a part of an answer."""
        self._look_again()
        return tuple(Encoded(payload) for *_, payload in self._make(EVERY))

    def labels(self) -> LabelSnapshot:
        """As of now."""
        return labelling.snapshot(self._state.listed, self._head(self._pace.sequences["label"]))

    def _make(self, topics: Collection[str]) -> list[list[bytes]]:
        if not topics:
            return []
        return self._snapshots.published(
            self._state, self._readings.now(), self._pace.sequences, topics
        )

    # ---- events

    async def drain(self) -> None:
        """The data plane's events, by a timer."""
        while True:
            await self._drain()
            # With the snapshots, if they come as often: waking up is dearer than the look.
            await asyncio.sleep(DRAIN_EVERY - (time.monotonic() - self._began) % DRAIN_EVERY)

    async def _drain(self) -> None:
        async with self._draining:
            await self._tell_records()

    async def _tell_records(self) -> None:
        ended = self._feed.ending if self._feed else ""  # first: all of it is in the ring by now
        records = self._ring.drain()
        if records is None:
            if self._feed is None:
                return  # nine times in ten
            records = _NOTHING
        drops = records[records["kind"] == abi.EVENT_CONCLUSION]
        if len(drops):
            names = {vip.vip_num: name for name, vip in self._state.vips.items()}
            for body in drop_events(drops, names):
                await self.emit(body)
        await self._tell_packets(records[records["kind"] != abi.EVENT_CONCLUSION], ended)

    async def emit(self, body: EventBody) -> None:
        event = self._event(body, self._next_event)
        self._next_event += 1
        self._kept.add(event)
        if self._log:
            self._log.take(event)
        self._keep(self._server.publish(event))

    def _keep(self, sent: list[list[bytes]]) -> None:
        """What was published, into the node's own history."""
        settings = self._state.listed.telemetry
        now, name = time.time(), self._state.listed.node.name
        due = False
        for frames in sent if settings.history_mib else ():
            due = self.history.add(Record(now, name, tuple(frames))) or due
        if due:
            self._write_history()

    def _write_history(self) -> None:
        if not self._disk.later(partial(self.history.write, self.history.take())):
            self.history.let_go()

    async def _log_to(self, place: str) -> None:
        """Raises EffectError, with all as it was."""
        if place == self._event_log:
            return
        before, fresh = self._log, _log(place)
        if fresh:
            await fresh.open()
        self._log, self._event_log = fresh, place
        if before:
            before.end()

    def since(self, sequence: int) -> tuple[Event, ...]:
        """The events from a number on; of what is not kept any more one LostEvent says how many."""
        kept = self._kept.since(sequence, self._next_event)
        if not kept.missing:
            return kept.events
        lost = LostEvent(kept.missing, "older than what the agent keeps")
        found = (*kept.events, self._event(lost, kept.newest_missing))
        return tuple(sorted(found, key=lambda event: event.sequence))

    # ---- trace

    async def _tell_packets(self, records: NDArray[Any], ended: str) -> None:
        """Those that a trace saw.  Without a trace they are what one left behind: nobody's."""
        feed = self._feed
        if feed is None:
            return
        if ended:
            self._feed = None
        message = feed.message(
            records,
            names_of(self._state) if len(records) else Names({}, {}),
            self._head(self._next_packets),
            matched=self._dataplane.counters.traced,
            ended=ended,
        )
        if message is not None:
            self._next_packets += 1
            self._server.publish(message)

    async def start_trace(self, effect: StartTrace) -> None:
        self.stop_trace("another one begins")
        await self._drain()  # what the last one left, before this one is fed
        matched = self._dataplane.counters.traced
        offset = time.time_ns() - time.monotonic_ns()
        self._feed = Feed(effect.trace, offset=offset, matched=matched)
        self._dataplane.start_trace(effect.wanted)

    def stop_trace(self, why: str) -> None:
        """Its last message follows when the ring is looked at next."""
        self._dataplane.stop_trace()
        if self._feed is not None:
            self._feed.ending = self._feed.ending or why

    def _event(self, body: EventBody, sequence: int) -> Event:
        return Event(**self._head(sequence), wall=time.time(), body=body)

    def _head(self, sequence: int) -> dict[str, Any]:
        return {
            "node": self._state.listed.node.name,
            "boot": self._dataplane.counters.boot,
            "sequence": sequence,
            "at": time.monotonic(),
        }


def _log(place: str) -> EventLog | None:
    if not place:
        return None
    from agent.wire.eventlog import EventLog  # noqa: PLC0415  # with the handlers of logging

    return EventLog(place)


def _exporter(listed: Metrics | None) -> Exporter | None:
    if listed is None:
        return None
    from agent.wire.metrics import Exporter  # noqa: PLC0415  # 5 MB for those who want it

    exporter = Exporter(listed)
    log.info("metrics listen=%s", listed.listen)
    return exporter
