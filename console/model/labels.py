# SPDX-License-Identifier: Apache-2.0
"""What the nodes say of the labels of VIPs and reals, as one.  Pure.

Nodes that label VIPs and reals alike share one table, so that five hundred of them cost as much as
one.  Labels of a node whose digest is another by now, or that never said any, are not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from shared.labels import written
from shared.messages import LabelSnapshot

if TYPE_CHECKING:
    from console.model.store import Agent

Said = tuple[Mapping[str, str], ...]
"""The labels of an object; several: nodes disagree; none: not known."""
UNKNOWN: Said = ()
LOCATIONS = ("rack", "row", "room", "zone", "site", "region")
"""Keys of a node's labels that `@r2` may mean."""


class Table:
    """The labels of VIPs and reals as one node has them, or many alike."""

    def __init__(self, told: LabelSnapshot) -> None:
        sets: list[Said] = [(labels,) for labels in told.sets]
        self.vips = {name: _at(sets, n) for name, n in told.vips.items()}
        self.reals = {
            (vip, address): _at(sets, n)
            for vip, reals in told.reals.items()
            for address, n in reals.items()
        }


def _at(sets: list[Said], number: int) -> Said:
    return sets[number] if 0 <= number < len(sets) else UNKNOWN


_TABLES: WeakValueDictionary[str, Table] = WeakValueDictionary()
"""By the digest `common`; those that an agent holds."""


def table(told: LabelSnapshot) -> Table:
    found = _TABLES.get(told.common)
    if found is None:
        found = _TABLES[told.common] = Table(told)
    return found


class Book:
    """What several agents say."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        tables = (agent.label_table for agent in agents)
        self._tables = list({id(each): each for each in tables if each is not None}.values())

    def vip(self, name: str) -> Said:
        return _merged([t.vips[name] for t in self._tables if name in t.vips])

    def real(self, vip: str, address: str) -> Said:
        key = vip, address
        return _merged([t.reals[key] for t in self._tables if key in t.reals])


def _merged(found: list[Said]) -> Said:
    if len(found) == 1:
        return found[0]
    distinct: dict[str, Mapping[str, str]] = {}
    for said in found:
        for labels in said:
            distinct.setdefault(written(labels), labels)
    return tuple(distinct.values())


def in_words(said: Said) -> str:
    """`rack=r2,tier=web`; where nodes differ `rack=r1|r2`; empty: none."""
    if len(said) <= 1:
        return written(said[0]) if said else ""
    keys = sorted({key for labels in said for key in labels})
    return ",".join(f"{key}={'|'.join(_values(said, key))}" for key in keys)


def _values(said: Said, key: str) -> list[str]:
    return list(dict.fromkeys(labels.get(key, "-") for labels in said))


def differing(said: Said) -> list[str]:
    """The keys about which nodes disagree."""
    keys = sorted({key for labels in said for key in labels})
    return [key for key in keys if len(_values(said, key)) > 1]


def common(said: Said) -> dict[str, str] | None:
    """What all say; None: not known."""
    if not said:
        return None
    apart = differing(said)
    return {key: value for key, value in sorted(said[0].items()) if key not in apart}


def known_pairs(agents: Iterable[Agent]) -> list[str]:
    """Every `key=value` that is in use, for completion."""
    found = set()
    for agent in agents:
        told, of = agent.labels, agent.label_table
        if told is None or of is None:
            continue
        for labels in (told.labels, *told.sets):
            found |= {f"{key}={value}" for key, value in labels.items()}
    return sorted(found)


def unlabelled(names: Sequence[str]) -> str:
    """Why nodes that answer are not judged by labels."""
    does = "do not say their labels" if len(names) > 1 else "does not say its labels"
    return f"{', '.join(names)} {does} (an older agent)"


def silent_of_labels(agents: Iterable[Agent]) -> list[Agent]:
    """Those that say something, but not that."""
    return [agent for agent in agents if agent.node is not None and not agent.own_labels]
