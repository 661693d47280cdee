# SPDX-License-Identifier: Apache-2.0
"""Keys in their order: none is looked at before what the one before it asked for is there.

Over a slow ssh, or pasted, many keys come at once.  Textual hands each to whatever has the focus at
that moment: of `:arm` the letters would go to the table, as keys, before the command bar is open.
Here a key waits until the one before came back to the app and what it posted was taken.  What is
typed into a field goes there at once; the key behind it waits until the field has told whoever
listens: Tab must not pass over a button that what was typed is about to enable.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from textual.events import Event, Key, Paste
from textual.message_pump import MessagePump
from textual.widgets import Input

from console.tui.widgets.terminal import TerminalApp

PATIENCE = 0.3
"""Seconds after which a key that never came back (a widget took it) holds up nothing any more."""
LONGEST = 5.0
"""Seconds that a field may take to tell: one that is busy does, one that is gone never."""
MOST = 500
"""Keys that wait; the newest of more are dropped: nobody can know what they would do."""


class KeyOrderApp(TerminalApp):
    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # TerminalApp's
        super().__init__(*arguments, **options)
        self._keys: deque[Key] = deque()
        self._under_way: object | None = None
        """A key, or what stands for the time until a field has told."""
        self._typed_into: Input | None = None
        """Something was, and no other key came since."""

    async def on_event(self, event: Event) -> None:
        if not isinstance(event, Key):
            if isinstance(event, Paste) and isinstance(self.focused, Input):
                self._typed_into = self.focused
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
        field = self.focused if isinstance(self.focused, Input) else None
        typed = field is not None and event.is_printable
        if self._typed_into is not None and not typed:
            self._wait_for(self._typed_into, event)
            return
        self._typed_into = field if typed else None
        if field is None:
            self.pressed()
        self._under_way = None if typed else event
        await super().on_event(event)
        if self._under_way is event and not event.is_forwarded:
            await self._done(event)
        elif self._under_way is event:
            self.set_timer(PATIENCE, lambda: self.call_later(self._done, event))

    def _wait_for(self, field: Input, key: Key) -> None:
        """The key is looked at when all that the field posted has been taken, screen included."""
        self._typed_into = None
        self._keys.appendleft(key)
        told = self._under_way = object()
        way: list[MessagePump] = [field, *_above(field), self]

        def on() -> None:
            while way:
                if way.pop(0).call_later(on):  # not of one that is gone
                    return
            self.call_later(self._done, told)

        on()
        self.set_timer(LONGEST, lambda: self.call_later(self._done, told))

    async def _done(self, event: object) -> None:
        if self._under_way is not event:
            return
        self._under_way = None
        while self._keys and self._under_way is None:
            await self._take(self._keys.popleft())


def _above(field: Input) -> list[MessagePump]:
    """The field once more, behind what it says of itself; then all through which that goes up."""
    return [node for node in field.ancestors_with_self if isinstance(node, MessagePump)]
