# SPDX-License-Identifier: Apache-2.0
"""Themes, signs, moved keys and the band of a context."""

from __future__ import annotations

import pytest

from console.tui.appearance import THEMES, Appearance, read
from tests.tui.test_screens import Compare, keys, mixed, painted, plain


@pytest.mark.parametrize("theme", THEMES)
def test_theme(snap_compare: Compare, theme: str) -> None:
    app = mixed()
    app.appearance = Appearance(theme=theme, colour="red")
    assert snap_compare(app, terminal_size=(80, 24), run_before=keys())


@pytest.mark.parametrize("pressed", [(), ("3", "enter"), ("5",), ("question_mark",)])
def test_ascii_has_nothing_else(snap_compare: Compare, pressed: tuple[str, ...]) -> None:
    app = mixed()
    app.appearance = Appearance(ascii="on")
    assert snap_compare(app, terminal_size=(80, 24), run_before=keys(*pressed))


async def test_every_sign_of_the_screen_is_ascii() -> None:
    """What a terminal without Unicode gets, line by line."""
    app = mixed()
    app.appearance = Appearance(ascii="on")
    async with app.run_test(size=(140, 40)) as pilot:
        for key in ("1", "3", "4", "5", "6", "8", "9"):
            await keys(key)(pilot)
            for widget in app.screen.query("Painted"):
                for y in range(widget.size.height):
                    text = widget.render_line(y).text
                    assert text.isascii(), (key, text)


async def test_moved_keys_are_the_keys_and_what_is_said_of_them() -> None:
    app = plain()
    app.appearance = read({"keys": {"freeze": "x", "vips": "b"}})
    async with app.run_test(size=(140, 40)) as pilot:
        await keys("b")(pilot)
        assert painted(app, "#crumb").startswith(" VIPs")
        await keys("3")(pilot)
        assert "x pause" in painted(app, "#keys")
        await keys("x")(pilot)
        assert "FROZEN" in painted(app, "#header")


async def test_themes_change_by_command() -> None:
    app = plain()
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("colon", *"theme light", "enter")(pilot)
        assert app.theme == "remora-light"
        await keys("colon", *"theme pink", "enter")(pilot)
        assert "one of dark" in painted(app, "#message")
