# SPDX-License-Identifier: Apache-2.0
"""`record FILE`: every telemetry message of the agents, until Ctrl-C (or SIGTERM) or for --seconds.

Events that were missed are asked for and recorded when they come.
"""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

from console.cli.verbs.ending import ended_as_by_ctrl_c
from console.exits import Exit, VerbError
from console.model.store import Store
from console.settings import Settings
from console.wire.client import Client
from console.wire.recorder import Recorder
from shared.messages import TOPICS, Replay


def record(settings: Settings, who: str, arguments: Namespace) -> int:
    """Exit 0.  Raises VerbError; a file that is there is left alone."""
    path = Path(arguments.file)
    try:
        recorder = Recorder(path)
    except OSError as error:
        raise VerbError(f"{path}: {error.strerror}; give a new file", Exit.FAILED) from error
    try:
        _run(settings, who, recorder, arguments.seconds)
    finally:
        recorder.close()
    if recorder.failed is not None:
        raise VerbError(f"{path}: {recorder.failed.strerror}", Exit.FAILED)
    total = recorder.written
    print(f"{path}: {total.records} messages, {total.frames} bytes in {total.packed}")
    return Exit.DONE if total.records else Exit.NO_AGENT


def _run(settings: Settings, who: str, recorder: Recorder, seconds: float | None) -> None:
    client = Client(
        settings.agents,
        who,
        topics={topic.decode() for topic in TOPICS},
        trust=settings.trust,
        relay=settings.relay,
        tap=recorder.put,
    )
    store = Store(client.addresses)
    until = time.monotonic() + (seconds or float("inf"))
    try:
        with ended_as_by_ctrl_c():
            for address in client.addresses:
                client.send(address, Replay(0))
            while time.monotonic() < until and recorder.failed is None:
                inbox = client.wait(min(0.5, max(0.0, until - time.monotonic())))
                client.ask(store.take(inbox))
                recorder.late(inbox)
    except KeyboardInterrupt:
        pass  # the usual end
    finally:
        client.close()
