# SPDX-License-Identifier: Apache-2.0
"""Questions about flows: where they go, where they would go after a change, how old they are.

The maps are read as they are when the question comes; nothing is counted, stored or renewed by
asking, and what is supposed is nowhere written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from agent.boundary import EffectError
from agent.core import flow_hash, maglev, supposing, whereabouts
from agent.core.refused import Refused
from agent.core.state import NodeState, VipState
from agent.core.supposing import Thought
from agent.core.whereabouts import Entry, Rules, Slot, Verdict
from agent.dataplane import slots
from agent.dataplane.jiffies import HZ
from agent.dataplane.live_flows import BOUNDS
from agent.dataplane.maps import DataPlane
from agent.nouns import Address
from shared.flows import Flow
from shared.messages import (
    Ages,
    AgesRow,
    Answer,
    FlowAges,
    FlowOf,
    FlowPlace,
    FlowPlaces,
    FlowsOf,
    Supposed,
)

NONE = 0xFFFF
AGES_AGE = 1.0
"""Seconds for which one look at all entries answers everybody: it reads whole tables."""
_WAYS = ("stored", "slot", "ring", "none")

FlowQuestion = FlowOf | FlowsOf | FlowAges


class _Table(NamedTuple):
    """A VIP's ring with its rules: as it is, or as it would be."""

    words: slots.Words
    rules: Rules

    def verdict(self, hash_: int, entries: Sequence[Entry]) -> Verdict:
        return whereabouts.verdict(self.rules, self.tried(hash_), entries)

    def tried(self, hash_: int) -> Iterator[tuple[int, Slot]]:
        for number in flow_hash.slots(hash_):
            yield number, slots.slot(int(self.words[number]))


class _Vip(NamedTuple):
    state: VipState
    names: Mapping[int, Address]
    now: _Table
    then: _Table | None
    """None: no change is supposed."""
    leaves: bool


class _Looked(NamedTuple):
    """A flow."""

    vip: VipState | None
    """None: it is no VIP's."""
    hash: int
    """By which it finds its slots."""
    entries: Sequence[Entry]


