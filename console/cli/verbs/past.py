# SPDX-License-Identifier: Apache-2.0
"""Where `--at` comes from: a recording, or the agents' own last hour."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

from console import format as fmt
from console.exits import Exit, VerbError
from console.model.moment import moment
from console.settings import Settings
from console.wire.archive import BEFORE, Archive
from console.wire.client import Client
from console.wire.hour import recalled
from console.wire.playback import LOOKED_AT
from shared import recording
from shared.recording import RecordingError


def from_file(path: Path, at: str | None) -> Archive:
    """Without `at`: its last moment, from which `5m` counts, too.  Raises VerbError."""
    try:
        with path.open("rb") as file:
            places = recording.index(file)
            first, last = places[0].first, places[-1].last
            then = last if at is None else moment(at, last)
            records = list(recording.read(file, then - BEFORE, then))
            addresses = recording.addresses(file, places[:LOOKED_AT])
    except OSError as error:
        raise VerbError(f"{path}: {error.strerror}", Exit.FAILED) from error
    except RecordingError as error:
        raise VerbError(f"{path}: {error}", Exit.FAILED) from error
    if not first <= then <= last + 1:
        raise VerbError(
            f"{path}: {at} is not in it: it goes from {fmt.dated(first)} to {fmt.dated(last)}",
            Exit.FAILED,
        )
    there = dict.fromkeys((*addresses, *(record.address for record in records)))
    return Archive(records, then, tuple(there))


def from_agents(settings: Settings, who: str, arguments: Namespace) -> Archive:
    """Raises VerbError when no agent has anything of that time."""
    then = moment(arguments.at, time.time())
    client = Client(settings.agents, who, trust=settings.trust)
    try:
        past = recalled(client, then - BEFORE, then)
    finally:
        client.close()
    if len(past.silent) == len(client.addresses):
        raise VerbError(
            f"no agent at {', '.join(client.addresses)} tells of its past: is it running, may you "
            "read its sockets?",
            Exit.NO_AGENT,
        )
    if not past.records:
        raise VerbError(
            f"no agent has kept {fmt.dated(then)}: they keep an hour (telemetry.history_mib)",
            Exit.NO_AGENT,
        )
    return Archive(past.records, then, client.addresses)
