# SPDX-License-Identifier: Apache-2.0
"""Numbers -> the few characters an operator reads.  Pure; the same words on screen and in the CLI.

`None` is *unknown* everywhere and is written `-`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NamedTuple

UNKNOWN = "-"
_BLOCKS = "▁▂▃▄▅▆▇█"
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
Units = Literal["si", "iec", "raw"]


class Style(NamedTuple):
    """What the operator chose, for all that is written."""

    units: Units = "si"
    offset: Callable[[float], float] | None = None
    """Unix time -> seconds that the zone of shown and typed times is ahead of UTC; None: UTC."""


_style = Style()


def write_in(style: Style) -> None:
    """From now on; for who starts the program."""
    global _style  # noqa: PLW0603  # one choice per process, not an argument of every cell
    _style = style


def shown(text: str) -> str:
    """Text of an agent or another operator as one may give it to a terminal, in one line: what
    would steer the terminal, or turn round how the line reads, is `?`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def si(value: float | None) -> str:
    """Three significant digits and a decimal prefix, at most five characters: `1.31M`, `21.4k`.
    In other units (`--units`): `1.25Mi` of powers of 1024, or the plain number `1312345`."""
    if value is None:
        return UNKNOWN
    if _style.units == "raw":
        return f"{value:.0f}" if value == int(value) or abs(value) >= 99.95 else f"{value:.1f}"
    base = 1024 if _style.units == "iec" else 1000
    size, prefix = abs(value), 0
    while size >= base - 0.5 and prefix < len(_PREFIXES) - 1:
        size, prefix = size / base, prefix + 1
    sign = "-" if value < 0 else ""
    letter = _PREFIXES[prefix]
    unit = f"{letter.upper()}i" if base == 1024 and letter else letter
    return f"{sign}{_three_digits(size, whole=prefix == 0 and value == int(value))}{unit}"


def _three_digits(size: float, *, whole: bool) -> str:
    if whole or size >= 99.95:
        return f"{size:.0f}"
    return f"{size:.1f}" if size >= 9.995 else f"{size:.2f}"


def bits(bytes_per_second: float | None) -> str:
    """`8.05M`: bits per second of a rate in bytes."""
    return si(None if bytes_per_second is None else bytes_per_second * 8)


def percent(fraction: float | None, *, digits: int = 1) -> str:
    """`33.4%`; a little is not nothing (`<0.1%`), and nearly all is not all (`>99.9%`)."""
    if fraction is None:
        return UNKNOWN
    least = 10.0**-digits
    if 1e-9 < fraction * 100 < least / 2:  # not what floats make of nothing, or of all
        return f"<{least:.{digits}f}%"
    if 100 - least / 2 <= fraction * 100 < 100 - 1e-9:
        return f">{100 - least:.{digits}f}%"
    return f"{fraction * 100:.{digits}f}%"


def change(fraction: float | None, steady: float) -> str:
    """`↑12%`, `↓8%`; `=` for less than `steady`."""
    if fraction is None:
        return UNKNOWN
    if abs(fraction) < steady:
        return "="
    return f"{'↑' if fraction > 0 else '↓'}{min(999, abs(fraction) * 100):.0f}%"


def count(value: int | None) -> str:
    """A whole number with thin groups, for plans: `65 537`."""
    if value is None:
        return UNKNOWN
    return f"{value}" if _style.units == "raw" else f"{value:,}".replace(",", " ")


def age(seconds: float | None) -> str:
    """Whole units only, so that a live row does not change at every frame: `0s`, `14s`, `9d`."""
    if seconds is None:
        return UNKNOWN
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def milliseconds(value: float | None) -> str:
    """`0.4`, `3.1`, `250`."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def clock(unix: float, *, digits: int = 0) -> str:
    """`14:03:22` (with hundredths: `14:03:22.07`), in UTC unless `--local` says otherwise."""
    hundredths = int((unix + offset(unix)) * 100)
    seconds = hundredths // 100 % 86400
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{hundredths % 100:02}" if digits else text


def stamp(unix: float, *, digits: int = 0) -> str:
    """A clock that says of which zone it is: `14:03:22Z`, `15:03:22+01:00`."""
    return clock(unix, digits=digits) + _zone_mark(unix)


def dated(unix: float) -> str:
    """`2026-11-23 14:03:22Z`."""
    return f"{datetime.fromtimestamp(unix, zone(unix)):%Y-%m-%d %H:%M:%S}{_zone_mark(unix)}"


def offset(unix: float) -> float:
    """Seconds that shown and typed times are ahead of UTC then."""
    return _style.offset(unix) if _style.offset else 0.0


def zone(unix: float) -> timezone:
    return timezone(timedelta(seconds=offset(unix))) if _style.offset else UTC


def _zone_mark(unix: float) -> str:
    if _style.offset is None:
        return "Z"
    ahead = int(offset(unix)) // 60
    return f"{'-' if ahead < 0 else '+'}{abs(ahead) // 60:02}:{abs(ahead) % 60:02}"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` characters; what is cut ends in `…` so that nobody takes it for the whole."""
    if len(text) > width:
        text = text[: max(0, width - 1)] + "…" if width else ""
    return text.rjust(width) if right else text.ljust(width)


def sparkline(values: Sequence[float | None], width: int, span: int) -> str:
    """The newest `span` values in `width` blocks (at most `span`), newest at the right.

    A block is the mean of its part of the span, scaled from 0 to the largest; unknown is a space.
    """
    newest = [None] * (span - len(values)) + list(values[-span:])
    bounds = [i * span // width for i in range(width + 1)] if width else []
    parts = [_mean(newest[a:b]) for a, b in itertools.pairwise(bounds)]
    top = max((part for part in parts if part is not None), default=0.0)
    return "".join(_block(part, top) for part in parts)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _block(value: float | None, top: float) -> str:
    if value is None:
        return " "
    if top <= 0 or value <= 0:
        return _BLOCKS[0]
    return _BLOCKS[min(7, int(value / top * 8))]


def bar(fraction: float | None, width: int) -> str:
    """A share as a bar of `width` cells."""
    if fraction is None:
        return " " * width
    filled = round(min(1.0, max(0.0, fraction)) * width)
    return "█" * filled + "░" * (width - filled)
