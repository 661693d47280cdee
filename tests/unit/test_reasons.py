# SPDX-License-Identifier: Apache-2.0
"""The drop-reason table: numbers that never move, texts that are there, and its C copy."""

from __future__ import annotations

from pathlib import Path

from shared import reasons

BPF = Path(__file__).resolve().parents[2] / "bpf"


def test_the_c_header_is_the_table() -> None:
    """Remedy when this fails: python3 -m shared.reasons > bpf/reasons.h"""
    assert (BPF / "reasons.h").read_text() == reasons.c_header()


def test_released_numbers_keep_their_names() -> None:
    """Numbers are in pinned maps and on the wire: lines may be added here, never changed."""
    assert {r.number: r.name for r in reasons.REASONS} == {
        1: "fragment",
        2: "ip_options",
        3: "malformed",
        4: "no_real",
        5: "too_big",
        6: "encap_failed",
        7: "internal",
        8: "extension_header",
        9: "icmp_quote",
        10: "ping_limit",
        11: "congestion",
    }


def test_numbers_and_names_are_unique_and_fit_the_counters() -> None:
    numbers = [r.number for r in reasons.REASONS]
    assert sorted(set(numbers)) == sorted(numbers)
    assert len({r.name for r in reasons.REASONS}) == len(numbers)
    # 0 is "no reason"; lb_totals.drops has 32 places.
    assert all(0 < number < 32 for number in numbers)


def test_every_reason_tells_what_why_and_what_to_do() -> None:
    for reason in reasons.REASONS:
        assert reason.name.isidentifier()
        assert all((reason.meaning, reason.cause, reason.remedy)), reason.name


def test_an_unknown_number_has_a_name() -> None:
    assert reasons.name_of(1) == "fragment"
    assert reasons.name_of(31) == "reason-31"


def test_each_reason_is_used_by_the_program_and_only_these() -> None:
    """A reason that nothing raises, or a drop without a line in the table, is a lie."""
    program = "".join(p.read_text() for p in BPF.glob("*.[ch]") if p.name != "reasons.h")
    for reason in reasons.REASONS:
        assert f"REASON_{reason.name.upper()}" in program, reason.name
