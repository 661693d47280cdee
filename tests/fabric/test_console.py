# SPDX-License-Identifier: Apache-2.0
"""The console against the fabric, in a terminal (tmux): a real is drained by its keys."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator

import pytest

from tests.fabric.fabric import REMORA, Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root


class Terminal:
    """A tmux server of its own with one pane of 120x40."""

    def __init__(self, name: str, command: str) -> None:
        self._tmux = ("tmux", "-L", name, "-f", "/dev/null")
        self._run("new-session", "-d", "-x", "120", "-y", "40", command)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, timeout=10
        )
        return done.stdout

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def shows(self, *texts: str, seconds: float = 10) -> str:
        """Wait until all of these are on the screen; the screen."""
        until(
            lambda: all(text in self.screen() for text in texts), seconds, f"{texts} on the screen"
        )
        return self.screen()

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(fabric: Fabric) -> Iterator[Terminal]:
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    terminal = Terminal(fabric.place.name, shlex.join([*REMORA, *addresses]))
    yield terminal
    terminal.close()
