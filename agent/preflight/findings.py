# SPDX-License-Identifier: Apache-2.0
"""What preflight says of a machine: findings, their text, their JSON, their exit code.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from agent.preflight.settings import Change, commands


class Level(StrEnum):
    """How much it matters."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARN = "warn"
    """Serves, but less well than it could, or only by luck."""
    FAIL = "fail"
    """Traffic would be lost, or the agent would not start."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    """Which check found it: stable, for scripts (`mtu`, `rp_filter`)."""
    subject: str
    """What it is about: an interface, a VIP, a peer, or empty: the machine."""
    level: Level
    what: str
    why: str
    """Why it matters."""
    fix: str = ""
    """The command (or the line of the config) that puts it right; empty: nothing to do."""
    remedy: tuple[Change, ...] = ()
    """The same as `--fix` does it; empty: it leaves that to people."""


def ok(check: str, subject: str, what: str, why: str) -> Finding:
    return Finding(check, subject, Level.OK, what, why)


def mended(check: str, subject: str, level: Level, what: str, why: str, *remedy: Change) -> Finding:
    """One that `--fix` puts right by itself: safe, and undone by `--undo`."""
    return Finding(check, subject, level, what, why, commands(remedy), remedy)


def exit_code(findings: Iterable[Finding]) -> int:
    """0: may serve; 1: at least one failure."""
    return int(any(finding.level is Level.FAIL for finding in findings))


def as_json(role: str, name: str, findings: Sequence[Finding]) -> dict[str, object]:
    """Plain values, for json.dumps."""
    return {
        "role": role,
        "name": name,
        "ok": exit_code(findings) == 0,
        "levels": _counts(findings),
        "findings": [_plain(finding) for finding in findings],
    }


def as_text(findings: Sequence[Finding]) -> str:
    """One line per finding, why and fix below those that ask for something, and a summary."""
    width = max((len(finding.check) for finding in findings), default=0)
    lines = [line for finding in findings for line in _lines(finding, width)]
    summary = ", ".join(f"{count} {level}" for level, count in _counts(findings).items() if count)
    if fixable := sum(bool(finding.remedy) for finding in findings):
        summary += f"; --fix does what {fixable} of them ask{'s' * (fixable == 1)} for"
    return "\n".join([*lines, summary])


def _lines(finding: Finding, width: int) -> list[str]:
    indent = " " * (6 + width + 2)
    about = f"{finding.subject}: " if finding.subject else ""
    lines = [f"{finding.level:<4}  {finding.check:<{width}}  {about}{finding.what}"]
    if finding.level is Level.OK:
        return lines
    lines.append(f"{indent}why: {finding.why}")
    if finding.fix:
        label = "--fix" if finding.remedy else "fix"
        lines.append(f"{indent}{label}: {finding.fix}")
    return lines


def _plain(finding: Finding) -> dict[str, object]:
    """`safe`: --fix does it."""
    shown = asdict(finding) | {"safe": bool(finding.remedy)}
    del shown["remedy"]
    return shown


def _counts(findings: Iterable[Finding]) -> dict[str, int]:
    counted = Counter(finding.level for finding in findings)
    return {str(level): counted[level] for level in reversed(Level)}
