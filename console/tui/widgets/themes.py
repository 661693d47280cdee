# SPDX-License-Identifier: Apache-2.0
"""The console's colours, by name: dark, light, safe for colour-blind eyes, 16 colours.

`safe` uses the palette of Okabe and Ito (2008), which stays distinct under the common colour
deficiencies.  `ansi` leaves every colour to the terminal's own sixteen.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

THEMES = (
    Theme(
        name="remora-dark",
        primary="#4c8dae",
        accent="#e0a458",
        success="#6bbf73",
        warning="#e8c547",
        error="#e4604e",
        foreground="#d8d8d8",
        background="#121417",
        surface="#1c2026",
        panel="#1b2a3a",
        dark=True,
    ),
    Theme(
        name="remora-light",
        primary="#1f5f8b",
        accent="#8a4b08",
        success="#1a6b2a",
        warning="#7a5c00",
        error="#a8201a",
        foreground="#1a1a1a",
        background="#fbfbf8",
        surface="#efefe9",
        panel="#dde6ee",
        dark=False,
    ),
    Theme(
        name="remora-safe",
        primary="#56b4e9",
        accent="#cc79a7",
        success="#56b4e9",
        warning="#f0e442",
        error="#e69f00",
        foreground="#e0e0e0",
        background="#101010",
        surface="#1e1e1e",
        panel="#1d2b36",
        dark=True,
    ),
)
NAMES: Mapping[str, str] = {
    "dark": "remora-dark",
    "light": "remora-light",
    "safe": "remora-safe",
    "ansi": "ansi-dark",
    "ansi-light": "ansi-light",
}
"""What an operator says -> what Textual calls it."""
