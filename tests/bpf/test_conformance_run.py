# SPDX-License-Identifier: Apache-2.0
"""`remora-agent conformance`: this node's program is tried, and a wrong one does not take over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent import bring_up
from agent.cli.main import main
from agent.config import file as config
from agent.conformance import check as conformance
from agent.conformance import proof
from agent.conformance.check import Result
from agent.dataplane import inherited, loader
from agent.dataplane.loader import LoadError
from agent.host.netlink import WayOut

pytestmark = pytest.mark.root

SAMPLE = Path(__file__).resolve().parents[2] / "configs" / "agent.toml"
BPF = Path(__file__).resolve().parents[2] / "bpf"
VIPS6 = """
[[vips]]
name = "web6"
address = "2001:db8:200::1"
port = 80
[[vips.reals]]
address = "fd00:3:1::2"
encap = "gue"
[[vips.reals]]
address = "10.3.2.2"

[[vips]]
name = "dns6"
address = "2001:db8:200::1"
port = 53
protocol = "udp"
[[vips.reals]]
address = "10.3.1.2"
encap = "gue"
"""


@pytest.fixture
def file(bpffs: Path, tmp_path: Path) -> Path:
    """The sample, and IPv6 VIPs with every encapsulation."""
    text = SAMPLE.read_text().replace("/sys/fs/bpf", str(bpffs))
    text = text.replace('"/var/lib/remora', f'"{tmp_path}')
    path = tmp_path / "agent.toml"
    path.write_text(text + VIPS6)
    return path


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources of a program that somebody got wrong."""
    copy = tmp_path / "bpf"
    shutil.copytree(BPF, copy)
    monkeypatch.setattr(loader, "bpf_directory", lambda: copy)
    return copy


def patch(source: Path, old: str, new: str) -> None:
    text = source.read_text()
    assert text.count(old) == 1, old
    source.write_text(text.replace(old, new))


def test_all_vectors_pass(file: Path) -> None:
    """Every VIP of the config, every invariant that a packet can show: P1 to P10, F1, C1, C3."""
    results, tags = conformance.check(config.read(file))
    assert [result for result in results if result.problem] == []
    assert {"lb", "rare"} <= set(tags)
    held = {invariant for result in results for invariant in result.holds.split()}
    assert held >= {"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P9", "P10", "F1", "F2", "C1", "C3"}
    assert {result.vip for result in results} >= {"web6", "dns6", ""}


NARROW = """
[[vips]]
name = "web6"
address = "2001:db8:200::1"
port = 80
[[vips.reals]]
address = "fd00:3:1::2"
"""


def quic(scheme: str, *ids: int) -> str:
    head = f"""
[[vips]]
name = "h3"
address = "10.200.7.1"
port = 443
protocol = "udp"
quic = {{ {scheme} }}
check = {{ kind = "udp", send = "x" }}
"""
    return head + "".join(
        f'[[vips.reals]]\naddress = "10.3.{n}.2"\nquic_ids = [{id}]\n' for n, id in enumerate(ids)
    )


@pytest.mark.parametrize(
    ("mtu", "vips"),
    [
        (1200, NARROW),
        (1279, NARROW),
        (1500, quic('scheme = "quic-lb", id_bytes = 1, config = 3', 0, 1, 2, 0x78)),
        (1500, quic('scheme = "cid"', 0, 1, 2, 57825)),
    ],
    ids=["narrow", "nearly", "quic-lb", "cid"],
)
def test_a_right_program_passes_whatever_the_config_says(
    bpffs: Path, tmp_path: Path, mtu: int, vips: str
) -> None:
    """IPv6 hears of no MTU below its least; ids that a payload of the vectors happens to spell."""
    text = (
        f'[node]\nname = "lbx"\ninterface = "eth0"\nhash_key = "{"0f" * 16}"\n'
        f'bpffs = "{bpffs}"\nrun_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n'
        f"underlay_mtu = {mtu}\n{vips}"
    )
    results, _ = conformance.check(config.parse(text, "odd.toml"))
    assert [result for result in results if result.problem] == []
    assert {"a new flow", "its next packet", "too big"} <= {result.name for result in results}


