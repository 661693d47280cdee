# SPDX-License-Identifier: Apache-2.0
"""The agents' answers to a dry run -> what the operator reads before saying yes.  Pure.

Dialog and CLI show the same plan; every number in it is an agent's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from console import format as fmt
from console.exits import Exit
from console.planning.wish import Wish
from shared.messages import Answer, Change
from shared.model import RING_SLOTS, Admin

ASK_NAME_ABOVE = 0.02
"""Share of a VIP's ring above which the CLI wants the name typed, not just `y`."""


ROUTE = "route"
"""Change.what of a line about routes."""
_NAMED = 4
"""So many nodes are counted, not named."""


class Answered(NamedTuple):
    """One node's answer, or None when it gave none in time."""

    address: str
    node: str
    answer: Answer | None


class Effect(NamedTuple):
    """What becomes of one real of one VIP over all nodes (of a node: both empty)."""

    vip: str
    real: str
    was: str
    now: str
    nodes: int
    share_before: float
    """Of the VIP's ring; the largest over the nodes, as all below but `live_flows`."""
    share_after: float
    moved: float
    """Share of the ring that changes owner."""
    collateral: float
    """Of that: what moves between other reals."""
    live_flows: int
    """Over all nodes."""
    reals_left: int
    """On the node where fewest are left."""


def effects(answers: Sequence[Answered]) -> list[Effect]:
    """Per (VIP, real) the plan over all nodes that gave one."""
    by_real: dict[tuple[str, str], list[tuple[Change, int]]] = {}
    for answered in answers:
        changes = answered.answer.changes if answered.answer else ()
        changes = tuple(change for change in changes if not change.what)
        for change in changes:
            among = _own([c for c in changes if c.vip == change.vip])
            by_real.setdefault((change.vip, change.real), []).append((change, among))
    return [_effect([c for c, _ in found], [o for _, o in found]) for found in by_real.values()]


def _own(changes: Sequence[Change]) -> int:
    """Slots that must change owner when these reals of one VIP change together."""
    steps = [change.slots_after - change.slots_before for change in changes]
    return max(sum(s for s in steps if s > 0), -sum(s for s in steps if s < 0))


def _effect(changes: Sequence[Change], own: Sequence[int]) -> Effect:
    first = changes[0]
    others = max(c.slots_moved - o for c, o in zip(changes, own, strict=True))
    return Effect(
        vip=first.vip,
        real=first.real,
        was=" / ".join(sorted({c.was for c in changes})),
        now=" / ".join(sorted({c.now for c in changes})),
        nodes=len(changes),
        share_before=max(c.slots_before for c in changes) / RING_SLOTS,
        share_after=max(c.slots_after for c in changes) / RING_SLOTS,
        moved=max(c.slots_moved for c in changes) / RING_SLOTS,
        collateral=max(0, others) / RING_SLOTS,
        live_flows=sum(c.live_flows for c in changes),
        reals_left=min(c.reals_left for c in changes),
    )


def refused(answers: Sequence[Answered]) -> bool:
    return any(a.answer is not None and a.answer.status in ("refused", "failed") for a in answers)


def to_do(answers: Sequence[Answered]) -> list[Answered]:
    """The nodes on which something would change."""
    return [a for a in answers if a.answer is not None and a.answer.status == "planned"]


def done_before(answers: Sequence[Answered]) -> list[Answered]:
    """The nodes that did it under the same idempotency key: nothing is planned there any more."""
    return [a for a in answers if a.answer is not None and a.answer.keyed and a.answer.note]


def revisions(answers: Sequence[Answered]) -> Mapping[str, int]:
    """Address -> revision that the plan was made at: what the command then expects."""
    return {a.address: a.answer.revision for a in answers if a.answer is not None}


def lines(answers: Sequence[Answered]) -> list[tuple[str, str]]:
    """(label, text) of the plan."""
    written = _of_routes(answers)
    by_vip: dict[tuple[str, bool], list[Effect]] = {}
    every = effects(answers)
    for effect in every:
        by_vip.setdefault((effect.vip, bool(effect.real)), []).append(effect)
    for found in by_vip.values():
        if len(found) > 1:
            written += _of_several(found)
        else:
            one = found[0]
            written += _of_real(one, named=len(every) > 1) if one.real else _of_node(one)
    written += _of_config(answers)
    written += [("guards", text) for text in _guards(answers)]
    before = done_before(answers)
    written += [("done before", f"{a.node}: {a.answer.note}") for a in before if a.answer]
    unchanged = [
        a.node for a in answers if a not in before and a.answer and a.answer.status == "unchanged"
    ]
    if unchanged:
        written.append(("already so", f"on {', '.join(unchanged)}"))
    silent = [a.node for a in answers if a.answer is None]
    if silent:
        written.append(("no answer", f"{', '.join(silent)}: left out, nothing changes there"))
    return written


def _of_real(effect: Effect, *, named: bool) -> list[tuple[str, str]]:
    before, after = fmt.percent(effect.share_before), fmt.percent(effect.share_after)
    which = f"{effect.real}  " if named else ""
    return [
        (effect.vip, f"{which}{effect.was} -> {effect.now}, on {_nodes(effect.nodes)}"),
        (
            "new flows",
            f"{fmt.percent(effect.moved)} of the ring moves; this real {before} -> {after}, "
            f"others among themselves {fmt.percent(effect.collateral)}",
        ),
        ("flows now", f"{fmt.count(effect.live_flows)} live {_what_of_them(effect)}"),
        ("reals left", f"{effect.reals_left} of {effect.vip} take new flows"),
    ]


