# SPDX-License-Identifier: Apache-2.0
"""Load, adopt, upgrade, refuse: the loader child and what it leaves behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.dataplane import attach, bpf_syscall, egress, loader
from agent.dataplane.maps import DataPlane
from tests.bpf import frames
from tests.bpf.rig import WEB, Rig

pytestmark = pytest.mark.root

BPF = Path(__file__).resolve().parents[2] / "bpf"
SMALL = 1024
LIGHT = "decap.c"
"""For what holds of any program: the balancer takes the compiler seconds."""


@pytest.fixture
def pins(bpffs: Path) -> Iterator[Path]:
    place = loader.pins(bpffs, "loading")
    yield place
    loader.detach(place)


@pytest.fixture
def veth() -> Iterator[str]:
    """One end of a pair; the enclosure's network is private."""
    subprocess.run(["ip", "link", "add", "lt0", "type", "veth", "peer", "name", "lt1"], check=True)
    yield "lt0"
    subprocess.run(["ip", "link", "del", "lt0"], check=True)


def request(pins: Path, *sources: str, attach: loader.Attach | None = None) -> loader.Request:
    return loader.Request(
        pins, sources or loader.BALANCER, flows_per_cpu=SMALL, ring_rows=8, attach=attach
    )


def xdp_of(interface: str) -> int:
    """Id of the XDP program on an interface; 0: none."""
    shown = subprocess.run(
        ["ip", "-d", "-j", "link", "show", interface], check=True, capture_output=True, text=True
    ).stdout
    return int(json.loads(shown)[0].get("xdp", {}).get("prog", {}).get("id", 0))


def test_every_program_of_bpf_loads(pins: Path) -> None:
    sources = sorted(path.name for path in BPF.glob("*.c"))
    loaded = loader.load(request(pins, *sources))
    assert {"lb", "ring", "decap", "pass"} <= loaded.programs.keys()
    for program in loaded.programs.values():
        assert program.pin.exists()
        assert len(program.tag) == 16
    assert loaded.mode is None
    assert loaded.adopted == ()


def test_f5_a_second_load_adopts_the_maps(pins: Path) -> None:
    """Same maps, the counters and the VIP go on, under a program that is new."""
    first = loader.load(request(pins))
    assert "totals" in first.created
    rig = Rig(pins)
    rig.reset()
    service = rig.serve(WEB, {"10.3.1.2": 1})
    rig.run(frames.tcp())
    boot = rig.dataplane.counters.boot
    rig.close()

    second = loader.load(request(pins))
    assert second.created == ()
    assert set(second.adopted) == set(first.created)
    assert second.programs["lb"].tag == first.programs["lb"].tag
    again = Rig(pins)
    assert again.dataplane.counters.boot == boot
    assert again.dataplane.owned().vips == {WEB: service.vip_num}
    assert again.dataplane.owned().reals[0].generation == 1
    assert again.dataplane.counters.totals()["tx_packets"].sum() == 1
    out = again.run(frames.tcp())
    assert out.counted["flow_hits"] == 1, "the flow table went on as well"
    again.close()


def test_maps_made_anew_are_another_boot(pins: Path) -> None:
    boots = set()
    for _ in range(2):
        loader.load(request(pins))
        dataplane = DataPlane(pins)
        boots.add(dataplane.counters.boot)
        dataplane.close()
        loader.detach(pins)
        assert not pins.exists()
    assert len(boots) == 2


def test_f5_attach_stays_and_is_updated_in_place(pins: Path, veth: str) -> None:
    attach = loader.Attach(veth)
    assert loader.load(request(pins, LIGHT, attach=attach)).mode == "native"
    first = xdp_of(veth)
    assert first
    assert loader.load(request(pins, LIGHT, attach=attach)).mode == "native"
    second = xdp_of(veth)
    assert second not in (0, first)
    loader.detach(pins)
    assert xdp_of(veth) == 0


def test_generic_mode_is_read_back(pins: Path, veth: str) -> None:
    loaded = loader.load(request(pins, LIGHT, attach=loader.Attach(veth, "generic")))
    assert loaded.mode == "generic"


def test_a_driver_without_xdp_is_said_and_generic_only_when_asked(pins: Path) -> None:
    """The loopback has no native XDP."""
    with pytest.raises(loader.LoadError) as refused:
        loader.load(request(pins, LIGHT, attach=loader.Attach("lo", "native")))
    said = str(refused.value)
    assert said.startswith("interface lo: native XDP cannot be attached")
    assert said.endswith('its driver has no native XDP: set xdp_mode = "generic"')
    assert xdp_of("lo") == 0, "not silently in generic mode"
    assert (
        loader.load(request(pins, LIGHT, attach=loader.Attach("lo", "generic"))).mode == "generic"
    )
    loader.detach(pins)
    assert xdp_of("lo") == 0


def test_what_is_attached_is_read_back(pins: Path, bpffs: Path, veth: str) -> None:
    ours = loader.load(request(pins, LIGHT, attach=loader.Attach(veth, "generic"))).programs[
        "decap"
    ]
    number = xdp_of(veth)
    assert attach.how_attached(veth, number) == "generic"
    assert attach.how_attached(veth, number + 1) == "foreign"
    assert attach.how_attached("nosuch0", number) == "none"
    loader.load(request(pins, LIGHT, attach=loader.Attach(veth)))
    assert attach.how_attached(veth, xdp_of(veth)) == "native", "the mode changes with the config"
    assert ours.pin.exists()
    attach.detach(pins / f"link_{veth}")
    assert attach.how_attached(veth, number) == "none"


