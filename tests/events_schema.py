# SPDX-License-Identifier: Apache-2.0
"""configs/events.schema.json, written from the structs: `python -m tests.events_schema`.

The schema (JSON Schema 2020-12) of a line of `telemetry.event_log`, for who maps the fields of
Loki, Elastic or Falco.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec

from shared.messages import EventBody
from tests.wire_page import COMMON, MEANT, Table, tables

PLACE = Path(__file__).parents[1] / "configs" / "events.schema.json"
HEAD = {
    "at": {"type": "number", "description": "Unix time, seconds, to the millisecond"},
    "node": {"type": "string", "description": COMMON["node"]},
    "sequence": {"type": "integer", "description": "without a gap from the agent's start"},
}


def schema() -> dict[str, Any]:
    bodies = get_args(EventBody)
    _, parts = msgspec.json.schema_components(bodies, ref_template="#/$defs/{name}")
    pages = tables()
    lines = {
        parts[body.__name__]["properties"]["type"]["enum"][0]: _line(
            parts.pop(body.__name__), pages[body.__name__]
        )
        for body in bodies
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of a remora agent, one JSON object a line",
        "description": "Fields and types are only added: pass over what you do not know.",
        "type": "object",
        "required": [*HEAD, "type"],
        "properties": {**HEAD, "type": {"type": "string"}},
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in lines]
        + [{"properties": {"type": {"not": {"enum": list(lines)}}}}],
        "$defs": {**lines, **parts},
    }


def _line(found: dict[str, Any], page: Table) -> dict[str, Any]:
    """All fields are in every line; bytes are hex there, not base64."""
    meant = {field.name: field.meaning for field in page.fields}
    properties = {name: dict(kind) for name, kind in found["properties"].items()}
    for name, kind in properties.items():
        kind.pop("default", None)
        if kind.pop("contentEncoding", None):
            kind["pattern"] = "^([0-9a-f]{2})*$"
        if meant.get(name):
            kind["description"] = meant[name]
    return {
        "description": page.meaning or MEANT[page.name],
        "properties": properties,
        "required": list(properties),
    }


def text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text())
