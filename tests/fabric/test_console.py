# SPDX-License-Identifier: Apache-2.0
"""The console against the fabric, in a terminal (tmux): a real is drained by its keys."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.model import Admin
from tests.fabric import load
from tests.fabric import topology as t
from tests.fabric.fabric import REMORA, Fabric
from tests.fabric.waiting import DeadlineError, until

pytestmark = pytest.mark.root


class Terminal:
    """A tmux server of its own with one pane of 120x40."""

    def __init__(self, socket: Path, command: str) -> None:
        self._tmux = ("tmux", "-S", str(socket), "-f", "/dev/null")
        self._run("new-session", "-d", "-x", "120", "-y", "40", command)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def shows(self, *texts: str, seconds: float = 20) -> str:
        """Wait until all of these are on the screen; the screen."""
        seen = ""

        def all_there() -> bool:
            nonlocal seen
            seen = self.screen()
            return all(text in seen for text in texts)

        try:
            until(all_there, seconds, f"{texts} on the screen", every=0.1)
        except DeadlineError as error:
            raise DeadlineError(f"{error}:\n{seen}") from None
        return seen

    def find(self, row: str) -> None:
        """Only this row is left, by the filter, and the cursor is on it."""
        self.filter(row)
        self.shows(f">{row} ")

    def filter(self, words: str) -> None:
        """Until its field is closed what is pressed belongs to it, though its rows are on show."""
        self.press("/")
        self.shows("Enter keeps")
        self.press(words, "Enter")
        self.shows(f"filter {words} ")
        until(lambda: f"\n {words}\n" not in self.screen(), 20, "the filter's field is closed")

    def arm(self, why: str) -> None:
        self.press("A")
        self.shows("becomes the reason")
        self.press(why, "Tab", "Tab", "Enter")
        self.shows("ARMED 14:")

    def canary(self, node: str, name: str, soak: str) -> None:
        """The open plan comes to this node first."""
        self.shows(f"type {name} to go on", "Tab field")
        self.press("BTab", name)
        self.shows(f"to go on {name}")
        self.press("BTab", "BTab", "BTab", "C-u")
        self.shows("soak        then")
        self.press(soak)
        self.shows(f"soak {soak} ")
        self.press("BTab", node)
        self.shows(f"canary   {node} ", f"--canary {node} --soak {soak}")
        self.press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
        self.shows("begun: 9 shows it")
        self.press("Escape")

    def confirm(self, name: str, nodes: int = len(t.NODES)) -> None:
        """What the plan wants typed, then its button."""
        self.press("BTab", name)
        self.shows(f"to go on {name}")
        self.press("Tab", "Tab", "Enter")
        self.shows(f"applied {nodes}/{nodes}")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


def opened(fabric: Fabric, name: str = "") -> Terminal:
    addresses = [word for agent in fabric.agents.values() for word in ("-a", agent.address)]
    return Terminal(fabric.place / f"tmux{name}", shlex.join([*REMORA, *addresses]))


@pytest.fixture
def terminal(fabric: Fabric) -> Iterator[Terminal]:
    terminal = opened(fabric)
    yield terminal
    terminal.close()


@pytest.fixture
def another(fabric: Fabric) -> Iterator[Terminal]:
    """A second operator's."""
    terminal = opened(fabric, "-2")
    yield terminal
    terminal.close()


