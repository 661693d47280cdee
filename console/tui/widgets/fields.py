# SPDX-License-Identifier: Apache-2.0
"""Keys that every dialog has."""

from __future__ import annotations

from typing import Any

from textual.binding import Binding

# At once, before the keys behind them: over a slow link they come together, and what was typed
# after Tab would still go to the field that is being left.
DIALOG_KEYS: list[Any] = [
    Binding("escape", "dismiss", "close"),
    Binding("tab", "app.focus_next", priority=True),
    Binding("shift+tab", "app.focus_previous", priority=True),
]
