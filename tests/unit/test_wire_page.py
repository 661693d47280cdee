# SPDX-License-Identifier: Apache-2.0
"""docs/wire.md says what the code does, of every field."""

from __future__ import annotations

from tests import wire_page


def test_page_is_in_step() -> None:
    assert wire_page.PAGE.read_text() == wire_page.page(), "run: python -m tests.wire_page"


def test_every_struct_and_field_is_explained() -> None:
    page = wire_page.page()
    for name, table in wire_page.tables().items():
        if name != "Message":
            assert f"#### {name}" in page, f"{name}: add it to a list in tests/wire_page.py"
        for field in table.fields:
            assert field.meaning, f"{name}.{field.name}: say what it means"
