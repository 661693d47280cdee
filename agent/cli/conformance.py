# SPDX-License-Identifier: Apache-2.0
"""`remora-agent conformance`: the packet vectors against this node's program, with its config.

Exit codes: 0 all pass, 1 one does not (or the attached program is other code), 2 usage or config.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence

from agent.cli import verb
from agent.config import file as config


def add_verb(verbs: verb.Verbs) -> None:
    parser = verb.add(verbs, "conformance", _conformance, "try packets of all kinds, off the wire")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def _conformance(options: argparse.Namespace) -> int:
    listed = config.read(options.config)
    from agent.boundary import EffectError
    from agent.conformance import check as trial
    from agent.conformance import proof
    from agent.dataplane.loader import LoadError

    try:
        attached = proof.attached_tags(listed)
        results, tags = trial.check(listed)
    except (EffectError, LoadError) as error:
        return verb.fail(error, 1)
    same = _same_code(attached, tags)
    wrong = [result for result in results if result.problem]
    if options.json:
        print(json.dumps(_as_json(results, attached, tags), indent=1))
    else:
        for line in _lines(results):
            print(line)
        print(_about(attached, tags))
        passed = len(results) - len(wrong)
        print(f"{passed} of {len(results)} pass on Linux {platform.release()}")
    return 1 if wrong or (attached and not same) else 0


def _same_code(attached: Mapping[str, str], tags: Mapping[str, str]) -> bool:
    return bool(attached) and all(tags.get(name) == tag for name, tag in attached.items())


def _lines(results: Sequence[tuple[str, ...]]) -> list[str]:
    """One per kind of packet, and one for each that is not as it must be."""
    lines = []
    kinds = Counter((name, holds, source) for _, name, holds, source, _ in results)
    failed = Counter(name for _, name, _, _, problem in results if problem)
    for (name, holds, source), count in kinds.items():
        mark = "FAIL" if failed[name] else "ok"
        times = f"{count - failed[name]}/{count}"
        lines.append(f"{mark:4} {holds:6} {times:>7}  {name:36} {source}".rstrip())
        lines += [
            f"     {vip or 'node'}: {problem}"
            for vip, other, _, _, problem in results
            if other == name and problem
        ]
    return lines


def _about(attached: Mapping[str, str], tags: Mapping[str, str]) -> str:
    code = " ".join(f"{name} {tag}" for name, tag in tags.items() if name in ("lb", "rare"))
    if not attached:
        return f"this version's program: {code}; none is attached"
    if _same_code(attached, tags):
        return f"the attached program is the same code: {code}"
    other = " ".join(f"{name} {tag}" for name, tag in attached.items())
    return (
        f"the attached program is other code: {other}, this version's is {code}; "
        "restart the agent to bring it into force"
    )


def _as_json(
    results: Sequence[object], attached: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, object]:
    rows = [result._asdict() for result in results]  # type: ignore[attr-defined]
    return {
        "kernel": platform.release(),
        "program": dict(tags),
        "attached": dict(attached),
        "same_code": _same_code(attached, tags),
        "failed": sum(bool(row["problem"]) for row in rows),
        "results": rows,
    }