def test_a_real_is_drained_and_undrained_by_keys(fabric: Fabric, terminal: Terminal) -> None:
    """The whole story: VIPs, reals, D, plan, confirm; traffic goes, the rows show it; U."""
    address = t.real("r2").address
    with fabric.load(rate=100, downloads=1) as running:
        terminal.shows("Fleet", "lb1", "lb2", "LIVE", "nodes 2/2")
        terminal.press("3")
        terminal.shows("web", "echo", "10.200.0.1")
        terminal.find("web")
        terminal.press("Enter")
        terminal.shows("reals", *(t.real(name).address for name in t.REALS))
        terminal.find(address)
        terminal.shows(f"{address} per node")
        until(lambda: load.per_real(running.records(), "download")["r2"], 10, "a download on r2")

        terminal.press("D")
        terminal.shows("VIEW", "A arms the console")
        terminal.arm("INC-7")
        terminal.press("D")
        terminal.shows(f"Plan: drain real/{address}@web", "flows now", "guards", "Cancel", "Drain")
        terminal.shows(f"type {address} to go on", "Tab field")
        assert fabric.look("lb1").reals["web", address].admin == Admin.ENABLED, (
            "a plan is no change"
        )
        terminal.confirm(address)
        until(lambda: admins(fabric, address) == {Admin.DRAINING}, 10, "drained on both nodes")
        drained = len(running.records())
        terminal.press("Escape")
        terminal.shows("drain", "0.0%")
        until(lambda: len(running.records()) > drained + 200, 10, "traffic after the drain")

        terminal.press("U")
        terminal.shows(f"Plan: undrain real/{address}@web", f"type {address} to go on", "Tab field")
        before_undrain = running.records()
        terminal.confirm(address)
        until(lambda: admins(fabric, address) == {Admin.ENABLED}, 10, "undrained on both nodes")
        records = running.stop()
    assert load.failures(records) == []
    assert load.per_real(before_undrain[drained + 1 :])["r2"] == 0
    assert load.per_real(before_undrain[drained + 1 :], "download")["r2"] > 0


def test_a_drain_on_one_node_is_an_alarm_and_undone_by_keys(
    fabric: Fabric, terminal: Terminal
) -> None:
    """The ring alarm with its first slot, slot by slot, who did it, and the plan that undoes it."""
    address = t.real("r3").address
    real = f"real/{address}@web"
    terminal.shows("Fleet", "LIVE", "nodes 2/2")
    done = fabric.cli("drain", real, "--node", "lb2", "--yes", "--reason", "one node only")
    assert done.returncode == 0, done.stderr
    try:
        terminal.press("8")
        terminal.shows("Alerts", "ring differs from the others: web from slot")
        assert fabric.cli("diff", "ring", "web").returncode == 1
        terminal.press("3")
        terminal.shows("VIPs", "10.200.0.1")
        terminal.find("web")
        terminal.press("d")
        terminal.shows("ring", "✕ differs", "here", "elsewhere")
        terminal.press("9")
        terminal.shows("Operations", f"drain {real}")
        # What the agent tells of the drain's end is an entry too.
        terminal.filter("ok 1/1")
        terminal.shows("one node only", "Z plans: undrain")
        terminal.arm("INC-8")
        terminal.press("Z")
        terminal.shows(f"Plan: undo drain {real}", f"type {address} to go on", "Tab field")
        terminal.confirm(address, nodes=1)
        until(lambda: admins(fabric, address) == {Admin.ENABLED}, 10, "as before on both nodes")
        until(lambda: fabric.cli("diff", "ring", "web").returncode == 0, 10, "rings are equal")
    finally:
        fabric.cli("undrain", real, "--yes")