@pytest.mark.parametrize(
    ("name", "old", "new", "invariant"),
    [
        ("encap.h", "#define OUTER_TTL 64", "#define OUTER_TTL 63", "P1"),
        ("encap.h", "(u64)BE16(DONT_FRAGMENT) << 16", "0", "P1"),
        ("packet.h", "#define FRAGMENT_BITS 0x3fff", "#define FRAGMENT_BITS 0x1fff", "P7"),
        ("aside.h", "#define MOST_EXTENSIONS 4", "#define MOST_EXTENSIONS 3", "P2"),
        ("icmp.h", "#define ICMP_TIME_EXCEEDED 11", "#define ICMP_TIME_EXCEEDED 10", "P3"),
    ],
)
def test_a_wrong_program_is_found(  # noqa: PLR0917
    file: Path, broken: Path, name: str, old: str, new: str, invariant: str
) -> None:
    """The trial can fail: one constant of the C code changed, and the invariant is named."""
    patch(broken / name, old, new)
    results, _ = conformance.check(config.read(file))
    wrong = {
        invariant for result in results if result.problem for invariant in result.holds.split()
    }
    assert invariant in wrong


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "RFC 2003" in said
    assert "FAIL" not in said
    assert "none is attached" in said
    assert main(["conformance", "--config", str(file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] == 0
    assert answer["attached"] == {}
    assert main(["conformance", "--config", str(file.with_name("none.toml"))]) == 2


def test_the_command_says_what_is_wrong(
    file: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch(broken / "encap.h", "#define OUTER_TTL 64", "#define OUTER_TTL 63")
    assert main(["conformance", "--config", str(file)]) == 1
    said = capsys.readouterr().out
    assert "FAIL P1 P2" in said
    assert "web6: outer IPv" in said


def test_f5_a_successor_that_fails_does_not_take_over(
    file: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that runs stays: nothing is loaded over it, and the error says why."""
    listed = config.read(file)
    loads: list[loader.Request] = []
    load = loader.Compiler.load

    def recorded(compiler: loader.Compiler, request: loader.Request) -> loader.Loaded:
        loads.append(request)
        return load(compiler, request)

    monkeypatch.setattr(loader.Compiler, "load", recorded)
    monkeypatch.setattr(proof, "attached_tags", lambda _: {"lb": "0" * 16})
    patch(broken / "encap.h", "#define OUTER_TTL 64", "#define OUTER_TTL 63")
    with pytest.raises(LoadError, match=r"left in place.*'a new flow'.*outer IPv4 header"):
        bring_up.load(listed, WayOut(1, 1500, bytes(6), "", bytes(6)))
    assert [request.attach for request in loads] == [None], "only the trial's"


def test_what_was_tried_is_what_is_loaded(file: Path, broken: Path, bpffs: Path) -> None:
    """Compiled once: a source that changes between trial and start does not change the program, and
    a start with a trial takes no longer than one without."""
    listed = config.read(file)
    with loader.Compiler() as compiler:
        _, tried = conformance.check(listed, compiler)
        for source in loader.BALANCER:
            (broken / source).write_text("this does not compile")
        pins = loader.pins(bpffs, "tried")
        flows = listed.node.flows_per_cpu
        loaded = compiler.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=flows))
        try:
            assert {name: program.tag for name, program in loaded.programs.items()} == tried
            with pytest.raises(LoadError, match="does not compile"):
                compiler.load(loader.Request(pins, loader.BALANCER, flows_per_cpu=flows * 2))
        finally:
            loader.detach(pins)


def test_the_code_that_runs_already_is_not_tried(
    file: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restarts stay as quick as they were; another source is another matter."""
    listed = config.read(file)
    tried = []

    def passes(*_: object) -> tuple[list[Result], dict[str, str]]:
        tried.append(1)
        return [Result("web", "a new flow", "P1", "", "")], {}

    monkeypatch.setattr(conformance, "check", passes)

    def trials() -> int:
        with loader.Compiler() as compiler:
            proof.prove(listed, compiler)
        return len(tried)

    assert trials() == 0, "nothing runs that could be lost"
    monkeypatch.setattr(proof, "attached_tags", lambda _: {"lb": "0" * 16})
    inherited.remember(listed.node, loader.Loaded({}, (), (), None, "", 0.0, 0.0))
    assert trials() == 0
    patch(broken / "encap.h", "#define OUTER_TTL 64", "#define OUTER_TTL 63")
    assert trials() == 1
