# SPDX-License-Identifier: Apache-2.0
"""The console on a recording: the same screens, the recording's clock, no plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from console.exits import Exit
from console.model.store import Store
from console.planning import arming
from console.tui import crash
from console.tui.app import RemoraApp
from console.tui.widgets.terminal import Render
from console.wire.playback import Playback, opened
from shared.messages import Replay

FASTEST = 32.0


class ReplayApp(RemoraApp):
    CSS_PATH = RemoraApp.CSS_PATH
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus", "faster(2)", show=False),
        Binding("underscore", "faster(0.5)", show=False),
    ]

    def __init__(self, playback: Playback, **options: Any) -> None:  # noqa: ANN401  # FrameApp's
        super().__init__(
            playback, playback.path.name, clock=playback.clock, wall=playback.wall, **options
        )
        self.playback = playback
        self._speed = 1.0
        self.arming = arming.Arming(never=True)
        self._title()

    def _title(self) -> None:
        pace = "stands" if not self.playback.speed else f"x{self.playback.speed:g}"
        self.mode = f"REPLAY {pace}"

    def _tick(self) -> None:
        self._title()
        super()._tick()

    def to_moment(self, seconds: float) -> None:
        """Everything is read anew: a rate never spans a jump."""
        self.playback.seek(self.playback.wall() + seconds)
        self.store = Store(self.source.addresses)
        self._again()

    def action_faster(self, by: float) -> None:
        self._speed = min(FASTEST, max(1 / FASTEST, self._speed * by))
        self.playback.pace(self._speed)

    def freeze(self) -> None:
        """The recording stands still, or goes on."""
        self.playback.pace(0.0 if self.playback.speed else self._speed)
        self._title()
        self.frame()

    def record(self) -> None:
        self._say("this is a recording already")

    def _again(self) -> None:
        for address in self.source.addresses:
            self.source.send(address, Replay(0))
        self.frame()


def run(
    file: Path, at: float | None, speed: float, render: Render = "diff", *, served: bool = False
) -> int:
    """Until the operator leaves; returns the exit code.  `served`: as of Arming.

    Raises VerbError.
    """
    playback = opened(file)
    playback.seek(playback.first if at is None else at)
    playback.pace(speed)
    app = ReplayApp(playback, render=render)
    app.arming = arming.Arming(never=True, served=served)
    app.run()
    return crash.tell(app.failure) if app.failure else app.return_code or Exit.DONE
