# SPDX-License-Identifier: Apache-2.0
"""What a selector means that something is to be done to: objects by name, or a refusal.  Pure.

Nothing is guessed: where a node that answers does not say its labels, or nodes disagree about those
of an object, it is not known what is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from console.exits import VerbError
from console.model.labels import Book, Said, in_words, silent_of_labels, unlabelled
from console.model.objects import Kind, Object, ObjectError
from console.model.selectors import Selector
from console.model.store import Agent

WORDS = {"real": "reals", "vip": "VIPs", "node": "nodes", "peer": "peers"}


def chosen(
    agents: Sequence[Agent],
    wanted: Selector,
    kinds: Sequence[Kind],
    *,
    vip: str = "",
    absent: Sequence[str] = (),
) -> list[Object]:
    """The objects of one kind of which the selector holds, as `agents` (those that are meant) have
    them.  `absent`: addresses of those that do not answer.  Raises VerbError."""
    there = _telling(agents, wanted, absent)
    found = {kind: _of_kind(there, wanted, kind, vip) for kind in kinds}
    some = [kind for kind in kinds if found[kind]]
    if not some:
        raise VerbError(_nothing(there, wanted, kinds, vip))
    if len(some) > 1:
        counted = ", ".join(_counted(found[kind], kind) for kind in some)
        raise ObjectError(f"-l '{wanted}': ambiguous: {counted}; write {' or '.join(some)} before")
    if some == ["node"]:
        _all_answer(agents, absent, wanted)
    return found[some[0]]


def kept(
    target: Object,
    agents: Sequence[Agent],
    wanted: Selector,
    *,
    vip: str = "",
    absent: Sequence[str] = (),
) -> list[Object]:
    """What of an object by name is meant: of a real in every VIP those VIPs in which the selector
    holds; of VIPs and reals what is of `vip`.  Raises VerbError as `chosen`."""
    of = target.name if target.kind == "vip" else target.vip
    if vip and (target.kind == "node" or of not in ("", vip)):
        return []
    if not wanted:
        return [target._replace(vip=vip)] if vip and target.kind == "real" else [target]
    found = _of_kind(_telling(agents, wanted, absent), wanted, target.kind, vip)
    return [each for each in found if each.name == target.name and target.vip in ("", each.vip)]


def _telling(agents: Sequence[Agent], wanted: Selector, absent: Sequence[str]) -> list[Agent]:
    """Those that answer.  Raises VerbError where one of them says no labels."""
    there = [agent for agent in agents if agent.address not in absent]
    silent = [agent.name for agent in silent_of_labels(there)]
    if silent:
        raise VerbError(
            f"-l '{wanted}': {unlabelled(silent)}, so that what it means there is not known: "
            "choose other nodes with --node, or name the objects"
        )
    return there


def _of_kind(agents: Sequence[Agent], wanted: Selector, kind: Kind, vip: str) -> list[Object]:
    book = Book(agents)
    told: dict[Object, Said] = {}
    for agent in agents:
        match kind:
            case "node":
                told[Object("node", agent.name)] = agent.own_labels
            case "vip":
                rows = agent.vips.vips if agent.vips else ()
                told |= {Object("vip", row.name): book.vip(row.name) for row in rows}
            case "real":
                told |= {
                    Object("real", row.address, row.vip): book.real(row.vip, row.address)
                    for row in (agent.reals.reals if agent.reals else ())
                    if vip in ("", row.vip)
                }
    return [object_ for object_, said in told.items() if _meant(object_, said, wanted)]


def _meant(object_: Object, said: Said, wanted: Selector) -> bool:
    """Raises VerbError where it is so for some nodes and not for others."""
    verdicts = {wanted.matches(labels) for labels in said}
    if len(verdicts) > 1:
        raise VerbError(
            f"-l '{wanted}': nodes disagree about the labels of {object_}: {in_words(said)}; "
            "settle that in their config files, or name the objects"
        )
    return verdicts == {True}


def _nothing(agents: Sequence[Agent], wanted: Selector, kinds: Sequence[Kind], vip: str) -> str:
    of = f" of {vip}" if vip else ""
    keys = {key for a in agents if a.labels for each in (a.labels.labels, *a.labels.sets)
            for key in each}  # fmt: skip
    strange = [each.key for each in wanted.requirements if each.key not in keys]
    known = f"; there is {', '.join(sorted(keys))}" if keys else "; nothing has labels"
    why = f": nothing has a label {strange[0]}{known}" if strange else ""
    return f"-l '{wanted}': matches no {' or '.join(kinds)}{of}{why}"


def _all_answer(agents: Sequence[Agent], absent: Sequence[str], wanted: Selector) -> None:
    gone = [agent.name for agent in agents if agent.address in absent]
    if gone:
        raise VerbError(
            f"-l '{wanted}': no answer from {', '.join(gone)}: whether it is meant is not known; "
            "choose the others with --node"
        )


def _counted(found: Sequence[Object], kind: Kind) -> str:
    return f"{len(found)} {WORDS[kind] if len(found) > 1 else kind}"