class FlowQuestions:
    def __init__(self, state: NodeState, dataplane: DataPlane, fill: maglev.Fill) -> None:
        self._state = state
        self._dataplane = dataplane
        self._fill = fill
        self._looking = asyncio.Lock()
        self._found: tuple[float, Ages] | None = None
        """The last look at all entries: monotonic seconds when it was over, and what it found."""

    async def answer(self, blank: Answer, question: FlowQuestion) -> Answer:
        """With what was asked for, or why it cannot be said."""
        try:
            match question:
                case FlowOf(change=change):
                    place = await self._place(whereabouts.flow_of(question), change)
                    return msgspec.structs.replace(blank, flow=place)
                case FlowsOf(packed, change):
                    places = await self._places(packed, change)
                    return msgspec.structs.replace(blank, flows=places)
                case FlowAges():
                    return msgspec.structs.replace(blank, ages=await self._ages())
        except (Refused, EffectError) as error:
            return msgspec.structs.replace(blank, status="failed", error=str(error))

    async def _place(self, flow: Flow, change: Supposed | None) -> FlowPlace:
        state = whereabouts.Finder(self._state).of(flow)
        if state is None:
            return FlowPlace("")
        tag = whereabouts.tag(self._state, flow)
        entries = (await asyncio.to_thread(self._dataplane.flows.stored, [tag])).get(tag, [])
        thoughts = self._thoughts(change, [state])
        vip = self._vip(state, thoughts, [entry.real_num for entry in entries])
        hash_ = whereabouts.placing_hash(self._state, state, flow)
        found = whereabouts.told(state, vip.now.tried(hash_), vip.now.rules.owners, entries)
        if vip.then is None:
            return found
        then = vip.then.verdict(hash_, entries)
        after = whereabouts.after(state, then, leaves=vip.leaves)
        return msgspec.structs.replace(found, after=after)

    async def _places(self, packed: bytes, change: Supposed | None) -> FlowPlaces:
        """Flow by flow in threads: five thousand take tenths of a second.  And VIP by VIP: the
        slots of one are 256 KiB, those of 512 a small agent's whole memory."""
        finder = whereabouts.Finder(self._state)
        looked = await asyncio.to_thread(self._looked_up, packed, finder)
        of: dict[int, list[int]] = {}
        states: list[VipState] = []
        for n, each in enumerate(looked):
            if each.vip is not None:
                if id(each.vip) not in of:
                    states.append(each.vip)
                of.setdefault(id(each.vip), []).append(n)
        thoughts = self._thoughts(change, states)
        numbers = {entry.real_num for each in looked for entry in each.entries}
        found = _Found(looked)
        for state in states:
            vip = self._vip(state, thoughts, numbers)
            await asyncio.to_thread(found.add, vip, of[id(state)])
        return found.told(supposed=change is not None)

    def _looked_up(self, packed: bytes, finder: whereabouts.Finder) -> list[_Looked]:
        """In a thread: nothing of the state that changes.  Raises Refused and EffectError."""
        flows = whereabouts.flows_of(packed)
        tags = [whereabouts.tag(self._state, flow) for flow in flows]
        entries = self._dataplane.flows.stored(tags)
        looked = []
        for flow, tag in zip(flows, tags, strict=True):
            vip = finder.of(flow)
            hash_ = whereabouts.placing_hash(self._state, vip, flow) if vip is not None else 0
            looked.append(_Looked(vip, hash_, entries.get(tag, ())))
        return looked

    def _thoughts(
        self, change: Supposed | None, states: Sequence[VipState]
    ) -> Mapping[str, Thought]:
        """By name of the VIP; none: no change is supposed.  Raises Refused."""
        return {} if change is None else supposing.thoughts(self._state, change, states)

    def _vip(
        self, state: VipState, thoughts: Mapping[str, Thought], numbers: Iterable[int]
    ) -> _Vip:
        """What decides about a VIP's flows, now and after the change; `numbers`: of reals that
        entries name besides.  It takes milliseconds.  Raises EffectError."""
        words = self._dataplane.rings.words(state.vip_num)
        mine = {real.number.real_num for real in state.reals.values()}
        owners = self._dataplane.owners({*mine, *numbers, *slots.named(words)})
        now = _Table(words, whereabouts.rules(state, owners))
        thought = thoughts.get(state.listed.name)
        then = self._then(state, now, thought) if thought is not None else None
        leaves = thought is not None and thought.leaves
        return _Vip(state, whereabouts.names_of(state), now, then, leaves)

    def _then(self, state: VipState, now: _Table, thought: Thought) -> _Table:
        words, owners = now.words, now.rules.owners
        if thought.members is not None:
            ring = maglev.ring(thought.members, state.seed, fill=self._fill)
            words = slots.following(words, maglev.placed(ring.slots, state.numbers(ring)))
        flags = thought.flags
        then = {n: owner._replace(flags=flags.get(n, owner.flags)) for n, owner in owners.items()}
        return _Table(words, now.rules._replace(owners=then))

    async def _ages(self) -> Ages:
        """One look at a time: who asks meanwhile gets what it finds."""
        async with self._looking:
            if self._found is None or time.monotonic() - self._found[0] >= AGES_AGE:
                found = await self._look_at_ages()
                self._found = time.monotonic(), found
            return self._found[1]

    async def _look_at_ages(self) -> Ages:
        idle = self._state.listed.node.flow_idle
        found = await asyncio.to_thread(self._dataplane.flows.ages, idle)
        rows = []
        for name, vip in self._state.vips.items():
            for real in vip.reals.values():
                number = real.number.real_num
                live, opening = found.silent[number], int(found.opening[number])
                rows.append(
                    AgesRow(
                        vip=name,
                        real=real.name,
                        opening=opening,
                        open=int(live.sum()) - opening,
                        closing=int(found.closing[number]),
                        silent=tuple(live.tolist()),
                        longest=round(int(found.longest[number]) / HZ, 3),
                    )
                )
        return Ages(BOUNDS, tuple(rows))


class _Found:
    """The answer about many flows, as it grows."""

    def __init__(self, looked: Sequence[_Looked]) -> None:
        self._looked = looked
        self._vips: list[str] = []
        self._leaving: list[str] = []
        self._reals: dict[str, int] = {}
        self._of = np.full(len(looked), NONE, "<u2")
        self._by = bytearray([_WAYS.index("none")]) * len(looked)
        self._numbers = np.full((4, len(looked)), NONE, "<u2")
        """Of reals: new flows', those that began before; both after the change."""

    def add(self, vip: _Vip, flows: Iterable[int]) -> None:
        """These are its.  For a thread, one after the other."""
        name = vip.state.listed.name
        for n in flows:
            each = self._looked[n]
            now = vip.now.verdict(each.hash, each.entries)
            self._of[n], self._by[n] = len(self._vips), _WAYS.index(now.by)
            self._note(n, 0, vip, now)
            if vip.then is not None:
                self._note(n, 2, vip, vip.then.verdict(each.hash, each.entries))
        self._vips.append(name)
        self._leaving += [name] if vip.leaves else []

    def _note(self, n: int, column: int, vip: _Vip, found: Verdict) -> None:
        for real_num in (found.real_num, found.going_on):
            name = whereabouts.named(vip.names, real_num)
            if name:
                self._numbers[column, n] = self._reals.setdefault(name, len(self._reals))
            column += 1

    def told(self, *, supposed: bool) -> FlowPlaces:
        columns = self._numbers
        return FlowPlaces(
            vips=tuple(self._vips),
            reals=tuple(self._reals),
            vip=self._of.tobytes(),
            real=columns[0].tobytes(),
            going_on=columns[1].tobytes(),
            by=bytes(self._by),
            real_after=columns[2].tobytes() if supposed else b"",
            going_on_after=columns[3].tobytes() if supposed else b"",
            leaving=tuple(self._leaving),
        )
