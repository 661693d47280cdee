# SPDX-License-Identifier: Apache-2.0
"""`make bench-check` can fail: what is slower by more than a tenth, and what has no reference."""

from tests.bench.check import slower


def test_a_tenth_passes_and_more_fails() -> None:
    assert slower({"one flow": 0.769, "SYN": 0.2}, {"one flow": 0.7, "SYN": 0.3}) == []
    (line,) = slower({"one flow": 0.84}, {"one flow": 0.7})
    assert "20 % slower" in line


def test_a_case_without_a_reference_fails() -> None:
    (line,) = slower({"new case": 0.1}, {})
    assert "--renew" in line
