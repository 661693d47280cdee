# SPDX-License-Identifier: Apache-2.0
"""A file that says how objects should be, and what is left to do until they are.  Pure.

TOML, or the same as JSON.  What it does not name stays as it is; what is so already is not asked
for again, so that a second run has nothing to do.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from console.exits import VerbError
from console.model.objects import Object, Part
from console.model.store import Agent
from shared.messages import Disable, Drain, RealRow, Undrain, Weight
from shared.model import Admin

API_VERSION = "remora/1"
KIND = "DesiredState"
KEYS = ("admin", "weight", "nodes")
_VERBS = {Admin.ENABLED: "undrain", Admin.DRAINING: "drain", Admin.DISABLED: "maint"}


class DesiredError(VerbError):
    """A file that cannot be meant; the text names file, key and value."""


class Desired(NamedTuple):
    object: str
    """As an operator writes it."""
    admin: Admin | None = None
    """None: as it is."""
    weight: int | None = None
    nodes: tuple[str, ...] = ()
    """Patterns; empty: all that carry it."""


class Step(NamedTuple):
    """What is left to do to one object on one node."""

    action: Part
    line: str
    """As the CLI writes it."""


def read(text: str, name: str) -> tuple[Desired, ...]:
    """Raises DesiredError."""
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise DesiredError(f"{name}: neither TOML nor JSON: {error}") from error
    said = found.get("apiVersion"), found.get("kind")
    if said != (API_VERSION, KIND):
        wanted = f'apiVersion = "{API_VERSION}" and kind = "{KIND}"'
        raise DesiredError(f"{name}: must say {wanted}; configs/state.toml is a sample")
    objects = found.get("objects")
    strange = set(found) - {"apiVersion", "kind", "objects"}
    if strange or not isinstance(objects, dict) or not objects:
        what = f"{min(strange)}: unknown key" if strange else "objects: a table of them is missing"
        raise DesiredError(f'{name}: {what}; each is [objects."real/ADDRESS@VIP"]')
    return tuple(_desired(name, str(each), table) for each, table in objects.items())


def _desired(name: str, about: str, table: object) -> Desired:
    where = f'{name}: objects."{about}"'
    if not isinstance(table, dict) or not table or set(table) - set(KEYS):
        strange = min(set(table) - set(KEYS), default="") if isinstance(table, dict) else ""
        raise DesiredError(f"{where}: {strange or 'empty'}: it takes {', '.join(KEYS)}")
    kind = about.partition("/")[0]
    return Desired(
        about, _admin(where, table, kind), _weight(where, table, kind), _nodes(where, table)
    )


def _admin(where: str, table: Mapping[str, Any], kind: str) -> Admin | None:
    value = table.get("admin")
    known = [str(a) for a in Admin if kind == "real" or a is not Admin.DISABLED]
    if value is None:
        return None
    if value not in known:
        raise DesiredError(f"{where}.admin: must be {' or '.join(known)}, got {value!r}")
    return Admin(value)


def _weight(where: str, table: Mapping[str, Any], kind: str) -> int | None:
    value = table.get("weight")
    if value is None:
        return None
    if kind != "real":
        raise DesiredError(f"{where}.weight: is of reals")
    if type(value) is not int or not 1 <= value <= 1000:
        raise DesiredError(f"{where}.weight: must be 1 to 1000, got {value!r}")
    return value


def _nodes(where: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    value = table.get("nodes", [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DesiredError(f'{where}.nodes: must be a list such as ["lb1", "edge*"], got {value!r}')
    return tuple(value)


def left(desired: Desired, target: Object, agent: Agent) -> list[Step]:
    """On a node that carries it.  Empty: it is so there."""
    match target.kind:
        case "node":
            drained = agent.node is not None and agent.node.admin is not Admin.ENABLED
            return list(_of_whole(desired, target, drained))
        case "vip":
            rows = agent.vips.vips if agent.vips else ()
            drained = any(row.name == target.name and row.phase for row in rows)
            return list(_of_whole(desired, target, drained))
    rows_ = agent.reals.reals if agent.reals else ()
    mine = [r for r in rows_ if r.address == target.name and target.vip in ("", r.vip)]
    return [step for row in mine for step in _of_real(desired, row)]


def _of_whole(desired: Desired, target: Object, drained: bool) -> Iterator[Step]:
    if desired.admin is not None and drained != (desired.admin is Admin.DRAINING):
        made = Undrain if drained else Drain
        node = target.kind == "node"
        action = made(node=True) if node else made(vip=target.name)
        yield Step(action, f"{_VERBS[desired.admin]} {target}")


def _of_real(desired: Desired, row: RealRow) -> Iterator[Step]:
    name = f"real/{row.address}@{row.vip}"
    if desired.admin not in (None, row.admin):
        made: Any = {"undrain": Undrain, "drain": Drain, "maint": Disable}[_VERBS[desired.admin]]
        yield Step(made(real=row.address, vip=row.vip), f"{_VERBS[desired.admin]} {name}")
    if desired.weight not in (None, row.weight):
        yield Step(
            Weight(real=row.address, weight=desired.weight, vip=row.vip),
            f"weight {name} {desired.weight}",
        )
