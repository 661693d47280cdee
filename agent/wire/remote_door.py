# SPDX-License-Identifier: Apache-2.0
"""The door on TCP, as `[wire]` lists it: opened, closed, and opened anew when its keys change.

Declared, like all else: `listen` compares with what there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.boundary import EffectError
from agent.config.tree import Wire
from agent.wire import doors
from shared import curve
from shared.grants import AccessError
from shared.keyring import Keyring
from shared.model import is_loopback

if TYPE_CHECKING:
    from zmq.auth.asyncio import AsyncioAuthenticator

log = logging.getLogger("remora.server")

REREAD_KEYS = 1.0
"""Seconds between two looks at the authorised-keys file."""
GOODBYE = 1.0
"""Seconds for which a door that is replaced stays open: the answer to the reload goes by it."""
PATIENCE = 2.0
"""Seconds that a port may take to become free."""


class Keys(NamedTuple):
    own: curve.Pair
    ring: Keyring


class RemoteDoor:
    """`opened` and `shut` tell the server, which reads and writes its sockets."""

    def __init__(
        self,
        context: doors.Context,
        opened: Callable[[doors.Door], None],
        shut: Callable[[doors.Door], None],
    ) -> None:
        self._context = context
        self._opened, self._shut = opened, shut
        self._wire: Wire | None = None
        self._keys: Keys | None = None
        self._door: doors.Door | None = None
        self._zap: AsyncioAuthenticator | None = None

    @property
    def strangers(self) -> int:
        """Connections that were turned away for their key."""
        return self._keys.ring.strangers if self._keys else 0

    def open(self, wire: Wire) -> None:
        """The first time.  Raises EffectError."""
        keys = _read(wire)
        self._authenticate(keys)
        self._door = self._made(wire, keys)
        self._wire, self._keys = wire, keys
        self._opened(self._door)
        _say(wire, keys)

    async def listen(self, wire: Wire | None) -> None:
        """From now on as this says; None: nowhere.  Raises EffectError."""
        if wire == self._wire:
            return
        keys = _read(wire) if wire else None
        old, self._door = self._door, None
        if old is not None and wire is not None and self._wire and wire.host == self._wire.host:
            self._shut(old)  # the ports may be the same
        elif old is not None:
            asyncio.get_running_loop().call_later(GOODBYE, self._shut, old)
        self._wire, self._keys = None, keys
        if wire is None:
            return
        self._authenticate(keys)
        await self._reopen(wire, PATIENCE)
        self._wire = wire
        _say(wire, keys)

    async def watch_keys(self) -> None:
        """Until cancelled: the file of authorised keys, read again when it changes."""
        while True:
            await asyncio.sleep(REREAD_KEYS)
            if self._keys and self._wire and self._keys.ring.reread() and self._door:
                # Who is connected was let in by the old file: everybody has to knock again.
                self._shut(self._door)
                self._door = None
                await self._reopen(self._wire, float("inf"))

    def close(self) -> None:
        if self._zap is not None:
            self._zap.stop()

    def _authenticate(self, keys: Keys | None) -> None:
        if keys is None:
            return
        if self._zap is None:
            from zmq.auth.asyncio import AsyncioAuthenticator  # noqa: PLC0415  # seldom wanted

            self._zap = AsyncioAuthenticator(self._context)
            self._zap.start()
        self._zap.configure_curve_callback("*", keys.ring)

    def _made(self, wire: Wire, keys: Keys | None) -> doors.Door:
        if keys is None:
            return doors.plain(self._context, wire.listen)
        return doors.keyed(self._context, wire.listen, keys.own, keys.ring)

    async def _reopen(self, wire: Wire, patience: float) -> None:
        until = asyncio.get_running_loop().time() + patience
        while self._door is None:
            try:
                self._door = self._made(wire, self._keys)
            except EffectError as error:  # the old socket may not be gone yet
                log.debug("%s", error)
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.05)
        self._opened(self._door)


def _read(wire: Wire) -> Keys | None:
    if not wire.keyed:
        return None
    try:
        own = curve.read(Path(wire.secret_key))
    except curve.KeyFileError as error:
        raise EffectError(f"wire.secret_key: {error}") from error
    try:
        return Keys(own, Keyring(Path(wire.authorized_keys)))
    except AccessError as error:
        raise EffectError(f"wire.authorized_keys: {error}") from error


def _say(wire: Wire, keys: Keys | None) -> None:
    if keys is not None:
        log.info("listening on tcp=%s public_key=%s", wire.listen, keys.own.public)
    elif is_loopback(wire.host):
        log.warning("listening on tcp=%s without keys: for every user here", wire.listen)
    else:
        log.warning(
            "INSECURE: listening on tcp=%s without keys: ANYBODY who reaches it can steer this "
            "node and read its traffic figures; `remora keys` makes keys",
            wire.listen,
        )
