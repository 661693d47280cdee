# SPDX-License-Identifier: Apache-2.0
"""A version with another ABI takes over, and goes back: with the flows, or not at all.

The next version is a copy of this one with a number raised and a counter added, as most are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.dataplane import abi, bpf_syscall, mapped
from agent.dataplane.abi import ABI_VERSION
from tests.fabric import bird, load
from tests.fabric import topology as t
from tests.fabric.agents import REMORA_AGENT
from tests.fabric.fabric import Fabric
from tests.fabric.test_restarts import more, program_on
from tests.fabric.waiting import until

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
NODE = "lb1"
NEXT = ABI_VERSION + 1


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """Its directory: `python -m agent` from there is that version."""
    place = tmp_path / "next"
    for part in ("agent", "bpf", "shared"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    header, mirror = place / "bpf" / "lb_abi.h", place / "agent" / "dataplane" / "abi.py"
    change(header, f"LB_ABI_VERSION {ABI_VERSION}", f"LB_ABI_VERSION {NEXT}")
    change(mirror, f"ABI_VERSION = {ABI_VERSION}", f"ABI_VERSION = {NEXT}")
    change(header, "lb_u64 pad[7];", "lb_u64 novel;\n\tlb_u64 pad[6];")
    change(mirror, '("pad", c.c_uint64 * 7)', '("novel", c.c_uint64), ("pad", c.c_uint64 * 6)')
    return place


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name}: {old}"
    path.write_text(text.replace(old, new))


@contextmanager
def drained(fabric: Fabric, real: str) -> Iterator[None]:
    where = f"real/{t.real(real).address}@web"
    assert fabric.cli("drain", where, "--yes", "--reason", "test").returncode == 0
    try:
        yield
    finally:
        assert fabric.cli("undrain", where, "--yes").returncode == 0


def known_from(pins: Path) -> int:
    """When (jiffies) the node's flow table will have seen every flow that lives."""
    (control,) = pins.glob("v*/control")
    fd = bpf_syscall.obj_get(str(control))
    try:
        return int(mapped.view(fd, abi.Control, 1)["warm_at"][0])
    finally:
        os.close(fd)


def test_f5_f1_another_abi_takes_over_with_all_flows(fabric: Fabric, next_version: Path) -> None:
    """F5, F1: there and back under load: no request fails, no download moves, that of a drained
    real neither, and the router hears nothing; the flow table is no newer for it (C3)."""
    agent = fabric.agents[NODE]
    pins = fabric.place / "bpffs" / "remora" / NODE
    told, known = bird.updates(fabric.place, NODE), known_from(pins)
    assert known
    with fabric.load(rate=50, downloads=3, datagrams=100) as running:
        more(running, 200)
        with drained(fabric, "r1"):
            before = program_on(NODE)
            for directory, version in ((next_version, NEXT), (ROOT, ABI_VERSION)):
                stopped = agent.ask("stop", "--keep-dataplane")
                assert stopped.returncode == 0, stopped.stderr
                assert agent.wait() == 0, agent.last_words()
                agent.launch("env", "-C", str(directory))
                agent.await_ready(90)
                assert [path.name for path in pins.glob("v*")] == [f"v{version}"]
                gone = ABI_VERSION + NEXT - version
                assert f'"taken over" from=v{gone} maps=vips' in agent.last_words(60)
                assert "exabgp adopted" in agent.last_words(60)
                assert program_on(NODE) not in ("", before)
                before = program_on(NODE)
                assert fabric.look(NODE).reals["web", t.real("r1").address].admin == "draining"
                assert known_from(pins) == known
                more(running, 200)
        records = running.stop()
        assert load.failures(records) == []
    assert bird.updates(fabric.place, NODE) == told


def test_maps_that_are_read_otherwise_are_not_taken_over(
    fabric: Fabric, next_version: Path
) -> None:
    """The old program serves on, and the error names what differs and the way out."""
    change(next_version / "bpf" / "lb_abi.h", "LB_FLOW_CLOSING = 2", "LB_FLOW_CLOSING = 3")
    change(next_version / "agent" / "dataplane" / "abi.py", "FLOW_CLOSING = 2", "FLOW_CLOSING = 3")
    agent = fabric.agents[NODE]
    before = program_on(NODE)
    assert agent.ask("stop", "--keep-dataplane").returncode == 0
    agent.wait()
    try:
        refused = subprocess.run(
            ["ip", "netns", "exec", NODE, *REMORA_AGENT, "run", "-c", str(agent.config)],
            cwd=next_version,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert refused.returncode == 1
        assert f"v{ABI_VERSION}: the data plane of another version serves here" in refused.stderr
        assert "this version reads LB_FLOW_CLOSING otherwise" in refused.stderr
        assert program_on(NODE) == before
        assert all(fabric.request() in t.REALS for _ in range(9))
    finally:
        agent.start()
    until(lambda: fabric.routes() == set(t.NODES), 10, "both nodes")
