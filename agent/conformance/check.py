# SPDX-License-Identifier: Apache-2.0
"""Does the program do on this node, with its config, what it must?  Asked before traffic is.

The packets of vectors.py go through a second instance of the program (simulation.py:
maps of its own, nothing attached) with the node's sizes and settings.  Hashes of the instructions
tell whether the program on the interface is the same code.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from agent.boundary import EffectError
from agent.config.tree import Config, Vip
from agent.conformance import judge, simulation
from agent.conformance.simulation import Scratch
from agent.conformance.vectors import GATEWAY_MAC, OWN_MAC, Expect, Vector, vectors
from agent.dataplane import abi, loader
from agent.dataplane import bpf_syscall as bpf
from agent.nouns import Address
from shared.reasons import name_of

log = logging.getLogger("remora")

LARGEST_MTU = 3000
"""A test run takes no frame larger than a page."""
_PLENTY = 1_000_000
"""Answers per second: the vectors are not what a rate is for."""
_ACTIONS = {1: "drop", 2: "pass", 3: "send"}
_FEEDBACK = Vector("what was sent, come back", b"", Expect.PASS, "", "P9")
_CUT = Vector("cut at every byte", b"", Expect.DROP, "", "P6")
_SUMS = Vector("the counters add up", b"", Expect.PASS, "", "C1 C3")


class Result(NamedTuple):
    vip: str
    """By name; empty: of the node."""
    name: str
    holds: str
    """Invariants."""
    source: str
    """RFC or IEEE numbers."""
    problem: str
    """Empty: as it must be."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one frame."""

    verdict: str
    """send | answer | pass | drop"""
    reason: str
    output: bytes


# ---- the node's instance


def verify(config: Config, where: Scratch) -> list[Result]:
    """Run all vectors in a fresh scratch instance.  Raises EffectError when the kernel refuses."""
    settings = simulation.control(config)
    answers = _PLENTY if config.node.icmp_per_second else 0
    where.dataplane.configure(
        replace(settings, icmp_rate=answers, gateway_mac=GATEWAY_MAC, own_mac=OWN_MAC)
    )
    simulation.lay_out(where.dataplane, config)
    numbers = where.dataplane.owned().vips
    results: list[Result] = []
    for vip in config.vips:
        serving = bool(where.dataplane.rings.current(numbers[vip.key]).any())
        results += _Trial(config, vip, where, serving=serving).run()
    return [*results, _result("", _SUMS, _sums(where))]


def check(
    config: Config, compiler: loader.Compiler | None = None
) -> tuple[list[Result], Mapping[str, str]]:
    """(results, program -> tag) of this version's code, compiled for this node.

    Raises LoadError or EffectError.
    """
    node = config.node
    place = (Path(node.bpffs), node.name, len(config.vips), node.flows_per_cpu)
    with simulation.scratch(*place, compiler=compiler) as where:
        return verify(config, where), where.tags


# ---- one VIP


