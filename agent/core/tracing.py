# SPDX-License-Identifier: Apache-2.0
"""Which packets a `trace` command means, whether it may start, and when it is over.  Pure.

A node has one trace at a time: the program knows one filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

import msgspec

from agent.boundary import Effect, StartTrace, StopTrace
from agent.core.commands import blank_answer, refused
from agent.core.overrides import reals_named
from agent.core.refused import Refused
from agent.core.state import NodeState, Running
from agent.nouns import Traced
from shared.messages import Answer, Command, Trace, Untrace

LONGEST = 600.0
"""Seconds."""
MAX_RATE = 10_000
MAX_ONE_IN = 1_000_000
PROTOCOLS = {"": 0, "icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
Network = IPv4Network | IPv6Network | None


class Outcome(NamedTuple):
    answer: Answer
    effects: Sequence[Effect] = ()
    running: Running | None = None
    """What is traced from now on."""


def decide(state: NodeState, command: Command, now: float) -> Outcome:
    """A Trace or Untrace.  Touches nothing."""
    blank, no = blank_answer(state, command)
    if no is not None:
        return Outcome(no, running=state.trace)
    if isinstance(command.action, Untrace):
        return _stop(state, command, command.action, blank)
    assert isinstance(command.action, Trace)
    other = state.trace
    if other is not None:
        left = max(0.0, other.until - now)
        why = f"{other.who} traces here for {left:.0f} s more; wait, or `remora trace --stop`"
        return Outcome(refused(blank, why), running=other)
    try:
        wanted = meant(state, command.action)
    except Refused as error:
        return Outcome(refused(blank, str(error)))
    if command.dry_run:
        return Outcome(msgspec.structs.replace(blank, status="planned"))
    name = command.operation or command.id
    running = Running(name, command.id, command.who, now + wanted.seconds, wanted, state.listed)
    applied = msgspec.structs.replace(blank, status="applied")
    return Outcome(applied, (StartTrace(name, wanted),), running)


def _stop(state: NodeState, command: Command, action: Untrace, blank: Answer) -> Outcome:
    running = state.trace
    if running is None or action.trace not in ("", running.trace):
        return Outcome(blank, running=running)
    if command.dry_run:
        return Outcome(msgspec.structs.replace(blank, status="planned"), running=running)
    answer = msgspec.structs.replace(blank, status="applied")
    return Outcome(answer, (StopTrace(f"stopped by {command.who}"),))


def over(state: NodeState, now: float) -> str:
    """Why the running trace must end, if it must; else empty."""
    running = state.trace
    if running is None:
        return ""
    if now >= running.until:
        return "its time is over"
    if (running.wanted.vip_num or running.wanted.real_num) and state.listed is not running.listed:
        return "the config changed"
    return ""


def meant(state: NodeState, action: Trace) -> Traced:
    """Names and text -> numbers.  Raises Refused."""
    vip_num, real_num = _numbers(state, action)
    source = _network("source", action.source)
    destination = _network("destination", action.destination)
    versions = {n.version for n in (source, destination) if n} | {action.version}
    if len(versions - {0}) > 1:
        raise Refused("source, destination and IP version: one is IPv4, another IPv6; trace twice")
    for name, port in (("source", action.source_port), ("destination", action.destination_port)):
        if not 0 <= port <= 65535:
            raise Refused(f"{name} port {port}: must be 1 to 65535")
    if not 1 <= action.one_in <= MAX_ONE_IN:
        raise Refused(f"one in {action.one_in}: must be 1 to {MAX_ONE_IN}")
    if not 1 <= action.rate <= MAX_RATE:
        raise Refused(f"rate {action.rate}: must be 1 to {MAX_RATE} packets per second and CPU")
    if not 0 < action.seconds <= LONGEST:
        raise Refused(f"{action.seconds:g} s: must be more than 0 and at most {LONGEST:.0f}")
    return Traced(
        source=source,
        destination=destination,
        source_port=action.source_port,
        destination_port=action.destination_port,
        protocol=PROTOCOLS[action.protocol],
        version=action.version,
        vip_num=vip_num,
        real_num=real_num,
        one_in=action.one_in,
        rate=action.rate,
        seconds=action.seconds,
    )


def _network(name: str, text: str) -> Network:
    if not text:
        return None
    try:
        return ip_network(text)
    except ValueError as error:
        raise Refused(
            f"{name} {text!r}: must be an address or a network, 198.51.100.0/24: {error}"
        ) from None


def _numbers(state: NodeState, action: Trace) -> tuple[int, int]:
    """(vip_num, real_num)"""
    if action.vip and action.vip not in state.vips:
        raise Refused(f"no VIP {action.vip!r} here; there are {', '.join(sorted(state.vips))}")
    vip_num = state.vips[action.vip].vip_num if action.vip else 0
    if not action.real:
        return vip_num, 0
    (_, real), *others = found = reals_named(state, action.real, action.vip)
    if others:
        vips = ", ".join(name for name, _ in found)
        raise Refused(f"real {real.name} is behind {vips}: name one of these VIPs too")
    return vip_num, real.number.real_num
