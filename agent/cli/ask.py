# SPDX-License-Identifier: Apache-2.0
"""One command to the agent that runs on this machine, and its answer: for `remora-agent reload`.

Consoles have a client of their own; this one knows one agent, over its socket in run_dir.
"""

from __future__ import annotations

import getpass
import os
import time
import uuid
from pathlib import Path

import zmq

from agent.boundary import EffectError
from shared.codec import WireError, answer_of, command_frames
from shared.messages import Action, Answer, Command
from shared.model import endpoints

PATIENCE = 30.0
"""Seconds: a config of 512 VIPs takes two."""


def ask(
    run_dir: Path,
    action: Action,
    *,
    why: str = "",
    dry_run: bool = False,
    allow: tuple[str, ...] = (),
    expect_revision: int | None = None,
    patience: float = PATIENCE,
) -> Answer:
    """Raises EffectError when no agent answers."""
    command = Command(
        id=uuid.uuid4().hex,
        who=f"{os.environ.get('SUDO_USER') or getpass.getuser()}@localhost",
        action=action,
        why=why,
        dry_run=dry_run,
        allow=allow,
        expect_revision=expect_revision,
        sent=time.time(),
    )
    endpoint = endpoints(str(run_dir))[1]
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        socket.send_multipart(command_frames(command))
        if not socket.poll(int(patience * 1000)):
            raise EffectError(
                f"no agent answers at {endpoint.removeprefix('ipc://')}: is it running?"
            )
        try:
            return answer_of(socket.recv_multipart())
        except WireError as error:
            raise EffectError(f"the agent's answer cannot be read: {error}") from error
