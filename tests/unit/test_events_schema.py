# SPDX-License-Identifier: Apache-2.0
"""A line of the event log is what its schema says, and the schema is what the structs say."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.wire.eventlog import EventLog
from shared.messages import Event
from tests import events_schema
from tests.unit import test_codec as golden

SCHEMA: dict[str, Any] = json.loads(events_schema.PLACE.read_text())
EVENTS = {n: m for n, m in golden.TELEMETRY.items() if isinstance(m, Event)}
KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def wrong(value: object, kind: dict[str, Any]) -> str:
    """The first contradiction, by the keywords that our schema uses; empty: none."""
    if "$ref" in kind:
        return wrong(value, SCHEMA["$defs"][kind["$ref"].rpartition("/")[2]])
    if "anyOf" in kind and all(wrong(value, each) for each in kind["anyOf"]):
        return f"{value!r} is none of {len(kind['anyOf'])}: " + "; ".join(
            wrong(value, each) for each in kind["anyOf"]
        )
    if "not" in kind and not wrong(value, kind["not"]):
        return f"{value!r} must not be"
    if "type" in kind and not isinstance(value, KINDS[kind["type"]]):
        return f"{value!r} is no {kind['type']}"
    if "enum" in kind and value not in kind["enum"]:
        return f"{value!r} is not among {kind['enum']}"
    if "pattern" in kind and not re.search(kind["pattern"], str(value)):
        return f"{value!r} does not match {kind['pattern']}"
    if isinstance(value, list):
        return next(filter(None, (wrong(each, kind.get("items", {})) for each in value)), "")
    if isinstance(value, dict):
        for name in kind.get("required", ()):
            if name not in value:
                return f"{name} is missing"
        parts = kind.get("properties", {})
        return next(filter(None, (wrong(v, parts.get(n, {})) for n, v in value.items())), "")
    return ""


def written(event: Event, directory: Path) -> dict[str, Any]:
    """As it is in the file."""

    async def write() -> None:
        log = EventLog(str(directory / "events.jsonl"))
        log.write(event)
        await log.close()

    asyncio.run(write())
    (line,) = (directory / "events.jsonl").read_text().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_schema_is_in_step() -> None:
    assert events_schema.PLACE.read_text() == events_schema.text(), (
        "run python -m tests.events_schema"
    )


def test_every_kind_of_event_is_tried() -> None:
    kinds = {event.body.__struct_config__.tag for event in EVENTS.values()}
    assert kinds <= set(SCHEMA["$defs"])
    assert {"drop", "health", "route", "peer", "change", "lost"} <= kinds


@pytest.mark.parametrize("name", EVENTS)
def test_a_written_line_keeps_to_the_schema(name: str, tmp_path: Path) -> None:
    line = written(EVENTS[name], tmp_path)
    assert wrong(line, SCHEMA) == ""
    for field in line:
        less = {key: value for key, value in line.items() if key != field}
        assert wrong(less, SCHEMA), f"a line without {field} is none"


def test_the_schema_refuses_what_is_none(tmp_path: Path) -> None:
    line = written(EVENTS["event-drop"], tmp_path)
    for name, value in (("at", "now"), ("head", "0xff"), ("cpu", "1"), ("sequence", None)):
        assert wrong(line | {name: value}, SCHEMA), name
    assert wrong(line | {"colour": "blue"}, SCHEMA) == "", "fields may be added"
    assert wrong({"at": 1.0, "node": "lb1", "sequence": 3, "type": "eclipse"}, SCHEMA) == ""


def test_every_field_has_a_meaning() -> None:
    for name, kind in SCHEMA["$defs"].items():
        for field, part in kind.get("properties", {}).items():
            assert field == "type" or part.get("description"), f"{name}.{field}"


def test_numbers_survive(tmp_path: Path) -> None:
    event = msgspec.structs.replace(EVENTS["event-drop"], sequence=2**53 - 1)
    assert written(event, tmp_path)["sequence"] == 2**53 - 1
