# SPDX-License-Identifier: Apache-2.0
"""`audit`: who did what on the nodes, from their own records; `--verify` checks the hash chains."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from console import format as fmt
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.views.items import listing
from console.views.written import now_text
from shared import chain
from shared.messages import AuditPart, ReadAudit

PART = 500
PATIENCE = 10.0
LAST_YEAR = 253402300800.0
"""The year 10000, which no clock writes."""


def audit(session: Session, arguments: Namespace) -> int:
    """Exit 0; 1 when a chain does not hold, 3 when some agent did not answer.  Raises VerbError."""
    _check(arguments)
    addresses = list(session.store.agents)
    first = 1 if arguments.verify else -max(1, arguments.last)
    found = {address: _records(session, address, first) for address in addresses}
    there = {address: part for address, part in found.items() if part is not None}
    if not there:
        raise session.nobody()
    for address in set(addresses) - set(there):
        session.say(f"remora: no answer from {address}: its records are missing")
    broken = False
    if arguments.verify:
        for address, part in there.items():
            broken = not verified(session.write, address, part.records, part) or broken
    else:
        lines = [line for part in there.values() for line in part.records]
        silent = [address for address in addresses if address not in there]
        _show(session.write, lines, arguments, silent)
    if broken:
        return Exit.FAILED
    return Exit.DONE if len(there) == len(addresses) else Exit.PARTIAL


def _check(arguments: Namespace) -> None:
    if arguments.verify and arguments.output != "table":
        raise VerbError(
            f"--verify says in words how the chains are, not with -o {arguments.output}"
        )


def of_file(arguments: Namespace) -> int:
    """The same of a copy of audit.jsonl.  Raises VerbError."""
    _check(arguments)
    path = Path(arguments.file)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise VerbError(f"{path}: {error.strerror}", Exit.FAILED) from error
    lines = text.removesuffix("\n").split("\n") if text else []
    if arguments.verify:
        return Exit.DONE if verified(_print, str(path), lines, None) else Exit.FAILED
    _show(_print, lines[-max(1, arguments.last) :], arguments)
    return Exit.DONE


def _print(text: str) -> None:
    print(*map(fmt.shown, text.split("\n")), sep="\n")


def _records(session: Session, address: str, first: int) -> AuditPart | None:
    """All from `first` on, in as many questions as it takes."""
    whole: AuditPart | None = None
    while True:
        answer = session.ask({address: ReadAudit(first, PART)}, timeout=PATIENCE)[address]
        if answer is not None and answer.status == "refused":
            raise VerbError(f"{answer.node}: {answer.error}", Exit.NOT_ALLOWED)
        part = answer.audit if answer else None
        if part is None:
            return whole
        records = (*whole.records, *part.records) if whole else part.records
        whole = AuditPart(records, part.total, part.head)
        if len(part.records) < PART:
            return whole
        begun, first = first, part.total + 1 if first < 0 else _number(part.records[-1]) + 1
        if 0 < first <= begun:
            return whole  # numbers that do not go up are no audit: `verified` says so


def _number(line: str) -> int:
    found = _parsed(line).get("n", 0)
    return found if isinstance(found, int) else 0


def verified(
    write: Callable[[str], None], name: str, lines: Sequence[str], part: AuditPart | None
) -> bool:
    """Says how the chain is; the oldest files may be gone, so any start will do."""
    first = _number(lines[0]) if lines else 1
    start = chain.START if first == 1 else None
    checked = chain.verify((line.encode() for line in lines), start)
    breaks = list(checked.breaks)
    if part is not None and lines and checked.head != part.head:
        breaks.append(chain.Break(len(lines), "the newest record is not the last of the chain"))
    for line, why in breaks:
        write(f"{name}: line {line}: {why}")
    since = f", from number {first} on" if first > 1 else ""
    write(
        f"{name}: {checked.records} records{since}, "
        f"{f'{len(breaks)} BREAKS' if breaks else 'chain ok'}, head {checked.head[:16]}"
    )
    return not breaks


def _show(
    write: Callable[[str], None],
    lines: Sequence[str],
    arguments: Namespace,
    silent: Sequence[str] = (),
) -> None:
    records = sorted(map(_parsed, lines), key=_at)[-max(1, arguments.last) :]
    if arguments.output == "json":
        made = listing("AuditList", records, at=now_text(), missing=silent)
        write(json.dumps(made, indent=2))
        return
    for record in records:
        as_json = arguments.output == "jsonl"
        write(json.dumps(record) if as_json else _in_words(record))


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"what": "(damaged record)"}


def _at(record: dict[str, Any]) -> float:
    """Unix time; a record may have been tampered with."""
    at = record.get("at", 0.0)
    return float(at) if isinstance(at, int | float) and 0 <= at < LAST_YEAR else 0.0


def _in_words(record: dict[str, Any]) -> str:
    at = fmt.dated(_at(record))[len("2026-") :]
    key, who = str(record.get("key", "?")), str(record.get("who", ""))
    result = str(record.get("result", ""))
    if record.get("guard"):
        result += f" by {record['guard']}"
    if record.get("dry_run"):
        result = f"plan: {result}"
    if record.get("also"):
        result += f" (and {record['also']} more)"
    why = f"  why: {record['why']}" if record.get("why") else ""
    node, what = str(record.get("node", "?")), record.get("what", "-")
    return fmt.shown(f"{at}  {node:<8} {f'{key}/{who}' if who else key:<24} {what}: {result}{why}")
