# SPDX-License-Identifier: Apache-2.0
"""`diff config`: nodes with each other, with their own files, or with a file here.  Exits as
diff(1).

Files are read and compared by the agents, as a reload would: what they say is what it would do.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.cli.verbs import telling
from console.cli.verbs.session import Session
from console.exits import Exit, VerbError
from console.model.store import Agent
from console.planning import plan
from console.planning.plan import Answered
from console.views import configs, selecting
from console.views.items import listing
from console.views.written import now_text
from shared.messages import Action, ConfigOf, Reload

TROUBLE = 2
RESTART = "restart"
"""Guard of a config that differs in what a restart alone brings into force."""


def diff(session: Session, arguments: Namespace) -> int:
    """Exit 0: equal; 1: some differ; 2: some could not be compared.  Raises VerbError."""
    session.look()
    absent = session.absent()
    chosen = selecting.nodes(
        session.agents, [name.removeprefix("node/") for name in arguments.about]
    )
    silent = [agent.address for agent in chosen if agent.address in absent]
    there = [agent for agent in chosen if agent.address not in absent]
    of_files = arguments.file is not None or arguments.disk
    compare = _with_file if of_files else _each_other
    code = compare(session, there, arguments)
    if silent:
        session.say(f"remora: no answer from {', '.join(silent)}: not compared")
        return TROUBLE
    return code


# ---- nodes with each other


def _each_other(session: Session, agents: Sequence[Agent], arguments: Namespace) -> int:
    if len(agents) < 2:
        raise VerbError("one node has none to differ from; --disk compares it with its own file")
    answers = session.ask(
        dict.fromkeys([agent.address for agent in agents], ConfigOf()),
        timeout=session.connect_timeout,
    )
    answered = session.answered(answers)
    told = {a.node: a.answer.config.keys for a in answered if a.answer and a.answer.config}
    older = [a.node for a in answered if a.node not in told]
    found = configs.differences(told)
    shown = [each for each in found if arguments.all or not each.own]
    if arguments.output == "json":
        made = [{"key": d.key, "values": dict(d.values), "own": d.own} for d in shown]
        missing = [a.address for a in answered if a.node in older]
        wrapped = listing("ConfigDiff", made, at=now_text(), missing=missing)
        session.write(json.dumps(wrapped, indent=2))
    else:
        for each in shown:
            session.write(configs.line(each))
    _say_left_out(session, found, shown, told)
    if older:
        session.say(f"remora: {', '.join(older)}: cannot say its config; upgrade its agent")
        return TROUBLE
    return Exit.FAILED if any(not each.own for each in found) else Exit.DONE


def _say_left_out(
    session: Session,
    found: Sequence[configs.Difference],
    shown: Sequence[configs.Difference],
    told: Mapping[str, Mapping[str, str]],
) -> None:
    left_out = len(found) - len(shown)
    if left_out:
        session.tell(f"{left_out} keys that are each node's own differ too: --all shows them")
    if not any(not each.own for each in found) and told:
        session.tell(f"{', '.join(told)}: the same config")


# ---- nodes with a file


def _with_file(session: Session, agents: Sequence[Agent], arguments: Namespace) -> int:
    action: Action = Reload(_text(arguments.file) if arguments.file is not None else "")
    answers = session.ask(
        {agent.address: action for agent in agents},
        timeout=session.connect_timeout,
        dry_run=True,
    )
    answered = session.answered(answers)
    if arguments.output == "json":
        missing = [a.address for a in answered if a.answer is None]
        items = [{**telling.item(each), "differs": _differs(each)} for each in answered]
        wrapped = listing("ConfigFileDiff", items, at=now_text(), missing=missing)
        session.write(json.dumps(wrapped, indent=2))
    else:
        file = arguments.file or "its file"
        for each in answered:
            _show(session, each, file)
    found = [_differs(each) for each in answered]
    if None in found:
        return _trouble(answered)
    return Exit.FAILED if any(found) else Exit.DONE


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError as error:
        raise VerbError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise VerbError(f"{file}: {error}") from error


def _differs(answered: Answered) -> bool | None:
    """None: it could not be compared."""
    answer = answered.answer
    if answer is None:
        return None
    if answer.status == "unchanged":
        return False
    return True if answer.changes or answer.guard == RESTART else None


def _trouble(answered: Sequence[Answered]) -> int:
    """The role may be what is missing, which has a code of its own."""
    guards = {a.answer.guard for a in answered if a.answer}
    return Exit.NOT_ALLOWED if guards == {"role"} else TROUBLE


def _show(session: Session, each: Answered, file: str) -> None:
    match _differs(each):
        case None:
            why = each.answer.error if each.answer else "no answer"
            session.say(f"remora: {each.node}: not compared: {why}")
        case False:
            session.tell(f"{each.node}: as {file} says")
        case True:
            session.write(f"{each.node}: running -> {file}")
            for label, text in plan.lines([each]):
                if label != "guards":
                    session.write(f"  {label:<11} {text}")
            if each.answer and each.answer.guard == RESTART:
                session.write(f"  {each.answer.error}")
