# SPDX-License-Identifier: Apache-2.0
"""Every exit code of the CLI, each from a situation that really is so (docs/console.md)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.exits import Exit
from tests.fabric import topology as t
from tests.fabric.fabric import REMORA, Fabric
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

REAL = f"real/{t.real('r2').address}@web"
SHORT = ("--connect-timeout", "2s")
"""For those that are there: who is stopped does not answer in an hour either."""


def exits(fabric: Fabric, *words: str) -> tuple[int, str, str]:
    done = fabric.cli(*words)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def stopped(fabric: Fabric, *nodes: str) -> Iterator[None]:
    """Agents that are there and answer nothing; the data plane goes on."""
    pids = [fabric.agents[node].pid for node in nodes]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        seen = lambda: exits(fabric, "status")[0] == Exit.DONE  # noqa: E731  # one line says it
        until(seen, 20, "all agents to answer again")


@contextmanager
def background(fabric: Fabric, *words: str) -> Iterator[subprocess.Popen[str]]:
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    # A shell in the background lets its children ignore SIGINT, and they their own.
    heard = ["env", "--default-signal=INT"]
    with subprocess.Popen(
        [*heard, *REMORA, *addresses, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_done_and_done_already(fabric: Fabric) -> None:
    """K1: 0 both times, and the second says so."""
    try:
        assert exits(fabric, "status")[0] == Exit.DONE
        assert exits(fabric, "drain", REAL, "--yes")[0] == Exit.DONE
        code, _, said = exits(fabric, "drain", REAL, "--yes")
        assert (code, said) == (Exit.DONE, f"{REAL}: already drained\n")
    finally:
        assert exits(fabric, "undrain", REAL, "--yes")[0] == Exit.DONE
    code, _, said = exits(fabric, "undrain", REAL, "--yes")
    assert (code, said) == (Exit.DONE, f"{REAL}: already in service\n")


def test_one_node_that_places_flows_otherwise(fabric: Fabric) -> None:
    """1 of `status` and `diff`: nothing failed, something is wrong."""
    try:
        assert exits(fabric, "drain", REAL, "--node", "lb1", "--yes")[0] == Exit.DONE
        assert exits(fabric, "status")[0] == Exit.FAILED
        assert exits(fabric, "diff", "ring", "web")[0] == Exit.FAILED
        assert exits(fabric, "diff", "ring", "echo")[0] == Exit.DONE
    finally:
        assert exits(fabric, "undrain", REAL, "--yes")[0] == Exit.DONE


@pytest.mark.parametrize(
    "words",
    [
        ("drain", REAL),
        ("drain", "real/10.9.9.9@web", "--yes"),
        ("drain", "real", "-l", "rack=nowhere", "--yes"),
        ("get", "real", "--state", "down"),
        ("get", "node", "lb9"),
        ("weight", REAL, "0", "--yes"),
        ("undrain", REAL, "--yes", "--wait=gone"),
        ("drain", REAL, "--sloppy"),
    ],
)
def test_words_that_mean_nothing_change_nothing(fabric: Fabric, words: tuple[str, ...]) -> None:
    """2: never all of them, never none of them in silence."""
    before = [fabric.look(node).node.revision for node in t.NODES]
    code, _, said = exits(fabric, *words)
    assert code == Exit.USAGE
    assert said.startswith("remora")
    assert [fabric.look(node).node.revision for node in t.NODES] == before


def test_a_node_that_does_not_answer(fabric: Fabric) -> None:
    """3: what it does not know is said, in words and in JSON."""
    with stopped(fabric, "lb2"):
        code, out, said = exits(fabric, *SHORT, "get", "real", "-o", "json")
        found = json.loads(out)
        assert (code, found["complete"]) == (Exit.PARTIAL, False)
        assert found["missing"] == [fabric.agents["lb2"].address]
        assert "not in this list" in said
        code, out, said = exits(fabric, *SHORT, "drain", REAL, "--yes")
        assert code == Exit.PARTIAL
        assert "applied 1/2" in out
        assert "lb2: no answer, nothing was sent" in said
        assert exits(fabric, *SHORT, "undrain", REAL, "--yes")[0] == Exit.PARTIAL


def test_a_guard_says_no(fabric: Fabric) -> None:
    """4: by name, on stderr; no node was sent anything."""
    reals = [f"real/{t.real(name).address}@web" for name in t.REALS]
    code, _, said = exits(fabric, "drain", *reals, "--yes")
    assert code == Exit.REFUSED
    assert "refused, nothing was changed: lb1: last-healthy: " in said


def test_flows_that_do_not_end_in_time(fabric: Fabric) -> None:
    """5, and an interrupt (130): the change stands either way."""
    drain = ("drain", REAL, "--yes", "--wait=drained")
    with fabric.load(rate=5, downloads=1, datagrams=0, record=False):
        until(lambda: _flows(fabric) > 0, 10, "a download on it")
        try:
            code, _, said = exits(fabric, *drain, "--timeout", "0")
            assert code == Exit.TIMED_OUT
            assert f"the change stands, look again with: remora get {REAL}" in said
            with background(fabric, *drain) as waiting:
                words = waiting.stderr
                assert words is not None
                until(lambda: "live flows" in words.readline(), 10, "it to wait")
                waiting.send_signal(signal.SIGINT)
                assert "no longer waiting; the change stands" in words.read()
                assert waiting.wait() == Exit.INTERRUPTED
            assert exits(fabric, "get", REAL, "--state", "drain")[0] == Exit.DONE
        finally:
            assert exits(fabric, "undrain", REAL, "--yes")[0] == Exit.DONE


def _flows(fabric: Fabric) -> int:
    rows = [row for row in fabric.rows("real") if f"real/{row['name']}" == REAL]
    return int(rows[0]["live_flows"])


def test_nobody_answers_or_nobody_lately(fabric: Fabric) -> None:
    """6."""
    assert exits(fabric, "--max-age", "0.001ms", "get", "node")[0] == Exit.NO_AGENT
    with stopped(fabric, *t.NODES):
        for words in (("status",), ("get", "node"), ("drain", REAL, "--yes")):
            code, out, said = exits(fabric, *SHORT, *words)
            assert (code, out) == (Exit.NO_AGENT, "")
            assert "no agent answers" in said


def test_a_plan_that_somebody_overtook(fabric: Fabric, tmp_path: Path) -> None:
    """7: the plan is of a revision that is gone."""
    code, plan, _ = exits(fabric, "plan", "drain", REAL, "-o", "json")
    assert code == Exit.DONE
    file = tmp_path / "plan.json"
    file.write_text(plan)
    other = f"real/{t.real('r1').address}@web"
    assert exits(fabric, "weight", other, "50", "--yes")[0] == Exit.DONE
    try:
        code, _, said = exits(fabric, "apply", str(file), "--yes")
        assert code == Exit.CONFLICT, said
    finally:
        assert exits(fabric, "weight", other, "100", "--yes")[0] == Exit.DONE
    assert exits(fabric, "get", REAL, "--state", "up")[0] == Exit.DONE


def test_a_context_for_looking_only(fabric: Fabric, tmp_path: Path) -> None:
    """8; the plan may be looked at."""
    config = tmp_path / "config.toml"
    config.write_text("view_only = true\n")
    words = ("drain", REAL, "--config", str(config))
    assert exits(fabric, *words, "--yes")[0] == Exit.NOT_ALLOWED
    assert exits(fabric, *words, "--dry-run")[0] == Exit.DONE


def test_the_end_of_a_rollout_is_waited_for_elsewhere(fabric: Fabric) -> None:
    """0 when it came to its end, 3 when it is HELD, 1 when it was taken back."""
    try:
        with background(fabric, "drain", REAL, "--yes", "--canary", "lb1", "--soak", "2s") as one:
            operation = under_way(fabric)
            code, out, _ = exits(fabric, "op", "wait", operation)
            assert (code, out) == (Exit.DONE, f"op/{operation}: ok 2/2\n")
            assert one.wait(40) == Exit.DONE
        assert exits(fabric, "undrain", REAL, "--yes")[0] == Exit.DONE
        with background(fabric, "drain", REAL, "--yes", "--canary", "lb1", "--soak", "60s") as one:
            operation = under_way(fabric)
            assert exits(fabric, "op", "wait", operation, "--timeout", "0")[0] == Exit.TIMED_OUT
            one.send_signal(signal.SIGINT)
            code, out, said = exits(fabric, "op", "wait", operation[:6])
            assert code == Exit.PARTIAL
            assert out.startswith(f"op/{operation}: HELD at 1/2: interrupted")
            assert f"remora op revert {operation}" in said
        assert exits(fabric, "op", "revert", operation, "--yes")[0] == Exit.DONE
        code, out, _ = exits(fabric, "op", "wait", operation)
        assert (code, out) == (Exit.FAILED, f"op/{operation}: taken back\n")
    finally:
        exits(fabric, "undrain", REAL, "--yes")


def under_way(fabric: Fabric) -> str:
    """Its name, once its first node had its turn."""
    found: list[str] = []

    def one() -> bool:
        rows = [row for row in fabric.look("lb1").node.rollouts if row.done]
        found[:] = [row.operation for row in rows]
        return bool(found)

    until(one, 10, "a rollout to have come to lb1")
    return found[0]
