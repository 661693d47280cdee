# SPDX-License-Identifier: Apache-2.0
"""A plan, and what became of it, as lines on the screen.  Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from console.planning import plan
from console.planning.asking import Terms
from console.planning.plan import Answered
from console.planning.wish import Wish
from console.views.cells import Cell, TextLine, line

LABEL = 12
"""Columns of the plan's left side."""


NAMED = 5
"""Nodes that are left out and named."""


def plan_lines(
    answered: Sequence[Answered],
    width: int,
    left_out: Sequence[str] = (),
    known: Sequence[tuple[str, str]] = (),
) -> list[TextLine]:
    """`left_out`: nodes that were not asked, as they are not live; `known`: as Wish.known."""
    lines: list[TextLine] = []
    said = [*known, *plan.lines(answered)]
    if left_out:
        more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
        text = f"{', '.join(left_out[:NAMED])}{more}: left out, nothing changes there"
        said.append(("not live", text))
    for label, text in said:
        tone = "bad" if text.startswith("✕") else "warn" if label == "not live" else ""
        for index, part in enumerate(wrapped(text, width - LABEL)):
            lines.append((Cell(f"{label if index == 0 else '':<{LABEL}}", "dim"), Cell(part, tone)))
    return lines


def verdict_lines(answered: Sequence[Answered], *, ready: bool) -> list[TextLine]:
    if ready:
        return []
    if plan.refused(answered):
        return [
            line("refused: nothing was sent", "bad"),
            line("a guard is passed by its name in `allow`, with a reason, then Plan", "dim"),
        ]
    if all(a.answer is None for a in answered):
        return [line("no node answered: nothing was sent", "bad")]
    return [line("nothing to do: it is so already", "ok")]


def result_lines(answers: Sequence[Answered], asked: int) -> list[TextLine]:
    """What became of a command, node by node; `asked`: of how many."""
    good = sum(plan.in_force(a.answer) for a in answers)
    verified = sum(a.answer is not None and a.answer.status == "verified" for a in answers)
    steps = f" applied {good}/{asked}" + (f", verified {verified}/{asked}" if verified else "")
    waits = len(answers) < asked or any(a.answer is not None and a.answer.more for a in answers)
    lines = [line(steps, "ok" if good == asked else "dim" if waits else "bad")]
    for answered in answers:
        answer = answered.answer
        if answer is None:
            text = "no answer; it may still take effect: watch the row"
            lines.append(line(f" {answered.node}  {text}", "bad"))
        elif answer.status in ("refused", "failed", "unverified"):
            text = f"{answer.status} {answer.guard}: {answer.error}"
            lines.append(line(f" {answered.node}  {text}", "bad"))
        else:
            tone = "dim" if answer.status == "accepted" else "ok"
            lines.append(line(f" {answered.node}  {plan.step(answer)}", tone))
    return lines


def as_cli(wish: Wish, terms: Terms, why: str, turns: str) -> list[str]:
    """The commands that do the same; `turns`: the flags for how the nodes have them."""
    flags = [
        *([turns] if turns else []),
        *(f"--node {shlex.quote(name)}" for name in wish.only),
        *(f"--allow {shlex.quote(guard)}" for guard in terms.allow),
        *([f"--for {terms.expires:.0f}s"] if terms.expires else []),
        *([f"--reason {shlex.quote(why)}"] if why else []),
    ]
    return [" ".join(["remora", text, *flags]) for text in wish.lines]


def wrapped(text: str, width: int) -> list[str]:
    lines, current = [], ""
    for word in text.split():
        if current and len(current) + 1 + len(word) > width:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    return [*lines, current]
