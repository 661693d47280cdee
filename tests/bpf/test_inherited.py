# SPDX-License-Identifier: Apache-2.0
"""F5: a restart takes over the pinned programs, if they are its own code to the last map."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent import bring_up
from agent.config import file as config
from agent.config.tree import Node
from agent.dataplane import abi, carry, inherited, loader, mapped
from agent.dataplane import bpf_syscall as bpf
from agent.host.netlink import WayOut
from tests.bpf.test_conformance_run import SAMPLE

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def left(bpffs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose agent has loaded everything and is gone."""
    place = tmp_path_factory.mktemp("inherited")
    text = SAMPLE.read_text().replace("/sys/fs/bpf", str(bpffs))
    path = place / "agent.toml"
    path.write_text(text.replace('"/var/lib/remora', f'"{place}'))
    node = config.read(path).node
    pins = loader.pins(Path(node.bpffs), node.name)
    sources = (*loader.BALANCER, "probe.c")
    loaded = loader.load(loader.Request(pins, sources, flows_per_cpu=node.flows_per_cpu))
    inherited.remember(node, loaded)
    yield node
    loader.detach(pins)


@pytest.fixture
def pins(left: Node) -> Path:
    return loader.pins(Path(left.bpffs), left.name)


def test_what_is_all_there_is_taken_over(left: Node, pins: Path) -> None:
    found = inherited.inherited(left)
    assert found is not None
    assert set(found.programs) == {"lb", "rare", "ring", "probe"}
    for name, program in found.programs.items():
        assert program.pin == pins / f"prog_{name}"
        fd = bpf.obj_get(str(program.pin))
        assert bpf.program_info(fd).tag == program.tag
        os.close(fd)
    assert not found.created
    assert {"rings", "flows", "jumps", "probe_totals"} <= set(found.adopted)


@pytest.mark.parametrize("name", ["prog_lb", "prog_rare", "prog_probe", "flows", "jumps", "work"])
def test_what_is_missing_is_loaded_anew(left: Node, pins: Path, name: str) -> None:
    (pins / name).rename(pins / "aside")
    try:
        assert inherited.inherited(left) is None
    finally:
        (pins / "aside").rename(pins / name)


def test_another_program_in_its_place_is_not_ours(left: Node, pins: Path) -> None:
    (pins / "prog_lb").rename(pins / "aside")
    fd = bpf.obj_get(str(pins / "prog_rare"))
    try:
        bpf.obj_pin(fd, str(pins / "prog_lb"))
        assert inherited.inherited(left) is None
    finally:
        os.close(fd)
        (pins / "aside").rename(pins / "prog_lb")


def test_another_map_in_its_place_is_not_ours(left: Node, pins: Path) -> None:
    (pins / "flows").rename(pins / "aside")
    fd = bpf.obj_get(str(pins / "rings"))
    try:
        bpf.obj_pin(fd, str(pins / "flows"))
        assert inherited.inherited(left) is None
    finally:
        os.close(fd)
        (pins / "flows").unlink()
        (pins / "aside").rename(pins / "flows")


def test_other_code_is_compiled(
    left: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inherited.is_this_code(left)
    other = tmp_path / "lb.c"
    other.write_text("/* another version */")
    monkeypatch.setattr(loader, "sources", lambda: [other])
    assert not inherited.is_this_code(left)
    assert inherited.inherited(left) is None


def test_another_kernel_and_other_sizes_are_other_code(
    left: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = msgspec.structs.replace(left, flows_per_cpu=left.flows_per_cpu * 2)
    assert not inherited.is_this_code(larger)
    monkeypatch.setattr(platform, "release", lambda: "99.0")
    assert not inherited.is_this_code(left)


@pytest.mark.parametrize("note", ["", "[]", "{}", "4e1a"])
def test_a_note_that_says_nothing_is_passed_over(left: Node, note: str) -> None:
    """That of the versions before this one, too: a digest and no more."""
    path = Path(left.state_dir) / "program"
    before = path.read_text()
    path.write_text(note)
    try:
        assert inherited.inherited(left) is None
    finally:
        path.write_text(before)


def test_f1_a_node_s_first_table_knows_all_flows_at_once(
    left: Node, pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: nothing is older than it; the next table of the node is new, and a drain waits."""
    monkeypatch.setattr(bring_up, "_attached", lambda _, there: there)
    listed = config.read(Path(left.state_dir).parent / "agent.toml")
    fd = bpf.obj_get(str(pins / "control"))
    try:
        control = mapped.view(fd, abi.Control, 1)
        known = []
        for _ in ("first", "next"):
            control["warm_at"][0] = 0
            bring_up.load(listed, WayOut(1, 1500, bytes(6), "", bytes(6)))
            known.append(int(control["warm_at"][0]))
    finally:
        os.close(fd)
        (Path(left.state_dir) / "maps").unlink()
    assert known == [carry.LONG_AGO, 0]