def test_a_foreign_program_is_named_and_left_alone(pins: Path, bpffs: Path, veth: str) -> None:
    other = bpffs / "somebody"
    theirs = loader.load(request(other, "pass.c")).programs["pass"]
    fd = bpf_syscall.obj_get(str(theirs.pin))
    link = bpf_syscall.link_xdp(fd, socket.if_nametoindex(veth), 4)
    os.close(fd)
    before = xdp_of(veth)
    try:
        with pytest.raises(loader.LoadError, match=rf"{veth}.*pass"):
            loader.load(request(pins, LIGHT, attach=loader.Attach(veth)))
        assert xdp_of(veth) == before
    finally:
        os.close(link)
        loader.detach(other)


def test_an_interface_that_is_not_there(pins: Path) -> None:
    with pytest.raises(loader.LoadError, match="nosuch0"):
        loader.load(request(pins, LIGHT, attach=loader.Attach("nosuch0")))


def test_a_map_of_another_size_is_refused(pins: Path) -> None:
    loader.load(request(pins, "lb.c"))
    larger = loader.Request(pins, ("lb.c",), flows_per_cpu=2 * SMALL, ring_rows=8)
    with pytest.raises(loader.LoadError) as refused:
        loader.load(larger)
    said = str(refused.value)
    sets = loader.sizes().cpus * SMALL // 4
    for word in ("flows", "max_entries", str(sets), str(2 * sets), "remove"):
        assert word in said, said


def test_a_source_that_does_not_compile_says_where(pins: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.c"
    broken.write_text("int broken(struct xdp_md *ctx)\n{\n\treturn nonsense;\n}\n")
    with pytest.raises(loader.LoadError, match="nonsense") as refused:
        loader.load(request(pins, str(broken)))
    assert "broken.c" in str(refused.value)


def test_a_program_that_the_verifier_refuses_says_why(pins: Path, tmp_path: Path) -> None:
    unsafe = tmp_path / "unsafe.c"
    unsafe.write_text("int unsafe(struct xdp_md *ctx)\n{\n\treturn *(int *)(long)ctx->data;\n}\n")
    with pytest.raises(loader.LoadError, match="invalid access to packet"):
        loader.load(request(pins, str(unsafe)))


def test_a_loader_that_hangs_is_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that lives on would attach later, and holds the pipe that is read to its end."""
    hanging = tmp_path / "python3"
    hanging.write_text("#!/bin/sh\nsleep 30 &\nwait\n", encoding="ascii")
    hanging.chmod(0o755)
    monkeypatch.setattr(loader, "PYTHON", str(hanging))
    monkeypatch.setattr(loader, "_TIMEOUT", 0.5)
    started = time.monotonic()
    with (
        pytest.raises(loader.LoadError, match="did not finish"),
        loader.Compiler() as compiler,  # not the one that the tests share
    ):
        compiler.load(request(tmp_path, LIGHT))
    assert time.monotonic() - started < 20


def test_pins_outside_a_bpffs_say_how_to_mount_one(tmp_path: Path) -> None:
    with pytest.raises(loader.LoadError, match="mount -t bpf"):
        loader.load(request(tmp_path / "pins"))
    assert not (tmp_path / "pins").exists()


def test_the_probe_program_is_attached_updated_and_removed(pins: Path, veth: str) -> None:
    """At the egress of the same interface: one link, kept by its pin, replaced in place."""
    asked = request(pins, LIGHT, "probe.c", attach=loader.Attach(veth))
    first = loader.load(asked)
    assert first.no_egress == ""
    link = bpf_syscall.obj_get(str(pins / f"link_egress_{veth}"))
    before = bpf_syscall.link_info(link)
    assert before.ifindex == socket.if_nametoindex(veth)
    again = loader.load(asked)
    after = bpf_syscall.link_info(link)
    assert after.ifindex == before.ifindex
    assert after.prog_id != before.prog_id, "the new program took over, by the same link"
    assert again.created == ()
    loader.detach(pins)
    assert bpf_syscall.link_info(link).ifindex == 0, "nothing is left on the interface"
    os.close(link)


def _filters(veth: str) -> str:
    command = ["tc", "filter", "show", "dev", veth, "egress"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_without_tcx_a_filter_does_it(pins: Path, veth: str) -> None:
    """Linux before 6.6; here by the same calls.  Replaced in place, others' left alone."""
    loaded = loader.load(request(pins, "probe.c"))
    program = bpf_syscall.obj_get(str(loaded.programs["probe"].pin))
    filter_ = f"prio 7 bpf direct-action object-pinned {loaded.programs['probe'].pin}"
    other = f"tc qdisc add dev {veth} clsact; tc filter add dev {veth} egress {filter_}"
    subprocess.run(["sh", "-ec", other], check=True)
    try:
        for _ in range(2):
            assert egress.add_filter(pins, veth, program) == ""
            assert _filters(veth).count("remora direct-action") == 1, _filters(veth)
            assert "pref 1326 bpf" in _filters(veth)
        assert not egress.lost_filter(pins, veth)
        for lost in (
            f"tc filter del dev {veth} egress pref 1326",
            f"tc qdisc del dev {veth} clsact",
        ):
            subprocess.run(lost.split(), check=True)
            assert egress.lost_filter(pins, veth)
            assert egress.add_filter(pins, veth, program) == ""
            assert not egress.lost_filter(pins, veth)
        subprocess.run(["sh", "-ec", other.partition(";")[2]], check=True)
    finally:
        os.close(program)
    loader.detach(pins)
    assert not egress.lost_filter(pins, veth)
    assert "remora" not in _filters(veth)
    assert "pref 7 bpf" in _filters(veth)
