# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md: which invariant is held by which tests, read from the tests themselves.

`python -m tests.conformance` writes the page; a unit test fails when it is out of step.  A test
claims an invariant by its name (`test_f1_...`) or its docstring (`F1: ...`).
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
NAMED = re.compile(r"(?<![a-z0-9])([rfpchk]\d{1,2})(?=_|$)")
TOLD = re.compile(r"\b([RFPCHK]\d{1,2})\b")
INVARIANTS = {
    "R1": "same VIP, members and seed: the same ring on every node, in any order",
    "R2": "each real's slots are its share, within 3; weight 0 has none",
    "R3": "removing a real moves little else; adding it again restores the ring",
    "R4": "a higher weight costs a real hardly any of its own slots (how few: ADR 0003)",
    "R5": "no usable real: an explicit empty ring, never a stale one",
    "R6": "every permutation visits every slot",
    "R7": "a number of slots that is not prime is refused",
    "F1": "drain keeps every established flow and gives the real no new one",
    "F2": "a duplicate SYN of a live flow stays on its real",
    "F3": "no sequence of changes delivers a flow to another address than its own",
    "F4": "a real that is down is avoided by the next packet",
    "F5": "agent killed, restarted, upgraded: no packet lost, no flow moved, counters go on",
    "F6": "a packet sees the old ring or the new one",
    "F7": "a flood of new flows leaves live ones alone",
    "F8": "a flow that changes nodes finds its real",
    "F9": "counting flows does not change what is evicted",
    "P1": "outer header: checksum, lengths, DSCP, TTL, DF",
    "P2": "the inner packet is byte-identical",
    "P3": "ICMP errors reach the flow's own real",
    "P4": "too big: an own packet-too-big with the right MTU",
    "P5": "what is not for a VIP is passed unchanged",
    "P6": "truncated and malformed frames: one outcome each, never a crash",
    "P7": "fragments to a VIP: one reason, none forwarded alone",
    "P8": "outer source: one per flow, spread, never an own address",
    "P9": "no loops",
    "P10": "ICMP echo to a VIP",
    "C1": "rx = tx + pass + drop; reasons sum to drops; CPUs sum to totals",
    "C2": "lost and suppressed events are counted exactly",
    "C3": "hits + misses = lookups; causes sum to misses",
    "H1": "rise and fall are consecutive; simultaneous changes are one rebuild",
    "H2": "announced only with program, ring, quorum and first round; withdrawn first",
    "H3": "node drain in order, abortable at each step",
    "H4": "BGP pipe or child breaks: all routes come back, once",
    "H5": "policy when all reals are down",
    "K1": "commands: idempotent, ordered by revision, safe to repeat",
    "K2": "guard rails on every path",
    "K3": "what-if equals what happens",
    "K4": "a slow subscriber costs nobody else; stale is shown as stale",
    "K5": "all or nothing: a failed write leaves the old state in force",
}  # fmt: skip


def claims() -> dict[str, list[str]]:
    """Invariant -> `path::test`, sorted."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, text in _tests(path):
            claimed = {match.upper() for match in NAMED.findall(name)} | set(TOLD.findall(text))
            for invariant in claimed & INVARIANTS.keys():
                found[invariant].append(f"{path.relative_to(ROOT / 'tests')}::{name}")
    return found


def _tests(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def page() -> str:
    found = claims()
    lines = [
        "# Conformance",
        "",
        "What remora promises, and the tests that hold it. `python -m tests.conformance` writes it",
        "from the tests' names and docstrings; a test fails when this page is out of step.",
        "",
        "| | invariant | held by (below `tests/`) |",
        "|--|--|--|",
    ]
    for invariant, meaning in INVARIANTS.items():
        tests = "<br>".join(f"`{name}`" for name in found.get(invariant, ())) or "*not yet*"
        lines.append(f"| {invariant} | {meaning} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
