# SPDX-License-Identifier: Apache-2.0
"""What is given again, goes on elsewhere or ends by itself: on real agents, restarted too."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.model import Admin
from tests.fabric import netns
from tests.fabric import topology as t
from tests.fabric.fabric import REMORA, Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

REAL = t.real("r2")
WHERE = f"real/{REAL.address}@web"


def admin(fabric: Fabric, node: str) -> Admin:
    return fabric.look(node).reals["web", REAL.address].admin


def revisions(fabric: Fabric) -> list[int]:
    return [fabric.look(node).node.revision for node in t.NODES]


def applied(fabric: Fabric, place: Path, text: str) -> str:
    """What `remora apply` of these objects says; it must be content."""
    file = place / "state.toml"
    file.write_text(f'apiVersion = "remora/1"\nkind = "DesiredState"\n[objects."{WHERE}"]\n{text}')
    done = fabric.cli("apply", str(file), "--yes", "--reason", "test")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_k1_the_second_apply_of_a_state_finds_nothing_to_do(fabric: Fabric, tmp_path: Path) -> None:
    """K1: also by an agent that was killed meanwhile and has it from its journal."""
    wanted = 'admin = "draining"\nweight = 50\n'
    try:
        assert f"plan: drain {WHERE}" in applied(fabric, tmp_path, wanted)
        rows = [fabric.look(node).reals["web", REAL.address] for node in t.NODES]
        assert [(row.admin, row.weight) for row in rows] == [(Admin.DRAINING, 50)] * 2
        before = revisions(fabric)
        fabric.agents["lb1"].kill()
        fabric.agents["lb1"].start()
        said = applied(fabric, tmp_path, wanted)
        assert "plan:" not in said
        assert "nothing to do" in said, said
        assert revisions(fabric) == before
    finally:
        applied(fabric, tmp_path, 'admin = "enabled"\nweight = 100\n')


def test_k1_an_idempotency_key_holds_over_a_restart_of_the_agent(fabric: Fabric) -> None:
    """K1: done under the key, taken back by somebody, asked for again under it by a job that was
    tried anew: it was done, and is not done again.  Without the key it is."""
    words = ("drain", WHERE, "--yes", "--reason", "test")
    keyed = (*words, "--idempotency-key", f"job-{fabric.place.name}")
    assert fabric.cli(*keyed).returncode == 0
    assert fabric.cli("undrain", WHERE, "--yes").returncode == 0
    before = revisions(fabric)
    fabric.agents["lb1"].kill()
    fabric.agents["lb1"].start()
    again = fabric.cli(*keyed)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("not again: was applied") == 2, again.stderr
    assert [admin(fabric, node) for node in t.NODES] == [Admin.ENABLED] * 2
    assert revisions(fabric) == before
    other = fabric.cli("weight", WHERE, "50", "--yes", *keyed[-2:])
    assert other.returncode == 4, "the key is another change's"
    assert "was used" in other.stderr + other.stdout
    try:
        assert fabric.cli(*words).returncode == 0
        assert [admin(fabric, node) for node in t.NODES] == [Admin.DRAINING] * 2
    finally:
        assert fabric.cli("undrain", WHERE, "--yes").returncode == 0


@contextmanager
def begun(fabric: Fabric, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`remora WORDS` at work; killed at the end."""
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    with (fabric.place / "begun.log").open("ab") as log:
        process = netns.spawn(t.CLIENT, [*REMORA, *addresses, *words], log=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(40)


def test_an_operation_that_is_resumed_ends_by_itself_on_every_node(fabric: Fabric) -> None:
    """What was begun with --for is held, and resumed by another console: the nodes whose turn comes
    then take it back after that time, too."""
    words = ("drain", WHERE, "--canary", "lb1", "--soak", "60s", "--for", "20s")
    with begun(fabric, *words, "--yes", "--reason", "test"):
        until(lambda: admin(fabric, "lb1") is Admin.DRAINING, 10, "the canary is drained")
        (operation,) = {row.operation for row in fabric.look("lb1").node.rollouts}
        assert fabric.cli("op", "hold", operation).returncode == 0
    assert admin(fabric, "lb2") is Admin.ENABLED
    done = fabric.cli("op", "resume", operation, "--soak", "1s", "--yes")
    assert done.returncode == 0, done.stderr
    assert admin(fabric, "lb2") is Admin.DRAINING
    (row,) = fabric.look("lb2").node.pending
    assert (row.kind, row.operation) == ("expire", operation)
    back = [Admin.ENABLED] * len(t.NODES)
    until(lambda: [admin(fabric, node) for node in t.NODES] == back, 60, "back on every node")
    assert not fabric.look("lb2").node.pending
