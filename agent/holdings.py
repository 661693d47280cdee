# SPDX-License-Identifier: Apache-2.0
"""What the maps and ExaBGP hold, read back: the eyes of readback.py."""

from __future__ import annotations

import asyncio

from agent.bgp.speaker import Speaker
from agent.boundary import EffectError, Held, ReadBack
from agent.core import maglev
from agent.dataplane.maps import DataPlane


async def held(effect: ReadBack, dataplane: DataPlane, speaker: Speaker | None) -> Held:
    """A ring is a quarter MiB: the maps are read by a thread.  Raises nothing: it says so."""
    await asyncio.sleep(effect.after)
    try:
        return await asyncio.to_thread(_held, effect, dataplane, speaker)
    except EffectError as error:
        return Held(effect.id, {}, (), {}, error=str(error))


def _held(effect: ReadBack, dataplane: DataPlane, speaker: Speaker | None) -> Held:
    owned = dataplane.owned()
    return Held(
        effect.id,
        owned.vips,
        owned.reals,
        {
            vip_num: maglev.digest_of(dataplane.rings.current(vip_num), numbers)
            for vip_num, numbers in effect.rings.items()
        },
        routes=speaker.difference() if speaker else "",
    )
