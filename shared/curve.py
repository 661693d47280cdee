# SPDX-License-Identifier: Apache-2.0
"""CURVE key pairs: made, kept in files, put on sockets.  Decides nothing about who may do what.

A key is 32 bytes in Z85, 40 characters (ZeroMQ RFC 26 and 32).  A secret key file holds one line,
`remora-secret KEY`; it must belong to its reader or root and be closed to everybody else.  The
public half follows from it and is written beside it as FILE.pub, for people to copy.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import zmq

_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_LINE = "remora-secret "


class KeyFileError(ValueError):
    """A key file cannot be used; the text names it and says what to do."""


class Pair(NamedTuple):
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"Pair(public={self.public!r})"  # secrets must not end in a log


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def make() -> Pair:
    public, secret = zmq.curve_keypair()
    return Pair(public.decode(), secret.decode())


def public_of(secret: str) -> str:
    return zmq.curve_public(secret.encode()).decode()


def write(path: Path, pair: Pair) -> None:
    """Makes FILE (mode 600) and FILE.pub.  Raises KeyFileError; an existing key is left alone."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(f"{_LINE}{pair.secret}\n")
        public_path(path).write_text(f"{pair.public}\n")
    except FileExistsError:
        raise KeyFileError(
            f"{path}: is there already and is left alone; give another name"
        ) from None
    except OSError as error:
        raise KeyFileError(f"{error.filename}: {error.strerror}") from error


def public_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def read(path: Path) -> Pair:
    """The pair of a secret key file.  Raises KeyFileError."""
    try:
        with path.open() as file:
            status = os.fstat(file.fileno())
            text = file.read(1000)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise KeyFileError(f"{path}: {why}; `remora keys {path}` makes a key") from error
    if status.st_mode & 0o077:
        raise KeyFileError(f"{path}: others can read this secret key; chmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        raise KeyFileError(f"{path}: belongs to another user; chown it to the one who uses it")
    secret = text.strip().removeprefix(_LINE)
    if not text.startswith(_LINE) or not is_key(secret):
        raise KeyFileError(f"{path}: not a secret key; `remora keys NEW-FILE` makes one")
    return Pair(public_of(secret), secret)


def serve(socket: zmq.Socket[Any], own: Pair) -> None:
    """To be done before bind: only who knows the public key gets a handshake, ZAP says who."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret.encode())


def call(socket: zmq.Socket[Any], own: Pair, server: str) -> None:
    """To be done before connect: only the owner of the server's public key can answer."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret.encode())


def user_id(frame: zmq.Frame) -> str:
    """The proven public key of who sent it; empty where nobody did (a subscription of one that is
    gone is taken back by ZeroMQ itself)."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
