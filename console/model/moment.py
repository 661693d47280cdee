# SPDX-License-Identifier: Apache-2.0
"""`14:02:30`, `5m` (ago), `2026-11-23T14:02:30` -> a Unix time.  Pure: `now` is an argument."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from console import format as fmt
from console.exits import VerbError

_AGO = re.compile(r"-?(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


LAST_YEAR = 253402300800.0
"""The year 10000: there dates end."""


def moment(text: str, now: float, flag: str = "--at") -> float:
    """A time of day is the last one that is over; in UTC (`--local`: the local zone), as all times
    that are shown, unless an offset is given.  `flag`: where it was typed.  Raises VerbError."""
    try:
        if ago := _AGO.fullmatch(text):
            return _possible(now - float(ago[1]) * _SECONDS[ago[2]])
        if clock := _CLOCK.fullmatch(text):
            hour, minute, second = (int(part or 0) for part in clock.groups())
            today = datetime.fromtimestamp(now, fmt.zone(now))
            wanted = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
            return (wanted if wanted.timestamp() <= now else wanted - timedelta(days=1)).timestamp()
        given = datetime.fromisoformat(text)
        known = given if given.tzinfo else given.replace(tzinfo=fmt.zone(now))
        return _possible(known.timestamp())
    except (ValueError, OverflowError):
        raise VerbError(
            f"{flag} {text}: must be a time such as 14:02:30, 2026-11-23T14:02:30 or 5m (ago)"
        ) from None


def _possible(at: float) -> float:
    """Raises ValueError for a time that can be written nowhere."""
    if not 0 <= at < LAST_YEAR:
        raise ValueError(at)
    return at
