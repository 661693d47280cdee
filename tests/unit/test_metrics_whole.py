# SPDX-License-Identifier: Apache-2.0
"""Everything that is published is exposed: each field of every snapshot changes the scrape, or it
is said here where it is."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agent.wire import metrics
from agent.wire.exposition import FAMILIES, Seen
from agent.wire.metrics import metric
from shared.messages import (
    Counters,
    CpuSnapshot,
    DropSnapshot,
    Emptying,
    FlowtableSnapshot,
    Peer,
    PendingRow,
    RealSnapshot,
    VipSnapshot,
    Withdrawn,
)
from tests.unit import test_codec as golden

WORDS = "words, not a figure"
OF_THE_WIRE = dict.fromkeys(("node", "boot", "sequence", "at"), "on the node's snapshot")
ELSEWHERE = {
    "NodeSnapshot": {
        "boot": "counters that start again say it to Prometheus",
        "sequence": "of the wire",
        "flow_hits": "remora_flowtable_hits_total",
        "flow_misses": "remora_flowtable_misses_total",
        "new_flows": "remora_flowtable_misses_total, by cause",
        "live_flows": "remora_flowtable_live_flows",
        "vips": "count(remora_vip_info)",
        "vips_announced": "sum(remora_vip_announced)",
        "reals": "sum(remora_vip_reals)",
        "reals_up": "sum(remora_vip_reals_serving)",
        "phase_why": WORDS,
        "simulated": "no agent that is scraped is",
        "labels": "remora_node_label, remora_vip_label, remora_real_label",
    },
    "Ailing": dict.fromkeys(("address", "health", "check", "changed"), "remora_real_*"),
    "VipRow": {"drained": "remora_real_admin_state"},
    "RealRow": {"check": WORDS},
    "Emptying": {"unknown_why": WORDS},
    "Peer": {"detail": WORDS, "error": WORDS},
    "Withdrawn": dict.fromkeys(("who", "why"), WORDS),
    "PendingRow": dict.fromkeys(("what", "who", "operation"), WORDS),
    "RolloutRow": dict.fromkeys(
        [
            "operation",
            "who",
            "lines",
            "since",
            "done",
            "undo",
            "why",
            "terms",
            "said",
            "until",
            "steered_by",
        ],
        "the console's; how many there are is exposed",
    ),
    "DropRow": {"reason": "its name is the label"},
    "VipSnapshot": OF_THE_WIRE,
    "RealSnapshot": OF_THE_WIRE,
    "CpuSnapshot": OF_THE_WIRE,
    "FlowtableSnapshot": OF_THE_WIRE,
    "DropSnapshot": OF_THE_WIRE,
    "LabelSnapshot": {**OF_THE_WIRE, "digest": "of the wire", "common": "of the wire"},
}
"""Struct -> field -> where it is, or why it is no figure."""
OTHERS = {"up": "down", "down": "up", "native": "generic", "withdrawn": "drained", "kill": "wait",
          "held": "running", "track": "compute"}  # fmt: skip
"""Of what has a few words only: another of them."""


AWAY = Withdrawn("ann@jump", 1e9, "INC-7")


def full() -> Seen:
    """Of every row at least one, with every part that may be missing."""
    drained = msgspec.structs.replace(
        golden.REAL_ROW, emptying=Emptying(4.0, 17, 30.0, 60.0, 9.0, 11.0, "kill", 5.0, 1.0, 13.0)
    )
    node = msgspec.structs.replace(
        golden.ROLLOUT_NODE,
        pending=(PendingRow("kill", "real/x", "ann", 11.0, "1"),),
        phase="withdrawn",
        phase_since=3.0,
        xdp_attached="native",
        peers=(Peer("10.2.1.1", 65000, "down", 4.0, "", "gone", 3.0, AWAY),),
        withdrawn=AWAY,
    )
    vip = msgspec.structs.replace(golden.AILING_ROW, phase="withdrawn", withdrawn=AWAY)
    cpu = msgspec.structs.replace(
        golden.TELEMETRY["cpu"], queues=(Counters((7, 8)),), softirq=Counters((100, 200))
    )
    assert isinstance(cpu, CpuSnapshot)
    flowtable, drop = golden.TELEMETRY["flowtable"], golden.TELEMETRY["drop"]
    assert isinstance(flowtable, FlowtableSnapshot)
    assert isinstance(drop, DropSnapshot)
    return Seen(
        node,
        VipSnapshot(**golden.HEAD, vips=(vip,)),
        RealSnapshot(**golden.HEAD, reals=(drained,)),
        cpu,
        flowtable,
        drop,
        golden.LABELS,
    )


class Fixed:
    """What a registry asks, without a server."""

    def __init__(self, now: Seen) -> None:
        self._now = now

    def collect(self) -> Iterator[object]:
        for family in FAMILIES:
            yield metric(family, self._now)


def text_of(now: Seen) -> str:
    registry = CollectorRegistry()
    registry.register(Fixed(now))  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def another(value: object) -> object:
    """A value of the same kind that is not this one."""
    match value:
        case Enum():
            return next(each for each in type(value) if each is not value)
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return OTHERS.get(value, value + "x")
        case Counters():
            return Counters(number + 1 for number in value)
    raise AssertionError(f"{value!r}: how would another one look?")


def variants(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(Struct.field, the whole with that one field otherwise), through all rows."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            for place, changed in variants(getattr(value, name), f"{type(value).__name__}.{name}"):
                yield place, msgspec.structs.replace(value, **{name: changed})
    elif isinstance(value, dict):
        for key, each in value.items():
            for place, changed in variants(each, path):
                yield place, {**value, key: changed}
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            for place, changed in variants(each, path):
                yield place, (*value[:index], changed, *value[index + 1 :])
    else:
        yield path, another(value)


def test_all_that_is_published_is_exposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_YIELD", 0)
    now = full()
    as_it_is = text_of(now)
    unseen = {
        place
        for topic, snapshot in now._asdict().items()
        for place, changed in variants(snapshot)
        if text_of(now._replace(**{topic: changed})) == as_it_is  # type: ignore[arg-type]
    }
    assert unseen == {f"{kind}.{field}" for kind, fields in ELSEWHERE.items() for field in fields}


def test_every_family_has_a_sample_when_all_is_there() -> None:
    for family in FAMILIES:
        assert list(family.samples(full())), family.name