class _Trial:
    """The vectors of one VIP: what is the same real is known by the first that was sent."""

    def __init__(self, config: Config, vip: Vip, where: Scratch, *, serving: bool) -> None:
        self.vip, self.where, self.serving = vip, where, serving
        self.reals = {real.address: real.encap for real in vip.reals}
        node = config.node
        self.under = judge.Underlay(
            node.outer_source, node.outer_source6, node.gue_port, node.underlay_mtu
        )
        self.says = bool(node.icmp_per_second)
        self.pongs = self.says and bool(node.answer_ping)
        mine = [other.key for other in config.vips if other.address == vip.address]
        self.served = frozenset(k.port for k in mine if k.protocol is vip.key.protocol)
        self.first: Address | None = None

    def run(self) -> Iterator[Result]:
        mtu = self.under.mtu
        for vector in vectors(self.vip.key, self.served, mtu):
            if vector.expect is Expect.TOO_BIG and mtu > LARGEST_MTU:
                continue
            outcome = _run(self.where, vector.frame)
            yield _result(self.vip.name, vector, self.judged(vector, outcome))
            if vector.expect is Expect.SEND and outcome.verdict == "send":
                back = _run(self.where, outcome.output)
                same = (back.verdict, back.output) == ("pass", outcome.output)
                yield _result(self.vip.name, _FEEDBACK, "" if same else f"{back.verdict}")
            if vector.expect is Expect.SEND:
                yield _result(self.vip.name, _CUT, self.cut(vector.frame))

    def judged(self, vector: Vector, outcome: Outcome) -> str:
        """What is wrong; empty: nothing."""
        frame, expect = vector.frame, vector.expect
        if expect in (Expect.SEND, Expect.SAME, Expect.TOO_BIG) and not self.serving:
            return _is(outcome, "drop", "no_real")
        if expect in (Expect.SEND, Expect.SAME):
            return self.sent(vector, outcome)
        if expect is Expect.TOO_BIG and self.says:
            return _is(outcome, "answer") or judge.too_big(
                frame, outcome.output, self.reals, self.under
            )
        if expect is Expect.PONG and self.pongs:
            return _is(outcome, "answer") or judge.pong(frame, outcome.output)
        passed = expect in (Expect.PASS, Expect.PONG)
        if problem := _is(outcome, "pass" if passed else "drop", vector.reason):
            return problem
        return "" if outcome.output == frame else "the frame was changed"

    def sent(self, vector: Vector, outcome: Outcome) -> str:
        if problem := _is(outcome, "send"):
            return problem
        real, problem = judge.sent(vector.frame, outcome.output, self.reals, self.under)
        if vector.expect is Expect.SEND:
            self.first = real
        if not problem and real != self.first:
            return f"sent to {real}, but its flow is on {self.first}"
        return problem

    def cut(self, frame: bytes) -> str:
        """Every prefix has one of the verdicts, untouched; none is sent."""
        for length in range(14, len(frame)):
            outcome = _run(self.where, frame[:length])
            if outcome.verdict not in ("pass", "drop") or outcome.output != frame[:length]:
                return f"{outcome.verdict} at {length} bytes"
        return ""


def _run(where: Scratch, frame: bytes) -> Outcome:
    try:
        done = bpf.run_program(where.program, frame)
    except OSError as error:
        raise EffectError(f"test run of {len(frame)} bytes: {error.strerror}") from error
    verdict, reason = _ACTIONS.get(done.result, f"xdp action {done.result}"), ""
    for event in where.events.drain() or ():
        reason = name_of(int(event["reason"])) if event["reason"] else ""
        if event["verdict"] == abi.ANSWER:
            verdict = "answer"
    return Outcome(verdict, reason, done.output)


def _is(outcome: Outcome, verdict: str, reason: str = "") -> str:
    if (outcome.verdict, outcome.reason) == (verdict, reason):
        return ""
    found = " ".join(filter(None, (outcome.verdict, outcome.reason)))
    return f"{found}, must be {' '.join(filter(None, (verdict, reason)))}"


def _result(vip: str, vector: Vector, problem: str) -> Result:
    return Result(vip, vector.name, vector.holds, vector.source, problem)


def _sums(where: Scratch) -> str:
    """INVARIANTS C1, C3."""
    totals = where.dataplane.counters.totals()
    total = {name: int(np.sum(totals[name])) for name in totals.dtype.names or ()}
    for unit in ("packets", "bytes"):
        rx, *parts = (total[f"{way}_{unit}"] for way in ("rx", "tx", "pass", "drop"))
        if rx != sum(parts):
            return f"{rx} {unit} received, but {parts} sent, passed and dropped"
    if total["drops"] != total["drop_packets"]:
        return f"{total['drop_packets']} drops, but {total['drops']} reasons"
    causes = ("flow_hits", "flow_miss_syn", "flow_miss_udp", "flow_miss_other", "flow_untracked")
    placed = sum(total[name] for name in causes) + total["icmp_forwarded"]
    sent = total["tx_packets"] - total["icmp_sent"]
    if not sent <= placed <= sent + total["icmp_too_big"] + total["drop_packets"]:
        return f"{sent} packets sent to reals, but {placed} placed"
    return ""
