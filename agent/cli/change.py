# SPDX-License-Identifier: Apache-2.0
"""`remora-agent` verbs about the config of the agent that runs here: plan, reload, rollback.

They ask the agent, which plans, guards and applies: nothing is decided here.  Exit codes as the
console's: 0 done or already so, 1 failed, 2 usage or config, 4 refused, 6 no agent, 7 conflict.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.cli import verb
from agent.config import file as config
from agent.config import tree
from shared.messages import Action, Answer, Change, Reload, Rollback

FAILED, REFUSED, NO_AGENT, CONFLICT = 1, 4, 6, 7


def add_verbs(verbs: verb.Verbs) -> None:
    plan = verbs.add_parser("plan", help="what would this config file change? changes nothing")
    plan.add_argument("file", type=Path, metavar="FILE")
    plan.set_defaults(verb=_plan)
    _options(plan)
    _verb(verbs, "reload", _reload, "bring the config file into force, all of it or nothing")
    rollback = _verb(verbs, "rollback", _rollback, "bring an earlier config into force")
    rollback.add_argument(
        "generation", type=int, nargs="?", default=0, metavar="N", help="default: the one before"
    )
    verb.add(verbs, "generations", _generations, "list the configs that were in force")


def _verb(
    verbs: verb.Verbs, name: str, call: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = verb.add(verbs, name, call, text)
    parser.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
    parser.add_argument("--reason", default="", metavar="TEXT", help="for the journal")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="GUARD", help="pass this guard; repeatable"
    )
    parser.add_argument("--expect-revision", type=int, metavar="N", help="else exit 7")
    _options(parser)
    return parser


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def _plan(options: argparse.Namespace) -> int:
    text = config.text_of(options.file)
    listed = config.parse(text, str(options.file))
    options.dry_run, options.reason, options.allow, options.expect_revision = True, "", [], None
    return _change(options, listed, Reload(text))


def _reload(options: argparse.Namespace) -> int:
    return _change(options, config.read(options.config), Reload())


def _rollback(options: argparse.Namespace) -> int:
    return _change(options, config.read(options.config), Rollback(options.generation))


def _change(options: argparse.Namespace, listed: tree.Config, action: Action) -> int:
    from agent.boundary import EffectError
    from agent.cli.ask import ask

    try:
        answer = ask(
            Path(listed.node.run_dir),
            action,
            why=options.reason,
            dry_run=options.dry_run,
            allow=tuple(options.allow),
            expect_revision=options.expect_revision,
        )
    except EffectError as error:
        return verb.fail(error, NO_AGENT)
    if options.json:
        print(json.dumps(msgspec.to_builtins(answer), indent=1))
    else:
        print("\n".join(lines(answer)), file=sys.stderr if answer.error else sys.stdout)
    return exit_code(answer)


def exit_code(answer: Answer) -> int:
    if answer.status == "failed":
        return FAILED
    if answer.status == "refused":
        return CONFLICT if answer.guard == "revision" else REFUSED
    return 0


def lines(answer: Answer) -> Iterator[str]:
    """What the agent said, for people."""
    yield from (_line(change) for change in answer.changes)
    if answer.error:
        yield f"{answer.node}: {answer.status}: {answer.guard} {answer.error}".replace(":  ", ": ")
        return
    config_in_force = f", generation {answer.generation}" if answer.generation else ""
    yield f"{answer.node}: {answer.status}, revision {answer.revision}{config_in_force}"
    if answer.note:
        yield f"note: {answer.note}"


def _line(change: Change) -> str:
    where = "/".join(part for part in (change.vip, change.real) if part)
    what = change.what if change.what not in ("", "vips") else ""
    name = f"{where} {what}".strip() or "node"
    line = f"  {name}: {change.was} -> {change.now}"
    if change.real:
        least = "at least " if change.slots_at_least else ""
        line += (
            f"; slots {change.slots_before} -> {change.slots_after}, "
            f"{least}{change.slots_moved} of the ring move"
        )
    if change.live_flows:
        line += f"; {change.live_flows} live flows"
    return line


def _generations(options: argparse.Namespace) -> int:
    from agent.records import generations
    from agent.records.journal import journal_path, recall

    state_dir = config.read(options.config).node.state_dir
    present = recall(journal_path(state_dir)).generation
    for number in generations.numbers(generations.directory(state_dir)):
        path = generations.path_of(generations.directory(state_dir), number)
        print(f"{number}{'  in force' if number == present else ''}  {path}")
    return 0
