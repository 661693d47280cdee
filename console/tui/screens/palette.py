# SPDX-License-Identifier: Apache-2.0
"""Ctrl+P: every line that the command bar takes, found by any part of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from console.format import shown
from console.model import objects
from console.tui.keys import KEYS, PLACE
from console.tui.screens.live import LiveScreen

MOST = 200
"""Objects of one kind that are offered; more are found by the command bar's completion."""


class Lines(Provider):
    def _lines(self) -> Iterator[tuple[str, str]]:
        """(line, what it does)."""
        for key in KEYS:
            if key.group == PLACE and key.id != "node":
                yield key.id, key.help
        screen = self.screen
        view = screen.view if isinstance(screen, LiveScreen) else None
        if view is None:
            return
        for kind in ("node", "vip", "real"):
            for name in objects.names(kind, view.agents)[:MOST]:
                yield f"{kind} {name.partition('/')[2]}", "open it"
                if kind != "vip":
                    yield f"drain {name}", "plan"
                    yield f"undrain {name}", "plan"

    async def discover(self) -> Hits:
        for text, means in self._lines():
            yield DiscoveryHit(Content(shown(text)), self._do(text), text, help=means)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for text, means in self._lines():
            score = matcher.match(text)
            if score > 0:
                # Names come from agents: a bracket in one is no markup.
                odd = "[" in text or not text.isprintable()
                found = Content(shown(text)) if odd else matcher.highlight(text)
                yield Hit(score, found, self._do(text), text, help=means)

    def _do(self, text: str) -> partial[None]:
        app: Any = self.app
        return partial(app.do, text)
