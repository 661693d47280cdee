# SPDX-License-Identifier: Apache-2.0
"""Before other code takes over from the program that runs: is a trial due, and what does it say?"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from agent.boundary import EffectError
from agent.config.tree import Config
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane import inherited, loader

log = logging.getLogger("remora")


def prove(config: Config, compiler: loader.Compiler, *, always: bool = False) -> None:
    """Before other code takes over from the program that runs: it must pass.

    Nothing happens where none runs, or this very code does, unless `always`.  Raises LoadError: the
    old program stays.
    """
    if not always and (not attached_tags(config) or inherited.is_this_code(config.node)):
        return
    from agent.conformance.check import check  # noqa: PLC0415  # 2 MB that few starts need

    try:
        results, _ = check(config, compiler)
    except EffectError as error:
        raise loader.LoadError(f"the program cannot be tried first: {error}") from error
    wrong = [result for result in results if result.problem]
    if wrong:
        first = wrong[0]
        raise loader.LoadError(
            f"the program that runs was left in place: its successor fails {len(wrong)} of "
            f"{len(results)} checks, first {first.name!r} of {first.vip or 'the node'}: "
            f"{first.problem}; `remora-agent conformance` shows all"
        )
    log.info("conformance passed=%d: the program may take over", len(results))


def attached_tags(config: Config) -> dict[str, str]:
    """Program -> tag of what is pinned behind the node's interface; empty: nothing is."""
    pins = loader.pins(Path(config.node.bpffs), config.node.name)
    if not (pins / f"link_{config.node.interface}").exists():
        return {}
    tags = {}
    for name in ("lb", "rare"):
        try:
            fd = bpf.obj_get(str(pins / f"prog_{name}"))
        except OSError:
            continue
        tags[name] = bpf.program_info(fd).tag
        os.close(fd)
    return tags
