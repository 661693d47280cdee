# SPDX-License-Identifier: Apache-2.0
"""Where would this frame go?  Asked of the program itself, off the wire.

The same source is loaded a second time, with maps of its own in a scratch directory; the same
director lays the config out in them; a test run answers.  No live map is touched, nothing is
attached, and the scratch directory is gone afterwards whatever happened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agent import boundary as b
from agent.boundary import EffectError, Fact
from agent.config.tree import Config
from agent.core.director import Director
from agent.dataplane import abi, loader, pinned
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane.events import EventRing
from agent.dataplane.maps import DataPlane
from agent.dataplane.packing import Control
from agent.nouns import Address, Target, VipKey
from agent.records.journal import journal_path, recall
from shared.reasons import name_of

_FLOWS = 1024
_SHORTEST = 14
_NO_MAC = bytes(6)
_VERDICTS = {1: "drop", 2: "pass", 3: "send"}
"""XDP action -> verdict."""


class Scratch(NamedTuple):
    """A data plane that no packet reaches."""

    dataplane: DataPlane
    program: int
    """File descriptor of lb()."""
    events: EventRing
    tags: Mapping[str, str]
    """Program -> hash of its instructions."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of one frame."""

    verdict: str
    """send | answer (an ICMP message of the node's own) | pass | drop"""
    reason: str
    """Of a drop, by name; else empty."""
    vip: VipKey | None
    """None: not a VIP's, or an address without usable ports."""
    slot: int | None
    real: Address | None
    flow_hit: bool
    """Placed by the flow table: an earlier frame of the same call opened the flow."""
    output: bytes
    """The frame as it would leave, its MAC addresses zero; as it came unless it is sent."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for json.dumps."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "vip": str(self.vip) if self.vip else None,
            "slot": self.slot,
            "real": str(self.real) if self.real else None,
            "flow_hit": self.flow_hit,
            "output": self.output.hex(),
        }

    def __str__(self) -> str:
        words = [self.verdict, self.reason, f"vip {self.vip}" if self.vip else ""]
        if self.real:
            by = "flow table" if self.flow_hit else f"ring, slot {self.slot}"
            words.append(f"real {self.real} by {by}")
        return " ".join(filter(None, words))


@contextlib.contextmanager
def scratch(
    bpffs: Path,
    node: str,
    vips: int,
    flows_per_cpu: int = _FLOWS,
    *,
    compiler: loader.Compiler | None = None,
) -> Iterator[Scratch]:
    """A data plane for so many VIPs.  Raises LoadError or EffectError."""
    place = bpffs / "remora" / node
    _sweep(place)
    pins = place / f"simulate-{os.getpid()}"
    with contextlib.ExitStack() as undo:
        undo.callback(_remove, pins)
        request = loader.Request(
            pins=pins, sources=loader.BALANCER, flows_per_cpu=flows_per_cpu, ring_rows=vips + 2
        )
        loaded = compiler.load(request) if compiler else loader.load(request)
        dataplane = DataPlane(pins)
        undo.callback(dataplane.close)
        events = EventRing(pins)
        undo.callback(events.close)
        program = bpf.obj_get(str(loaded.programs["lb"].pin))
        undo.callback(os.close, program)
        undo.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # every CPU has a flow table
        tags = {name: found.tag for name, found in loaded.programs.items()}
        yield Scratch(dataplane, program, events, tags)


def _sweep(place: Path) -> None:
    """What simulations left behind that were killed: their maps would stay for ever."""
    for left in place.glob("simulate-*"):
        if not Path(f"/proc/{left.name.removeprefix('simulate-')}").exists():
            pinned.remove(left)


def _remove(pins: Path) -> None:
    pinned.remove(pins)
    for parent in list(pins.parents)[:2]:  # <node> and remora, unless others use them
        with contextlib.suppress(OSError):
            parent.rmdir()


def run(where: Scratch, frame: bytes) -> Simulated:
    """Run one frame (at least an Ethernet header).  Raises EffectError."""
    if len(frame) < _SHORTEST:
        raise EffectError(f"frame of {len(frame)} bytes: an Ethernet header alone has {_SHORTEST}")
    try:
        done = bpf.run_program(where.program, frame)
    except OSError as error:
        raise EffectError(f"test run of {len(frame)} bytes: {error.strerror}") from error
    verdict = _VERDICTS.get(done.result, f"xdp action {done.result}")
    events = where.events.drain()
    if events is None:  # everything but a packet to a VIP
        return Simulated(verdict, "", None, None, None, flow_hit=False, output=done.output)
    event = events[0]
    if event["verdict"] == abi.ANSWER:
        verdict = "answer"
    owned = where.dataplane.owned()
    placed = verdict == "send"
    return Simulated(
        verdict=verdict,
        reason=name_of(int(event["reason"])) if event["reason"] else "",
        vip={number: key for key, number in owned.vips.items()}.get(int(event["vip_num"])),
        slot=int(event["slot"]) if placed else None,
        real=next(r.address for r in owned.reals if r.real_num == event["real_num"])
        if placed
        else None,
        flow_hit=bool(event["flow_hit"]),
        output=done.output,
    )


def simulate(
    config: Config, frames: Sequence[bytes], down: Collection[str] = ()
) -> list[Simulated]:
    """Run frames, in order, through a data plane as configured: every real up but those in `down`.

    Drains and weights are those of the node's journal.  Raises LoadError or EffectError.
    """
    node = config.node
    with scratch(Path(node.bpffs), node.name, len(config.vips)) as where:
        where.dataplane.configure(control(config))
        lay_out(where.dataplane, config, down)
        return [run(where, frame) for frame in frames]


def control(config: Config) -> Control:
    """The node's settings; every packet to a VIP is an event, and no frame has addresses."""
    node = config.node
    return Control(
        hash_key=bytes.fromhex(node.hash_key),
        outer_source=node.outer_source,
        outer_source6=node.outer_source6,
        gue_port=node.gue_port,
        underlay_mtu=node.underlay_mtu,
        event_rate=0,
        event_burst=0,
        icmp_rate=node.icmp_per_second,
        answer_ping=bool(node.answer_ping),
        gateway_mac=_NO_MAC,
        own_mac=_NO_MAC,
        trace_all=True,
    )


def lay_out(dataplane: DataPlane, config: Config, down: Collection[str] = ()) -> None:
    """VIPs, reals and rings as the node would have them; all reals are up but those in `down`."""
    overrides = recall(journal_path(config.node.state_dir)).overrides
    facts = [b.Adopted({}, (), {}, overrides, 0), *_probes(config, down)]
    for effect in Director(config, dataplane.fill).take(facts, 0.0):
        if isinstance(effect, b.MapEffect):  # nothing is announced or answered
            dataplane.perform(effect)


def _probes(config: Config, down: Collection[str]) -> Iterator[Fact]:
    for vip in config.vips:
        for real in vip.reals:
            ok = str(real.address) not in down
            for _ in range(vip.check.rise if ok else vip.check.fall):
                yield b.Probed(Target(vip.name, real.address), ok, "simulated", 0.0)
