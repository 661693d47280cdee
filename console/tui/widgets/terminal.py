# SPDX-License-Identifier: Apache-2.0
"""The app as far as the terminal is concerned: what is written, when not, and when to leave.

Frames go out as differences (`shadow.py`), one write each, and not at all while the terminal does
not read: Textual's writer would block the event loop once its queue is full, and with it keys and
answers.  Uses Textual's private `_display` and writer thread; `--render=stock` passes all by.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import traceback
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.control import Control
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.screen import Screen

from console.exits import Exit
from console.tui.widgets.shadow import Shadow

Render = Literal["diff", "stock"]
MOST_WAITING = 6
"""Writes in the queue from which on frames are passed over; Textual blocks at 30."""
LOOK_AGAIN = 0.25
"""Seconds between looks whether a terminal reads again."""
TTY_CHECK = 2.0
"""Seconds between looks whether the terminal is still there."""
SYNC_START, SYNC_END = "\x1b[?2026h", "\x1b[?2026l"


class TerminalApp(App[None]):
    def __init__(self, *, render: Render = "diff") -> None:
        self.without_colour = bool(os.environ.get("NO_COLOR"))
        """As no-color.org has it: any value but an empty one."""
        if not self.without_colour:
            os.environ.pop("NO_COLOR", None)  # Textual goes by its being there
        # Chosen here, while no theme is known yet, is how colours are left out: otherwise the
        # terminal's own become black on black.
        super().__init__(ansi_color=True if self.without_colour else None)
        self.written = 0
        """Bytes of frames given to the terminal so far (those of `stock` are not counted)."""
        self.held_back = False
        """The terminal does not read: frames are passed over."""
        self.failure = ""
        """What went wrong, without the values of variables; empty: nothing did."""
        self._render = render
        self._shadow = Shadow()
        self._writer: Any = None
        self._pointer = (-1, -1)

    # ---- frames

    def repaint(self) -> None:
        """Everything anew, also what the terminal should have."""
        self._shadow.forget()
        self._pointer = (-1, -1)
        self.refresh(layout=True)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if self._render == "stock" or not isinstance(renderable, CompositorUpdate):
            super()._display(screen, renderable)
            return
        try:
            if not self._batch_count and self._running and not self._closed:
                self._show(renderable)
        except Exception as error:
            self._handle_exception(error)
        finally:
            self.post_display_hook()

    def _show(self, update: CompositorUpdate) -> None:
        driver = self._driver
        if driver is None or driver.is_headless:
            return
        writer = getattr(driver, "_writer_thread", None)
        if writer is not self._writer:
            # Application mode was entered (again): the screen was cleared, or is another one.
            if self._writer is not None:
                self.call_later(self.refresh)
            self._writer = writer
            self._shadow.forget()
        if self.held_back or self._waiting() >= MOST_WAITING:
            self._hold_back()
            return
        text = self._shadow.difference(update, self.console)
        if text is None:
            text = update.render_segments(self.console)
            self._shadow.forget()
        text += self._move_pointer(moved=bool(text))
        if text:
            self.written += len(text.encode())
            driver.write(f"{SYNC_START}{text}{SYNC_END}" if self._sync_available else text)

    def _move_pointer(self, *, moved: bool) -> str:
        """Where an input method opens its window; the pointer itself is hidden."""
        x, y = self.screen.outer_size.clamp_offset(self.cursor_position)
        if not moved and self._pointer == (x, y):
            return ""
        self._pointer = (x, y)
        return Control.move_to(x, y).segment.text

    # ---- a terminal that does not read

    def _waiting(self) -> int:
        return self._writer._queue.qsize() if self._writer is not None else 0

    def _hold_back(self) -> None:
        if not self.held_back:
            self.held_back = True
            self.set_timer(LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        if self._waiting():
            self.set_timer(LOOK_AGAIN, self._look_again)
            return
        # What was passed over is found by comparing the whole screen with what was written.
        self.held_back = False
        self.refresh()

    # ---- a terminal that was away, or is gone

    def on_resize(self) -> None:
        self._shadow.forget()

    def watch_terminal(self) -> None:
        """Leaves when the terminal is gone; to be called once the app runs on one."""
        driver: Any = self._driver
        if not hasattr(driver, "_sigcont_application"):
            return
        self._make_blocking()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        if os.isatty(driver.fileno):
            self.set_interval(TTY_CHECK, self._check_tty)

    def _check_tty(self) -> None:
        driver: Any = self._driver
        if not os.isatty(driver.fileno):
            # Reading from a terminal that hung up returns at once: staying would eat a processor.
            self.exit(return_code=Exit.FAILED)
        elif self._make_blocking():
            self.repaint()

    def _make_blocking(self) -> bool:
        """True when another program on this terminal had made it non-blocking.

        Then what its buffer does not take is lost without an error.
        """
        driver: Any = self._driver
        output = driver._file.fileno()
        if os.get_blocking(output):
            return False
        os.set_blocking(output, True)
        return True

    def _terminate(self) -> None:
        # A second one ends the process, should the terminal take no goodbye.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        self.exit(return_code=Exit.INTERRUPTED)

    def _continued(self) -> None:
        driver: Any = self._driver
        if driver._must_signal_resume:
            driver._sigcont_application()
        else:
            # Stopped without notice (kill -STOP): Textual would set the terminal up a second time.
            self.repaint()

    # ---- failures

    def _handle_exception(self, error: Exception) -> None:
        """As Textual's, but the terminal gets no page of local variables: `run` tells."""
        self.failure = self.failure or "".join(traceback.format_exception(error))
        self._return_code = Exit.FAILED
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    def panic(self, *renderables: RenderableType) -> None:
        """Textual's input thread ends so."""
        page = io.StringIO()
        Console(file=page, width=120, color_system=None).print(*renderables)
        self.failure = self.failure or page.getvalue()
        self._return_code = Exit.FAILED
        self._close_messages_no_wait()