def _what_of_them(effect: Effect) -> str:
    if effect.now.startswith(Admin.DISABLED):
        return "lose it and are placed anew"
    return "stay on it until they end"


def _of_several(effects: Sequence[Effect]) -> list[tuple[str, str]]:
    """Reals of one VIP that change together: each by name, then what it comes to."""
    first = effects[0]
    each = [
        (
            first.vip if effect is first else "",
            f"{effect.real}  {effect.was} -> {effect.now}, on {_nodes(effect.nodes)}, "
            f"{fmt.count(effect.live_flows)} live flows",
        )
        for effect in effects
    ]
    before = sum(effect.share_before for effect in effects)
    after = sum(effect.share_after for effect in effects)
    return [
        *each,
        (
            "new flows",
            f"{fmt.percent(first.moved)} of the ring moves; these {len(effects)} reals "
            f"{fmt.percent(before)} -> {fmt.percent(after)}, "
            f"others among themselves {fmt.percent(first.collateral)}",
        ),
        ("reals left", f"{first.reals_left} of {first.vip} take new flows"),
    ]


def _of_config(answers: Sequence[Answered]) -> list[tuple[str, str]]:
    """What a config file changes besides reals: settings, VIPs."""
    nodes: dict[tuple[str, str], int] = {}
    for answered in answers:
        for change in answered.answer.changes if answered.answer else ():
            if change.what not in ("", ROUTE):
                key = "" if change.what == "vips" else f"{change.what}: "
                line = change.vip or "config", f"{key}{change.was} -> {change.now}"
                nodes[line] = nodes.get(line, 0) + 1
    return [(label, f"{text}, on {_nodes(count)}") for (label, text), count in nodes.items()]


def _of_routes(answers: Sequence[Answered]) -> list[tuple[str, str]]:
    """What becomes of routes, node by node where the nodes differ."""
    nodes: dict[tuple[str, str], list[Answered]] = {}
    live = 0
    for answered in answers:
        for change in answered.answer.changes if answered.answer else ():
            if change.what == ROUTE:
                said = change.vip or "routes", f"{change.was} -> {change.now}"
                nodes.setdefault(said, []).append(answered)
                live += change.live_flows
    lines = [
        (
            label,
            f"{text}, on {', '.join(a.node for a in on) if len(on) < _NAMED else _nodes(len(on))}",
        )
        for (label, text), on in nodes.items()
    ]
    if live:
        lines.append(("flows now", f"{fmt.count(live)} live come by these routes"))
    return lines


def _of_node(effect: Effect) -> list[tuple[str, str]]:
    return [
        (effect.vip or "node", f"{effect.was} -> {effect.now}"),
        ("flows now", f"{fmt.count(effect.live_flows)} live on it"),
    ]


def _guards(answers: Sequence[Answered]) -> list[str]:
    nodes: dict[tuple[str, str], list[str]] = {}
    for _, node, answer in answers:
        if answer is not None and answer.status in ("refused", "failed"):
            nodes.setdefault((answer.guard or answer.status, answer.error), []).append(node)
    said = [f"✕ {name} on {', '.join(on)}: {why}" for (name, why), on in nodes.items()]
    if not said and to_do(answers):
        said.append(f"ok on {_nodes(len(to_do(answers)))}")
    return said


def _nodes(count: int) -> str:
    return f"{count} node" + ("" if count == 1 else "s")


def largest_move(answers: Sequence[Answered]) -> float:
    return max((effect.moved for effect in effects(answers)), default=0.0)


def wants_typing(wish: Wish, answers: Sequence[Answered]) -> bool:
    """Whether `y` or a button is too little: the name has to be typed, of several their number."""
    node = any(name.startswith("node/") for name in wish.objects)
    return node or wish.withdraws or len(wish.objects) > 1 or largest_move(answers) > ASK_NAME_ABOVE


def in_force(answer: Answer | None) -> bool:
    """It was done, or was so already; whether it was read back is another question."""
    return answer is not None and answer.status in ("applied", "verified", "unchanged", "ok")


def step(answer: Answer) -> str:
    """How far a command has come on its node, in words."""
    if answer.status == "unchanged":
        return "already so"
    if answer.status in ("applied", "verified", "unverified"):
        return f"{answer.status}, revision {answer.revision}"
    return answer.status


def outcome(answers: Sequence[Answered]) -> Exit:
    """The exit code of commands that were really sent."""
    good = sum(in_force(a.answer) and not (a.answer and a.answer.more) for a in answers)
    if good == len(answers):
        return Exit.DONE
    if good:
        return Exit.PARTIAL
    return _nothing_done(answers)


def _nothing_done(answers: Sequence[Answered]) -> Exit:
    known = [a.answer for a in answers if a.answer is not None and not a.answer.more]
    if not known:
        return Exit.TIMED_OUT  # or a step was seen, but not the last one
    if all(a.status == "refused" for a in known):
        if any(a.guard in ("role", "key") for a in known):
            return Exit.NOT_ALLOWED
        conflict = any(a.guard == "revision" for a in known)
        return Exit.CONFLICT if conflict else Exit.REFUSED
    return Exit.FAILED
