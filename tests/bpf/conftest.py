# SPDX-License-Identifier: Apache-2.0
"""The programs, loaded once per session into the enclosure's bpffs, and a clean rig per test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.dataplane import loader
from tests.bpf.rig import Rig
from tests.fabric import enclosure

FLOWS_PER_CPU = 16384
"""Small, but so that a few hundred flows of a test hardly ever meet in one full set."""
RING_ROWS = 64


@pytest.fixture(scope="session")
def bpffs() -> Path:
    """One of its own: what the fabric's agents pin is not met here."""
    place = enclosure.directory()
    assert place, "root tests run in the enclosure: tests/conftest.py"
    mount = place / "rigs"
    mount.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", mount], check=True)
    return mount


@pytest.fixture(scope="session", autouse=True)
def _one_compiler() -> Iterator[None]:
    """Two or three seconds of a processor for each load, unless those of one source and size share
    its work; all that follows, each load does by itself."""
    with pytest.MonkeyPatch.context() as patch, loader.Compiler() as compiler:
        patch.setattr(loader, "load", compiler.load)
        yield


@pytest.fixture(autouse=True)
def _one_cpu() -> Iterator[None]:
    """The flow table is per CPU: a test that is moved would miss its own flows.  Workers take
    different ones, else all of them would share the first."""
    before = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(before)[worker % len(before)]})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="session")
def loaded(bpffs: Path) -> Iterator[loader.Loaded]:
    request = loader.Request(
        loader.pins(bpffs, "rig"),
        loader.BALANCER,
        flows_per_cpu=FLOWS_PER_CPU,
        ring_rows=RING_ROWS,
    )
    yield loader.load(request)
    loader.detach(request.pins)


@pytest.fixture(scope="session")
def _session_rig(loaded: loader.Loaded) -> Iterator[Rig]:
    rig = Rig(loaded.programs["lb"].pin.parent)
    yield rig
    rig.close()


@pytest.fixture
def rig(_session_rig: Rig) -> Rig:
    _session_rig.reset()
    return _session_rig
