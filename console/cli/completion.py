# SPDX-License-Identifier: Apache-2.0
"""What a word on the command line may become, and the few lines that a shell needs to ask.

The grammar is argparse's own parser, so that no second list of flags can go stale.  Names are those
of the last look (`names.py`): completing asks no agent and imports neither zmq nor msgspec.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence

from console.cli.grammar.looking import VIEWS
from shared import guards

WORDS: Mapping[str, Sequence[str]] = {
    "VIEW": VIEWS,
    "--wait": ("applied", "verified", "drained", "quiet:"),
    "--stop-on": ("drops=", "hc", "ack="),
    "--allow": guards.NAMES,
    "ring|config": ("ring", "config"),
}
"""Metavar or flag -> words that go there, beside names."""
OBJECTS: Mapping[str, Sequence[str]] = {
    "OBJECT": ("real", "node", "vip"),
    "ROUTED": ("vip", "node", "peer"),
    "--vip": ("vip",),
    "--node": ("node",),
    "--canary": ("node",),
    "NODE": ("node",),
    "ring|config": ("vip", "node"),
    "VIP|NODE": ("vip", "node"),
    "VIP": ("vip",),
    "OPERATION": ("op",),
    "ADDRESS:PORT VIP": ("vip",),
    "VIEW": ("real", "node", "vip"),
    "OBJECT|PEER": ("node", "vip", "real", "peer"),
    "--context": ("context",),
}
LABELS = "SELECTOR"
"""Metavar of what takes labels: `rack=r2,tier=web`."""
KINDS = ("real", "vip", "node")
"""Metavar or flag -> kinds of names that go there."""


def words(
    parser: argparse.ArgumentParser, given: Sequence[str], names: Mapping[str, Sequence[str]]
) -> list[str]:
    """How the last of `given` (it may be empty) goes on; whole words, in order.

    Empty: nothing is known of it; it may be a file.
    """
    *before, last = given or [""]
    verb, after = verb_of(parser, before)
    flag, equals, value = last.partition("=")
    if equals and flag.startswith("--"):
        taking = _takes(verb, flag)
        return [f"{flag}={word}" for word in _values(taking, value, names)] if taking else []
    taking = _takes(verb, before[-1]) if before else None
    if taking and taking.nargs is None:  # else what is behind it need not be its
        return _values(taking, last, names)
    if last.startswith("-"):
        found = sorted(_flags(verb, {word.partition("=")[0] for word in before}))
    else:
        found = list(_positionals(verb, after, last, names))
    return [word for word in found if word.startswith(last)]


def verb_of(
    parser: argparse.ArgumentParser, before: Sequence[str]
) -> tuple[argparse.ArgumentParser, list[str]]:
    """(the parser of the verb that was given, the words behind it)."""
    verbs = _subparsers(parser)
    for index, word in enumerate(before):
        if word in verbs:
            return verb_of(verbs[word], before[index + 1 :])
    return parser, list(before)


def _subparsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {
                name: verb
                for name, verb in action.choices.items()
                if verb.description != argparse.SUPPRESS
            }
    return {}


def _flags(parser: argparse.ArgumentParser, used: Collection[str] = frozenset()) -> Iterable[str]:
    """Without those that were used and stand once only."""
    for action in parser._actions:
        once = isinstance(action, argparse._StoreAction | argparse._StoreConstAction)
        if action.help != argparse.SUPPRESS and not (once and {*used} & {*action.option_strings}):
            yield from (text for text in action.option_strings if text.startswith("--"))


def _takes(parser: argparse.ArgumentParser, flag: str) -> argparse.Action | None:
    """The flag's, if it is one that takes a value."""
    for action in parser._actions:
        if flag in action.option_strings and action.nargs != 0:
            return action
    return None


def _values(action: argparse.Action, begun: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    if action.metavar == LABELS:
        return _labels(begun, names)
    found = [*map(str, action.choices or ())]
    for flag in action.option_strings:
        found += WORDS.get(flag, ())
        for kind in OBJECTS.get(flag, ()):
            found += (name.partition("/")[2] for name in names.get(kind, ()))
    return [word for word in found if word.startswith(begun)]


def _labels(last: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    """Behind each comma another one; a key alone is a selector, too."""
    before, comma, begun = last.rpartition(",")
    pairs = names.get("label", ())
    keys = dict.fromkeys(pair.partition("=")[0] for pair in pairs)
    given = {part.partition("=")[0] for part in before.split(",")}
    return [
        f"{before}{comma}{word}"
        for word in (*keys, *pairs)
        if word.startswith(begun) and word.partition("=")[0] not in given
    ]


def _positionals(
    parser: argparse.ArgumentParser,
    after: Sequence[str],
    last: str,
    names: Mapping[str, Sequence[str]],
) -> Iterable[str]:
    verbs = _subparsers(parser)
    if verbs:
        yield from verbs
        return
    wanted = [action for action in parser._actions if not action.option_strings]
    given = sum(not word.startswith("-") for word in after)
    for action in wanted[min(given, len(wanted) - 1) :][:1] if wanted else []:
        if action.choices:
            yield from map(str, action.choices)
        yield from WORDS.get(str(action.metavar or ""), ())
        if action.metavar in ("KIND", "NAME"):
            yield from _of_a_kind(after, last, names)
        if "-l" in after or "--selector" in after:
            yield from (k for k in OBJECTS.get(str(action.metavar), KINDS) if k != "peer")
        for kind in OBJECTS.get(str(action.metavar or ""), ()):
            yield from names.get(kind, ())


def _of_a_kind(
    after: Sequence[str], last: str, names: Mapping[str, Sequence[str]]
) -> Iterable[str]:
    """`get real` is followed by reals without their kind, `get real/` goes on with it."""
    words = [word for word in after if not word.startswith("-")]
    if not words:
        yield from names.get(last.partition("/")[0], ()) if "/" in last else ()
    else:
        known = names.get(words[0].removesuffix("s"), ())
        yield from (name.partition("/")[2] for name in known)


SHELLS: Mapping[str, str] = {
    "bash": """\
# remora completion bash >> ~/.bashrc
_remora() {
    local IFS=$'\\n'
    # Names hold `:` and `@`, flags `=`: there readline begins another word, with the `@` itself.
    local line="${COMP_LINE:0:COMP_POINT}"
    local -a words
    IFS=' ' read -r -a words <<< "$line"
    [[ $line == *' ' ]] && words+=('')
    COMPREPLY=($(remora complete -- "${words[@]:1}" 2>/dev/null))
    local cut="${words[-1]%"${words[-1]##*["$COMP_WORDBREAKS"]}"}"
    cut="${cut%@}"
    [[ -n $cut ]] && COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    [[ ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace 2>/dev/null
}
complete -o default -F _remora remora
""",
    "zsh": """\
#compdef remora
# remora completion zsh > "${fpath[1]}/_remora"
_remora() {
    local found
    found="$(remora complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"
    if [[ -z $found ]]; then
        compset -P '--*='
        _files
    else
        local -a whole begun
        whole=("${(@f)found}")
        begun=("${(@M)whole:#*[:=]}")
        compadd -Q -a -- whole
        compadd -Q -S '' -a -- begun
    fi
}
compdef _remora remora
""",
    "fish": """\
# remora completion fish > ~/.config/fish/completions/remora.fish
function __remora_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (remora complete -- $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c remora -f -a '(__remora_complete)'
""",
}
