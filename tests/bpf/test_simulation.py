# SPDX-License-Identifier: Apache-2.0
"""`simulate`: the same program and director on maps of its own; the live ones never notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Raw

from agent.boundary import EffectError
from agent.config import file as config
from agent.config import tree
from agent.conformance import simulation
from agent.dataplane.loader import LoadError
from tests.bpf import frames, oracle
from tests.bpf.rig import WEB, Rig

pytestmark = pytest.mark.root

SAMPLE = Path(__file__).resolve().parents[2] / "configs" / "agent.toml"
REALS = ("10.3.1.2", "10.3.2.2", "10.3.3.2")


@pytest.fixture
def listed(bpffs: Path) -> tree.Config:
    text = SAMPLE.read_text().replace("/sys/fs/bpf", str(bpffs))
    return config.parse(text, "agent.toml")


def test_it_says_verdict_reason_slot_real_and_output(listed: tree.Config) -> None:
    asked = [
        frames.tcp(),
        frames.tcp(flags="A"),
        frames.fragment(),
        frames.strangers()["bgp"],
        frames.tcp(payload=bytes(1481)),
    ]
    syn, ack, fragment, stranger, large = simulation.simulate(listed, asked)
    key = bytes.fromhex(listed.node.hash_key)
    flow = oracle.Flow(frames.CLIENT, 40000, frames.VIP, 80, "tcp")
    hash_ = oracle.hashed(flow, key)
    assert (syn.verdict, syn.reason, syn.slot) == ("send", "", oracle.slot(hash_))
    assert str(syn.real) in REALS
    expected = frames.encapsulated(
        asked[0],
        source=oracle.outer_source(hash_, listed.node.outer_source),
        real=str(syn.real),
    )
    assert syn.output[12:] == expected[12:]
    assert not syn.flow_hit
    assert ack.flow_hit
    assert ack.real == syn.real
    assert (fragment.verdict, fragment.reason, fragment.real) == ("drop", "fragment", None)
    assert (stranger.verdict, stranger.vip, stranger.output) == ("pass", None, asked[3])
    assert (large.verdict, large.reason, large.output) == ("drop", "too_big", asked[4])


def test_what_the_node_would_say_itself(listed: tree.Config) -> None:
    ip = IP(src=frames.CLIENT, dst=frames.VIP, flags="DF")
    large = frames.framed(ip / TCP(dport=80) / Raw(bytes(1460)))
    ping = frames.framed(ip / ICMP(type=8) / Raw(bytes(56)))
    told, answered = simulation.simulate(listed, [large, ping])
    assert (told.verdict, told.reason, str(told.vip)) == ("answer", "", f"{frames.VIP}:80/tcp")
    assert told.output[34:36] == b"\x03\x04"
    assert (answered.verdict, answered.vip, answered.real) == ("answer", None, None)
    assert answered.output[26:35] == ping[30:34] + ping[26:30] + b"\0"


def test_ipv6_and_gue(bpffs: Path) -> None:
    text = SAMPLE.read_text().replace("/sys/fs/bpf", str(bpffs))
    text = text.replace('"10.200.0.1"', f'"{frames.VIP6}"').replace('"10.3.1.2"', '"fd00:3:1::2"')
    text = text.replace('source = "10.2.1.2"', 'source = "fd00:2:1::2"')
    listed = config.parse(text.replace('"ipip"', '"gue"'), "six.toml")
    asked = [frames.tcp(to=frames.VIP6, port=port) for port in range(3000, 3040)]
    done = simulation.simulate(listed, [*asked, frames.fragment6()])
    assert {str(s.real) for s in done[:-1]} == {"fd00:3:1::2", *REALS[1:]}
    assert done[-1].reason == "fragment"
    for frame, said in zip(asked, done, strict=False):
        assert str(said.vip) == f"[{frames.VIP6}]:80/tcp"
        gue = str(said.real) == "fd00:3:1::2"
        size = oracle.overhead(str(said.real), "gue" if gue else "ipip")
        assert said.output[14 + size :] == frame[14:]
        assert said.output[12:14] == (b"\x86\xdd" if gue else b"\x08\x00")


def test_a_real_that_is_down_gets_nothing(listed: tree.Config) -> None:
    asked = [frames.tcp(port=port) for port in range(2000, 2040)]
    all_up = simulation.simulate(listed, asked)
    one_down = simulation.simulate(listed, asked, down=[REALS[0]])
    assert {str(s.real) for s in all_up} == set(REALS)
    assert {str(s.real) for s in one_down} == set(REALS[1:])
    for before, after in zip(all_up, one_down, strict=True):
        if str(before.real) != REALS[0]:
            assert after.real == before.real
    none_up = simulation.simulate(listed, asked[:1], down=REALS)
    assert (none_up[0].verdict, none_up[0].reason) == ("drop", "no_real")


def test_no_live_map_is_touched_and_nothing_stays(
    rig: Rig, listed: tree.Config, bpffs: Path
) -> None:
    service = rig.serve(WEB, dict.fromkeys(REALS, 1))
    rig.run(frames.tcp())
    totals, flows = rig.dataplane.counters.totals(), rig.flows.copy()
    before = set(bpffs.rglob("*"))
    simulation.simulate(listed, [frames.tcp(), frames.fragment()])
    assert (rig.dataplane.counters.totals() == totals).all()
    assert (rig.flows == flows).all()
    assert rig.dataplane.rings.current(service.vip_num).tolist() == service.ring
    assert rig.drain() == []
    assert set(bpffs.rglob("*")) == before


def test_nothing_stays_after_an_error(listed: tree.Config, bpffs: Path) -> None:
    before = set(bpffs.rglob("*"))
    with pytest.raises(EffectError, match="frame of 13 bytes"):
        simulation.simulate(listed, [bytes(13)])
    assert set(bpffs.rglob("*")) == before


def test_no_bpffs_is_said_plainly(listed: tree.Config, tmp_path: Path) -> None:
    text = SAMPLE.read_text().replace("/sys/fs/bpf", str(tmp_path))
    with pytest.raises(LoadError, match="mount -t bpf"):
        simulation.simulate(config.parse(text, "agent.toml"), [frames.tcp()])
