# SPDX-License-Identifier: Apache-2.0
"""The authorised-keys file: read at start and again whenever it changes; asked by ZAP.

A file that is wrong is reported and the keys read before stay in force, at start it is an error.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from shared.grants import AccessError, Grant, Grants, grants

log = logging.getLogger("remora.keys")

LARGEST_FILE = 1 << 20


class Keyring:
    """Raises AccessError when the file cannot be used at start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.strangers = 0
        """Connections that were turned away: their key is not in the file."""
        self.looks = 0
        """How often the file was looked at since."""
        self._stamp: tuple[int, ...] = ()
        self._reported = ""
        self._grants: Grants = {}
        try:
            self._stamp = self._look()
            self._grants = self._read()
        except AccessError as error:
            raise AccessError(f"{path}: {error}") from error
        log.info("authorised keys=%d file=%s", len(self._grants), path)

    def __len__(self) -> int:
        return len(self._grants)

    def grant(self, public_key: str) -> Grant | None:
        return self._grants.get(public_key)

    def callback(self, domain: str, key: bytes) -> bool:
        """pyzmq's credentials provider: may this key connect?"""
        del domain
        known = key.decode("ascii", "replace") in self._grants
        if not known:
            self.strangers += 1
            if self.strangers & (self.strangers - 1) == 0:  # 1, 2, 4, ...: a flood fills no log
                log.warning("stranger turned away key=%s total=%d", key.decode(), self.strangers)
        return known

    def reread(self) -> bool:
        """True when the file changed and a key was taken away or its role changed."""
        self.looks += 1
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            fresh = self._read()
        except AccessError as error:
            if str(error) != self._reported:
                log.error("authorised keys file=%s kept as before: %s", self.path, error)  # noqa: TRY400
            self._reported = str(error)
            return False
        old, self._grants, self._stamp, self._reported = self._grants, fresh, stamp, ""
        log.info("authorised keys=%d file=%s changed", len(fresh), self.path)
        return any(fresh.get(key) != grant for key, grant in old.items())

    def _look(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise AccessError(f"{error.strerror}; write one, even an empty one") from error
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise AccessError("others can write it: chmod go-w")
        if status.st_uid not in (0, os.geteuid()):
            raise AccessError("belongs to another user; chown it to root")
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Grants:
        try:
            with self.path.open(encoding="utf-8") as file:
                return grants(file.read(LARGEST_FILE))
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"cannot be read: {error}") from error
