# SPDX-License-Identifier: Apache-2.0
"""Keys in their order: none is looked at before what the one before it asked for is there.

Over a slow ssh, or pasted, many keys come at once.  Textual hands each to whatever has the focus at
that moment: of `:arm` the letters would go to the table, as keys, before the command bar is open.
Here a key waits until the one before came back to the app and what it posted was taken.  What is
typed into a field goes there at once.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from textual.events import Event, Key
from textual.widgets import Input

from console.tui.widgets.terminal import TerminalApp

PATIENCE = 0.3
"""Seconds after which a key that never came back (a widget took it) holds up nothing any more."""
MOST = 500
"""Keys that wait; the newest of more are dropped: nobody can know what they would do."""


class KeyOrderApp(TerminalApp):
    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # TerminalApp's
        super().__init__(*arguments, **options)
        self._keys: deque[Key] = deque()
        self._under_way: Key | None = None

    async def on_event(self, event: Event) -> None:
        if not isinstance(event, Key):
            await super().on_event(event)
        elif event.is_forwarded:
            await super().on_event(event)
            # Behind whatever the key made its screen post to the app.
            self.screen.call_later(self.call_later, self._done, event)
        elif self._under_way is not None:
            if len(self._keys) < MOST:
                self._keys.append(event)
        else:
            await self._take(event)

    def pressed(self) -> None:
        """A key that is not typed into a field is about to do what it does."""

    async def _take(self, event: Key) -> None:
        typed = isinstance(self.focused, Input) and event.is_printable
        if not isinstance(self.focused, Input):
            self.pressed()
        self._under_way = None if typed else event
        await super().on_event(event)
        if self._under_way is event and not event.is_forwarded:
            await self._done(event)
        elif self._under_way is event:
            self.set_timer(PATIENCE, lambda: self.call_later(self._done, event))

    async def _done(self, event: Key) -> None:
        if self._under_way is not event:
            return
        self._under_way = None
        while self._keys and self._under_way is None:
            await self._take(self._keys.popleft())
