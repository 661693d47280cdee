# SPDX-License-Identifier: Apache-2.0
"""The app as far as recordings are concerned: telemetry into a file while the console is used."""

from __future__ import annotations

import asyncio

from textual import on

from console import format as fmt
from console.planning.arming import ONLY_LOOKS
from console.tui.files import NotWrittenError, new_file
from console.tui.plans import PlansApp
from console.tui.screens import asks
from console.tui.screens.live import LiveScreen
from console.wire.recorder import Recorder
from shared.messages import Replay


class RecordingApp(PlansApp):
    @on(asks.Recorded)
    def _record(self) -> None:
        self.record()

    def record(self) -> None:
        """Telemetry into a new file from now on, or no more."""
        if self.recorder is not None:
            self._end_recording()
            return
        if self.arming.served:
            self._say(ONLY_LOOKS)
            return
        try:
            self.recorder = new_file(Recorder, "remora", "rec", self._wall())
        except NotWrittenError as error:
            self._say(f"not recorded: {error}", "bad")
            return
        self.source.record(self.recorder.put)
        for address in self.source.addresses:
            self.source.send(address, Replay(0))  # the events that the agents still have
        self._refollow()
        self._say(f"recording to {self.recorder.path}   r ends it", "ok")
        self.draw()

    def _end_recording(self) -> None:
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            self.source.record(None)
            self._refollow()
            self.run_worker(self._finish(recorder))
            self.draw()

    async def _finish(self, recorder: Recorder) -> None:
        """Not while others wait: a disk may be slow."""
        await asyncio.to_thread(recorder.close)
        if recorder.failed is not None:
            self._say(f"recording ended: {recorder.path}: {recorder.failed.strerror}", "bad")
        else:
            size = fmt.si(recorder.written.packed)
            self._say(f"recorded {recorder.written.records} messages, {size}B: {recorder.path}")

    def _refollow(self) -> None:
        if isinstance(self.screen, LiveScreen):
            self._follow(self.screen.TOPICS)

    def _tick(self) -> None:
        super()._tick()
        if self.recorder is not None and self.recorder.failed is not None:
            self._end_recording()
