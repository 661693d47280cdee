# SPDX-License-Identifier: Apache-2.0
"""The wire: golden bytes of every message, and nothing from a peer that ends otherwise than in
WireError."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import codec
from shared import messages as m
from shared.model import AddressError, Admin, Health, Protocol, endpoints
from tests.tui.recorded import Fleet


def counters(*numbers: int) -> m.Counters:
    return m.Counters(numbers)


GOLDEN = Path(__file__).with_name("golden_wire.json")
OLDER = Path(__file__).with_name("golden_wire_older.json")
"""As written by agents and consoles of 0.1.0, before fields were added."""
HEAD: dict[str, Any] = {"node": "lb1", "boot": "b00t", "sequence": 7, "at": 12.5}
CHANGE = m.Change("web", "10.3.1.2", "enabled, weight 100", "draining, weight 100", 21846, 0,
                  21900, 17, 2)  # fmt: skip
NODE = m.NodeSnapshot(
    **HEAD, version="0.1.0", wall=1e9, started=1.0, admin=Admin.ENABLED, revision=3,
    interface="eth0", xdp_mode="native", program="00ff", ring_digest="a91f3c", rx_packets=1,
    rx_bytes=2, tx_packets=3, tx_bytes=4, pass_packets=5, drop_packets=6, flow_hits=7,
    flow_misses=8, new_flows=9, vips=1, vips_announced=1, reals=3, reals_up=2, live_flows=11,
    peers=(m.Peer("10.2.1.1", 65000, "up", 4.0, "established"),), cpu_seconds=0.5, rss_bytes=4096,
)  # fmt: skip
VIP_ROW = m.VipRow("web", "10.200.0.1", 80, Protocol.TCP, 1, 2, 3, 4, 3, 2, 1, True, "a91f3c", 5)
AILING_ROW = m.VipRow(
    "web",
    "10.200.0.1",
    80,
    Protocol.TCP,
    1,
    2,
    3,
    4,
    3,
    1,
    1,
    True,
    "a91f3c",
    5,
    (m.Ailing("10.3.2.2", Health.DOWN, "refused", 5.0),),
    ("10.3.1.2",),
)
AWAY = m.Withdrawn("ann@jump", 1e9, "INC-7")
AWAY_ROW = msgspec.structs.replace(VIP_ROW, announced=False, withdrawn=AWAY)
REAL_ROW = m.RealRow("web", "10.3.1.2", Admin.DRAINING, Health.UP, 100, 0, 0, 1, 2, 3, 4, 5.0,
                     "http 200", 1.5)  # fmt: skip
ROLLOUT_NODE = msgspec.structs.replace(
    NODE,
    rollouts=(
        m.RolloutRow(
            "1f-2",
            "ann@jump",
            ("drain real/10.3.1.2@web",),
            "held",
            6.0,
            done=True,
            undo=("undrain real/10.3.1.2@web",),
            why="INC-7",
            terms="--canary lb1 --soak 30s --batch 1",
            said="drops +80/s",
        ),
    ),
)
DROP = m.DropEvent(
    1, "fragment", "web", "10.1.1.2:4000", "10.200.0.1:80", "tcp", 60, 1, 0, b"\0\xff"
)
EVENTS: dict[str, m.EventBody] = {
    "event-drop": DROP,
    "event-health": m.HealthEvent("web", "10.3.1.2", Health.UP, Health.DOWN, "refused"),
    "event-route": m.RouteEvent("10.200.0.1", False, "quorum lost"),
    "event-peer": m.PeerEvent("10.2.1.1", "up", "established"),
    "event-change": m.ChangeEvent("ann@jump", "drain real/10.3.1.2", "applied", 4),
    "event-change-undo": m.ChangeEvent(
        "ann@jump",
        "drain real/10.3.1.2@web",
        "applied",
        4,
        "INC-7",
        "1f-2",
        ("undrain real/10.3.1.2@web",),
    ),
    "event-lost": m.LostEvent(3, "older than what the agent keeps"),
}
ENTRY = m.TracedPacket("entry", 12_500_000_001, 1, 77, 0, 60, b"\0\xff", vip="web",
                       real="10.3.1.2", slot=4711)  # fmt: skip
EXIT = m.TracedPacket("exit", 12_500_000_900, 1, 77, 0, 80, b"\1\xff", "send", "", "web",
                      "10.3.1.2", 4711, True)  # fmt: skip
LABELS = m.LabelSnapshot(
    **HEAD, digest="b81c", common="90fe", labels={"rack": "r1"},
    sets=({"tier": "web"}, {"rack": "r7"}, {}), vips={"web": 0}, reals={"web": {"10.3.1.2": 1}},
)  # fmt: skip
TELEMETRY: dict[str, m.Telemetry] = {
    "node": NODE,
    "node-rollout": ROLLOUT_NODE,
    "vip": m.VipSnapshot(**HEAD, vips=(VIP_ROW,)),
    "node-withdrawn": msgspec.structs.replace(
        NODE, withdrawn=AWAY, peers=(m.Peer("10.2.1.1", 65000, "up", 4.0, withdrawn=AWAY),)),
    "vip-withdrawn": m.VipSnapshot(**HEAD, vips=(AWAY_ROW,)),
    "vip-ailing": m.VipSnapshot(**HEAD, vips=(AILING_ROW,)),
    "real": m.RealSnapshot(**HEAD, reals=(REAL_ROW,)),
    "cpu": m.CpuSnapshot(**HEAD, rx_packets=counters(1, 2), rx_bytes=counters(3, 4),
                         tx_packets=counters(5, 6), pass_packets=counters(0, 0),
                         drop_packets=counters(0, 1), flow_hits=counters(7, 8),
                         flow_misses=counters(9, 1 << 40)),
    "cpu-queues": m.CpuSnapshot(**HEAD, rx_packets=counters(1, 2), rx_bytes=counters(3, 4),
                                tx_packets=counters(5, 6), pass_packets=counters(0, 0),
                                drop_packets=counters(0, 1), flow_hits=counters(7, 8),
                                flow_misses=counters(9, 9),
                                queues=(counters(1, 0), counters(0, 2))),
    "cpu-softirq": m.CpuSnapshot(**HEAD, rx_packets=counters(1, 2), rx_bytes=counters(3, 4),
                                 tx_packets=counters(5, 6), pass_packets=counters(0, 0),
                                 drop_packets=counters(0, 1), flow_hits=counters(7, 8),
                                 flow_misses=counters(9, 9), softirq=counters(1725, 81)),
    "flowtable": m.FlowtableSnapshot(**HEAD, capacity=8, occupied=4, live=3, hits=9, miss_syn=1,
                                     miss_udp=2, miss_other=3, stale=1, evictions=0),
    "flowtable-more": m.FlowtableSnapshot(
        **HEAD, capacity=8, occupied=4, live=3, hits=9, miss_syn=1, miss_udp=2, miss_other=3,
        stale=1, evictions=0, untracked=4, previous=1, unstored=2, moved=3,
        program=m.ProgramTotals(icmp_forwarded=1, quic_routed=2, tagged=3, probes_sent=9)),
    "drop": m.DropSnapshot(**HEAD, drops=(m.DropRow(1, "fragment", 9),), events=5, suppressed=3,
                           lost=1),
    "label": LABELS,
    "trace": m.Packets(**HEAD, trace="1f-2", offset=10**18, packets=(ENTRY, EXIT), matched=9,
                       entries=1, exits=1),
    "trace-ended": m.Packets(**HEAD, trace="1f-2", offset=10**18, packets=(), matched=9, entries=1,
                             exits=1, ended="its time is over"),
    **{name: m.Event(**HEAD, wall=1e9, body=body) for name, body in EVENTS.items()},
}  # fmt: skip
ACTIONS: dict[str, m.Action] = {
    "drain": m.Drain(real="10.3.1.2", vip="web"),
    "undrain": m.Undrain(node=True),
    "weight": m.Weight("10.3.1.2", 50),
    "reload": m.Reload(),
    "rollback": m.Rollback(3),
    "look": m.Look(),
    "replay": m.Replay(12),
    "batch": m.Batch((m.Drain("10.3.1.2", "web"), m.Weight("10.3.2.2", 50, "web"))),
    "rollout": m.Rollout(
        "running", m.Drain("10.3.1.2", "web"), terms="--canary lb1 --soak 30s", within=60.0
    ),
    "rollout-held": m.Rollout("held", said="drops +80/s"),
    "withdraw": m.Withdraw(vip="web", elsewhere={"web": 2}),
    "withdraw-peer": m.Withdraw(peer="10.2.1.1"),
    "announce": m.Announce(node=True),
    "ring": m.RingOf("web"),
    "config": m.ConfigOf(),
    "flow": m.FlowOf("198.51.100.7", 40000, "10.200.0.1", 80, "tcp"),
    "flow-if": m.FlowOf("198.51.100.7", 40000, "10.200.0.1", 80, "tcp", m.Drain("10.3.1.2", "web")),
    "flows": m.FlowsOf(bytes.fromhex("04069c400050c63364070ac80001"), m.Drain("10.3.1.2", "web")),
    "flow-ages": m.FlowAges(),
    "trace": m.Trace(),
    "trace-filtered": m.Trace(
        vip="web",
        real="10.3.1.2",
        source="198.51.100.0/24",
        destination_port=80,
        protocol="tcp",
        one_in=100,
        seconds=5.0,
    ),
    "untrace": m.Untrace("1f-2"),
    "audit": m.ReadAudit(-10, 10),
    "history": m.ReadHistory(1e9 - 60, 1e9),
}
COMMANDS = {
    name: m.Command(
        id="1f",
        who="ann@jump",
        action=action,
        why="INC-7",
        expect_revision=3,
        sent=1e9,
        deadline=1e9 + 10,
    )
    for name, action in ACTIONS.items()
}
ANSWER = m.Answer(id="1f", node="lb1", status="applied", revision=4, changes=(CHANGE,),
                  snapshots=(NODE,), events=(m.Event(**HEAD, wall=1e9, body=DROP),))  # fmt: skip

CONFIG_ANSWER = m.Answer(id="21", node="lb1", status="ok", revision=4,
                         config=m.Configured(3, {"vips.web.quorum": "2"}))  # fmt: skip
FLOW_ANSWER = m.Answer(
    id="22", node="lb1", status="ok", revision=4,
    flow=m.FlowPlace("web", "flow", "track", 7, "10.3.1.2", "10.3.2.2", "stored", 1,
                     (m.StoredFlow(0, "10.3.2.2", "open", 1.5),)),
)  # fmt: skip
FLOW_IF_ANSWER = m.Answer(
    id="24", node="lb1", status="ok", revision=4,
    flow=m.FlowPlace("web", "flow", "track", 7, "10.3.1.2", "10.3.1.2", "ring",
                     after=m.FlowAfter(7, "10.3.2.2", "10.3.1.2", "slot", leaves=True)),
)  # fmt: skip
FLOWS_ANSWER = m.Answer(
    id="25", node="lb1", status="ok", revision=4,
    flows=m.FlowPlaces(("web",), ("10.3.1.2", "10.3.2.2"), b"\0\0", b"\0\0", b"\0\0", b"\2",
                       b"\1\0", b"\0\0", ("web",)),
)  # fmt: skip
AGES_ANSWER = m.Answer(
    id="26", node="lb1", status="ok", revision=4,
    ages=m.Ages((1.0, 10.0, 60.0), (m.AgesRow("web", "10.3.1.2", 1, 7, 3, (5, 2, 1, 0), 12.5),)),
)  # fmt: skip
LABELS_ANSWER = m.Answer(id="23", node="lb1", status="ok", revision=4, labels=LABELS)
RING_ANSWER = m.Answer(id="20", node="lb1", status="ok", revision=4,
                       ring=m.Ring("web", "a91f3c", ("10.3.1.2",), b"\0\0\xff\xff"))  # fmt: skip


def _golden() -> dict[str, str]:
    frames = {name: codec.telemetry_frames(message) for name, message in TELEMETRY.items()}
    frames |= {f"command-{n}": codec.command_frames(c) for n, c in COMMANDS.items()}
    frames["answer"] = codec.command_frames(ANSWER)
    frames["answer-config"] = codec.command_frames(CONFIG_ANSWER)
    frames["answer-flow"] = codec.command_frames(FLOW_ANSWER)
    frames["answer-flow-if"] = codec.command_frames(FLOW_IF_ANSWER)
    frames["answer-flows"] = codec.command_frames(FLOWS_ANSWER)
    frames["answer-flow-ages"] = codec.command_frames(AGES_ANSWER)
    frames["answer-labels"] = codec.command_frames(LABELS_ANSWER)
    frames["answer-ring"] = codec.command_frames(RING_ANSWER)
    return {name: " ".join(frame.hex() for frame in each) for name, each in frames.items()}


def test_golden_bytes() -> None:
    """The bytes change deliberately only: `python -m tests.unit.test_codec` writes the file."""
    golden = json.loads(GOLDEN.read_text())
    written = _golden()
    assert set(golden) == set(written)
    for name, frames in written.items():
        assert frames == golden[name], name


@pytest.mark.parametrize("name", json.loads(OLDER.read_text()))
def test_what_older_peers_send_is_understood(name: str) -> None:
    """Fields are only added, with defaults: an older peer's bytes are today's message."""
    frames = [bytes.fromhex(word) for word in json.loads(OLDER.read_text())[name].split()]
    if name == "answer":
        assert codec.answer_of(frames) == ANSWER
    elif name.startswith("command-"):
        today = COMMANDS[name.removeprefix("command-")]
        assert codec.command_of(frames) == msgspec.structs.replace(today, sent=0.0, deadline=0.0)
    else:
        assert codec.telemetry_of(frames) == TELEMETRY[name]


@pytest.mark.parametrize("name", TELEMETRY)
def test_telemetry_round_trip(name: str) -> None:
    message = TELEMETRY[name]
    frames = codec.telemetry_frames(message)
    assert frames[0] == name.partition("-")[0].encode()
    assert codec.telemetry_of(frames) == message


@pytest.mark.parametrize("name", COMMANDS)
def test_command_round_trip(name: str) -> None:
    assert codec.command_of(codec.command_frames(COMMANDS[name])) == COMMANDS[name]


def test_answer_round_trip() -> None:
    assert codec.answer_of(codec.command_frames(ANSWER)) == ANSWER


def test_unknown_fields_are_ignored() -> None:
    """A newer peer may say more."""
    version, payload = codec.command_frames(COMMANDS["drain"])
    more = msgspec.msgpack.decode(payload) | {"colour": "blue"}
    assert codec.command_of([version, msgspec.msgpack.encode(more)]) == COMMANDS["drain"]


def test_another_version_is_said() -> None:
    _, payload = codec.command_frames(COMMANDS["drain"])
    with pytest.raises(codec.WireVersionError, match="this side speaks 1"):
        codec.command_of([b"\x02", payload])


def test_a_topic_carries_its_own_message_only() -> None:
    _, version, payload = codec.telemetry_frames(NODE)
    with pytest.raises(codec.WireError, match="topic b'vip' carries a node"):
        codec.telemetry_of([b"vip", version, payload])


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_garbage_is_a_wire_error(frames: list[bytes]) -> None:
    for read in (codec.command_of, codec.answer_of, codec.telemetry_of):
        with pytest.raises(codec.WireError):
            read(frames)
        with pytest.raises(codec.WireError):
            read([b"\x01", *frames])


@given(st.sampled_from(sorted(COMMANDS)), st.data())
def test_a_damaged_command_is_itself_or_a_wire_error(name: str, data: st.DataObject) -> None:
    version, payload = codec.command_frames(COMMANDS[name])
    at = data.draw(st.integers(0, len(payload) - 1))
    damaged = payload[:at] + bytes([data.draw(st.integers(0, 255))]) + payload[at + 1 :]
    with contextlib.suppress(codec.WireError):
        assert codec.command_of([version, damaged]).who is not None


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"\x91" * 5000, b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x80"],
)
def test_hostile_payloads(payload: bytes) -> None:
    with pytest.raises(codec.WireError):
        codec.command_of([b"\x01", payload])


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_no_number_that_is_none_comes_in(odd: float) -> None:
    """K4: no age, rate or time can be made of it, and formatting it would end the console."""
    node = Fleet("lb1").at(1.0)[0]
    node = msgspec.structs.replace(node, at=odd)
    with pytest.raises(codec.WireError, match=r"payload: Expected `float` [<>]= .* at `\$\.at`"):
        codec.telemetry_of(codec.telemetry_frames(node))
    answer = m.Answer(id="1", node="lb1", status="ok", revision=1, snapshots=(node,))
    with pytest.raises(codec.WireError, match=r"at `\$\.snapshots\[0\]\.at`"):
        codec.answer_of(codec.command_frames(answer))


def floats(
    part: object, where: str, seen: set[type]
) -> Iterator[tuple[str, msgspec.inspect.FloatType]]:
    """Every float in a type, and where it is."""
    if isinstance(part, msgspec.inspect.FloatType):
        yield where, part
    elif isinstance(part, msgspec.inspect.StructType):
        if part.cls not in seen:
            seen.add(part.cls)
            for field in part.fields:
                yield from floats(field.type, f"{part.cls.__name__}.{field.name}", seen)
    elif isinstance(part, msgspec.inspect.Type):
        for inner in msgspec.structs.astuple(part):
            for one in inner if isinstance(inner, tuple) else (inner,):
                yield from floats(one, where, seen)


@pytest.mark.parametrize("kind", [m.Telemetry, m.Answer])
def test_every_float_that_an_agent_sends_is_finite(kind: object) -> None:
    """K4, of a field that is added, too."""
    found = list(floats(msgspec.inspect.type_info(kind), "", set()))
    assert {"NodeSnapshot.at", "Emptying.left", "Event.wall"} <= {where for where, _ in found}
    for where, told in found:
        assert (told.ge, told.le) == (-sys.float_info.max, sys.float_info.max), f"{where}: Finite"


def test_bytes_that_look_like_such_a_number_are_none() -> None:
    looks = b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"
    answer = m.Answer(id="1", node="lb1", status="ok", revision=1, history=(looks,))
    assert codec.answer_of(codec.command_frames(answer)) == answer


def test_too_long_is_not_read() -> None:
    with pytest.raises(codec.WireError, match="at most 1048576"):
        codec.command_of([b"\x01", bytes(1_100_000)])


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1",
        "tcp://:7400",
        "tcp://[::1:7400",
        "tcp://h:65535",
        "lb1",
        "",
        "ipc://relative",
    ],
)
def test_agent_addresses_that_are_none(address: str) -> None:
    with pytest.raises(AddressError, match=r"ipc:///|HOST:PORT|port must"):
        endpoints(address)


def test_agent_address() -> None:
    expected = ("ipc:///run/remora/lb1/telemetry.sock", "ipc:///run/remora/lb1/command.sock")
    assert endpoints("ipc:///run/remora/lb1/") == endpoints("/run/remora/lb1") == expected


if __name__ == "__main__":  # python -m tests.unit.test_codec: write the golden file
    GOLDEN.write_text(json.dumps(_golden(), indent=1) + "\n")
