# SPDX-License-Identifier: Apache-2.0
"""A minute of packets per second, one value a second, as a sparkline shows it.  Pure.

A row of five hundred nodes has so many of them to add up at every frame.  So all seconds of a track
are one whole number, a lane of bits each: that adds sixty pairs at once, and is a value that nobody
changes.  A lane counts, too, of how many nodes it is the sum: of fewer than all it is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from console.model.rates import HISTORY_SECONDS

Track = int
"""The newest second in the lowest lane."""
EMPTY: Track = 0
LANE = 10
"""Bytes: eight of thousandths of packets per second, then two of how many have told."""
LATELY, LEAST = 5, 20
"""Seconds of now, and of before at the least, that a trend compares."""
STEADY = 0.05
"""A change by less is none."""
_TOLD = 1 << 64
_MOST = (1 << 48) - 1
"""Thousandths; what is more would run into the next lane as a sum of 65,535 nodes."""
_WHOLE = (1 << 8 * LANE * HISTORY_SECONDS) - 1


def recorded(track: Track, pps: float | None) -> Track:
    """With one second more, the oldest gone."""
    lane = 0 if pps is None else _TOLD | min(_MOST, int(pps * 1000))
    return (track << 8 * LANE | lane) & _WHOLE


def added(tracks: Sequence[Track]) -> list[float | None]:
    """Second by second, oldest first; None: not known of all of them."""
    lanes = sum(tracks).to_bytes(LANE * HISTORY_SECONDS, "little")
    told = len(tracks).to_bytes(2, "little")
    return [
        int.from_bytes(lanes[at : at + 8], "little") / 1000
        if tracks and lanes[at + 8 : at + LANE] == told
        else None
        for at in range(LANE * (HISTORY_SECONDS - 1), -1, -LANE)
    ]


def trend(tracks: Sequence[Track]) -> float | None:
    """By which fraction the last seconds differ from those before; None: not known for so long, or
    there was nothing before."""
    values = added(tracks)
    lately = [value for value in values[-LATELY:] if value is not None]
    before = [value for value in values[:-LATELY] if value is not None]
    if len(lately) < LATELY or len(before) < LEAST or not sum(before):
        return None
    return sum(lately) / len(lately) / (sum(before) / len(before)) - 1
