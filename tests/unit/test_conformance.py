# SPDX-License-Identifier: Apache-2.0
"""The page that says what is held is in step with the tests that hold it."""

from __future__ import annotations

from tests import conformance


def test_page_is_in_step() -> None:
    written = conformance.PAGE.read_text()
    assert written == conformance.page(), "run: python -m tests.conformance"