def test_a_canary_comes_to_its_node_first_and_its_ring_is_no_alarm(
    fabric: Fabric, terminal: Terminal, another: Terminal
) -> None:
    """One node, a soak, then the other; meanwhile two rings, marked and expected, and no flow lost;
    a second console sees the same, and the past shows how it was."""
    address = t.real("r2").address
    real = f"real/{address}@web"
    with fabric.load(rate=100, downloads=1) as running:
        terminal.shows("Fleet", "LIVE", "nodes 2/2")
        another.shows("Fleet", "LIVE", "nodes 2/2")
        terminal.arm("INC-9")
        terminal.press(":")
        terminal.shows("Tab completes")
        terminal.press(f"drain {real}", "Enter")
        terminal.shows(f"Plan: drain {real}", "ok on 2 nodes")
        before = time.monotonic()
        terminal.canary("lb1", address, "16s")
        until(lambda: admin(fabric, "lb1", address) is Admin.DRAINING, 5, "the canary is drained")
        assert admin(fabric, "lb2", address) is Admin.ENABLED
        for console in (terminal, another):
            console.shows("* ", "ops 1", "alerts 0", "nothing is wrong")
        assert len(fabric.routes(t.WEB)) == len(t.NODES), "both stay in the router's ECMP"
        other = fabric.cli("drain", f"real/{t.real('r3').address}@web", "--yes")
        assert other.returncode == 4, "other-op keeps others off"
        assert "other-op" in other.stdout + other.stderr
        until(lambda: admins(fabric, address) == {Admin.DRAINING}, 60, "then the other")
        another.shows("alerts 0", "LIVE", seconds=20)
        until(lambda: fabric.cli("diff", "ring", "web").returncode == 0, 10, "rings are equal")
        another.press("9")
        another.shows(f"drain {real}", "ok 2/2", "INC-9")

        another.press("3")
        another.find("web")
        another.press("Enter")
        another.find(address)
        another.shows("drain", "0.0%")
        another.press(":")
        another.shows("Tab completes")
        another.press(f"at {time.monotonic() - before:.0f}s", "Enter")
        past = another.shows("PAST", "t is now", f">{address}", "● up")
        assert "LIVE" not in past
        another.press("D")
        another.shows("this is the past")
        another.press("t")
        another.shows("LIVE", "drain")
        records = running.stop()
    assert load.failures(records) == []
    until(lambda: not fabric.look("lb1").node.rollouts, 15, "it is over")
    assert fabric.cli("undo", "--yes").returncode == 0
    until(lambda: admins(fabric, address) == {Admin.ENABLED}, 10, "as before on both nodes")


def test_a_held_operation_is_on_every_console_and_taken_back_by_another(
    fabric: Fabric, terminal: Terminal, another: Terminal
) -> None:
    """A real fails in the soak: HELD; who began it is gone; the other one plans the way back."""
    address = t.real("r2").address
    terminal.shows("Fleet", "LIVE", "nodes 2/2")
    another.shows("Fleet", "LIVE", "nodes 2/2")
    terminal.arm("INC-10")
    terminal.press(":")
    terminal.shows("Tab completes")
    terminal.press(f"drain real/{address}@web", "Enter")
    terminal.shows("Plan: drain", "ok on 2 nodes")
    terminal.canary("lb1", address, "90s")
    until(lambda: admin(fabric, "lb1", address) is Admin.DRAINING, 5, "the canary is drained")
    fabric.stop_service("r3")
    try:
        another.shows("ops 1 HELD", "HELD at 1/2", seconds=20)
    finally:
        fabric.start_service("r3")
    terminal.close()
    assert admin(fabric, "lb2", address) is Admin.ENABLED, "nothing more was sent"
    assert len(fabric.routes(t.WEB)) == len(t.NODES)
    another.press("9")
    another.shows("HELD 1/2", "went down on", "R plans to go on", "INC-10")
    another.arm("INC-10")
    another.press("K")
    another.shows("Plan: take back drain", f"type {address} to go on", "Tab field", "ok on 1 node")
    another.confirm(address, nodes=1)
    until(lambda: admins(fabric, address) == {Admin.ENABLED}, 10, "as before on both nodes")
    another.press("Escape")
    another.shows("LIVE")
    until(lambda: "ops" not in another.screen().splitlines()[0], 10, "it is over")
    until(lambda: fabric.cli("diff", "ring", "web").returncode == 0, 15, "rings are equal")


def admin(fabric: Fabric, node: str, address: str) -> Admin:
    return fabric.look(node).reals["web", address].admin


def admins(fabric: Fabric, address: str) -> set[Admin]:
    """What the nodes say of the real in VIP `web`."""
    return {admin(fabric, node, address) for node in t.NODES}
