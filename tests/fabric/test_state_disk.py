# SPDX-License-Identifier: Apache-2.0
"""K1, K5: a state disk that hangs (a frozen file system) costs changes, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.model import Health
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

NODE = "lb1"
REAL = t.real("r1")


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def file_system_of_its_own(state: Path, image: Path) -> Iterator[None]:
    """The state directory on an ext4 in a file, with what was there."""
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", str(image))
    before = state.with_name("before")
    shutil.copytree(state, before)
    run("mount", "-o", "loop", str(image), str(state))
    shutil.copytree(before, state, dirs_exist_ok=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", str(state)], check=False, capture_output=True)


def test_a_frozen_state_disk_refuses_changes_and_the_rest_goes_on(
    fabric: Fabric, tmp_path: Path
) -> None:
    agent = fabric.agents[NODE]
    state = agent.run_dir / "state"
    agent.stop()
    with file_system_of_its_own(state, tmp_path / "image"):
        agent.start()
        fabric.await_routes()
        where = f"real/{REAL.address}@web"
        words = ("drain", where, "--node", NODE, "--yes")
        pid = agent.pid
        journal = state / "journal.jsonl"
        before = journal.read_text().count(f"drain {where}")  # others had their turn here
        run("fsfreeze", "-f", str(state))

        refused = fabric.cli(*words)
        assert refused.returncode != 0
        assert "has not answered for 3 s; nothing was changed" in refused.stderr, refused.stderr
        assert fabric.look(NODE).node.disk_silent >= 3
        assert "the disk of its state directory does not answer" in fabric.cli("status").stdout
        fabric.stop_service(REAL.name)
        try:
            until(
                lambda: fabric.look(NODE).reals["web", REAL.address].health is Health.DOWN,
                20,
                "a real that fails goes down all the same",
            )
        finally:
            fabric.start_service(REAL.name)
        assert (agent.alive, agent.pid) == (True, pid)

        run("fsfreeze", "-u", str(state))
        until(lambda: not fabric.look(NODE).node.disk_silent, 20, "the disk answers again")
        assert journal.read_text().count(f"drain {where}") == before, "it was taken back"
        done = fabric.cli(*words)
        assert done.returncode == 0, done.stderr
        assert fabric.cli("undrain", where, "--node", NODE, "--yes").returncode == 0
        assert fabric.cli("audit", "--verify").returncode == 0
