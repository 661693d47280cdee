# SPDX-License-Identifier: Apache-2.0
"""Command lines that cannot be: one line, and the word that may have been meant."""

from __future__ import annotations

import pytest

from agent.cli.main import main as remora_agent
from console.cli.main import main as remora

CASES = [
    (remora, "drian real/10.3.1.2", "remora: VERB: no 'drian'; did you mean drain?"),
    (remora, "-q drian", "remora: VERB: no 'drian'; did you mean drain?"),
    (remora, "xyzzy", "remora: VERB: no 'xyzzy'"),
    (remora, "plan drian x", "remora plan: VERB: no 'drian'; did you mean drain?"),
    (remora, "get rael", "remora get: KIND: no 'rael'; did you mean real?"),
    (
        remora,
        "get xyzzy",
        "remora get: KIND: no 'xyzzy'; there is node, vip, real, each, drop, cpu, "
        "flow, peer, check, op",
    ),
    (remora, "get real -o wid", "remora get: -o/--output: no 'wid'; did you mean wide?"),
    (
        remora,
        "drain x --canery=lb1",
        "remora drain: --canery: not known here; did you mean --canary?",
    ),
    (remora, "get real --stat down", "remora get: --stat: not known here; did you mean --state?"),
    (remora, "version lb1", "remora version: lb1: not known here"),
    (remora, "op", "remora op: the following arguments are required: order, OPERATION"),
    (remora_agent, "chek x", "remora-agent: VERB: no 'chek'; did you mean check?"),
    (remora_agent, "run -c x --debu", "remora-agent: --debu: not known here"),
]


@pytest.mark.parametrize(("command", "line", "said"), CASES, ids=[line for _, line, _ in CASES])
def test_one_line_says_what_is_wrong(
    command: object, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command(line.split())  # type: ignore[operator]
    assert left.value.code == 2
    first, see = capsys.readouterr().err.splitlines()
    assert first == said
    assert see == f"see {said.partition(':')[0]} --help"


def test_kinds_in_the_plural_are_kinds() -> None:
    from console.cli.grammar.top import parser

    assert parser().parse_args(["get", "reals"]).kind == "real"
    assert parser().parse_args(["top", "vips"]).kind == "vip"
