# SPDX-License-Identifier: Apache-2.0
"""Which key this console has and which keys it expects of agents.  Reads files, nothing else.

`known_agents` has one agent a line, `HOST:PORT PUBLIC-KEY`; `*` stands for every agent that is not
listed.  An agent on TCP without a known key is not spoken to, except on a loopback address or when
the operator says `insecure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shared import curve
from shared.model import AddressError, host_and_port, host_port, is_loopback


class TrustError(ValueError):
    """An agent cannot be spoken to safely, or a file of keys is wrong; the text says what to do."""


class Trust(NamedTuple):
    own: curve.Pair | None = None
    known: Mapping[str, str] = {}
    """`tcp://HOST:PORT` or `*` -> public key."""
    insecure: bool = False

    def key_of(self, address: str) -> str | None:
        """The public key to expect; None: none is needed.  Raises TrustError."""
        if not address.startswith("tcp://"):
            return None
        host, port = host_and_port(address.removeprefix("tcp://"))
        key = self.known.get(f"tcp://{host_port(host, port)}") or self.known.get("*")
        if key is None and not self.insecure and not is_loopback(host):
            raise TrustError(
                f"{address}: its public key is not known; add a line `{host_port(host, port)} "
                "PUBLIC-KEY` to known_agents (the key stands in the agent's log and FILE.pub)"
            )
        if key is not None and self.own is None:
            raise TrustError(
                f"{address}: needs a key of your own; `remora keys FILE` makes one, "
                'key = "FILE" in the config file names it'
            )
        return key


def read(own: Path | None, known: Path | None, *, insecure: bool) -> Trust:
    """Raises TrustError."""
    try:
        pair = curve.read(own) if own else None
    except curve.KeyFileError as error:
        raise TrustError(str(error)) from error
    return Trust(pair, _known(known) if known else {}, insecure)


def _known(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrustError(f"{path}: {error}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        try:
            place, key = words
            address = place if place == "*" else f"tcp://{host_port(*host_and_port(place))}"
        except (ValueError, AddressError):
            address, key = "", ""
        if not curve.is_key(key):
            raise TrustError(f"{path}: line {number}: must be HOST:PORT PUBLIC-KEY")
        found[address] = key
    return found
