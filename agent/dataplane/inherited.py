# SPDX-License-Identifier: Apache-2.0
"""The programs of the agent before us: are they this very code, and are they all still there?

Then there is nothing to compile, to load or to try: they are put behind the links again and go on.
A note beside the journal says what code was loaded; the pins say whether that is what is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from pathlib import Path
from typing import Any

from agent.config.tree import Node
from agent.dataplane import bpf_syscall as bpf
from agent.dataplane import loader, pinned
from agent.dataplane.map_specs import map_specs

log = logging.getLogger("remora")


def remember(node: Node, loaded: loader.Loaded) -> None:
    """That this code runs now."""
    note = {
        "code": _digest(node),
        "programs": {name: [each.tag, each.instructions] for name, each in loaded.programs.items()},
        "maps": sorted({*loaded.created, *loaded.adopted}),
    }
    path = _path(node)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(note), encoding="ascii")
    except OSError as error:
        log.warning("%s: %s; the next start compiles and tries the program again", path, error)


def is_this_code(node: Node) -> bool:
    """Whether what was loaded last is what would be loaded now."""
    return bool(_note(node).get("code") == _digest(node))


def inherited(node: Node) -> loader.Loaded | None:
    """What is pinned, if it is this code to the last program and map."""
    pins, note = loader.pins(Path(node.bpffs), node.name), _note(node)
    if note.get("code") != _digest(node):
        return None
    programs = {
        name: loader.Program(pins / f"prog_{name}", tag, instructions)
        for name, (tag, instructions) in note["programs"].items()
    }
    try:
        if any(_tag(program.pin) != program.tag for program in programs.values()):
            return None
        for spec in map_specs(loader.sizes(node.flows_per_cpu)).values():
            if spec.name in note["maps"]:
                pinned.check_map(pins, spec)
    except (OSError, loader.LoadError) as error:  # after a reboot nothing is there
        log.info("%s: not as it was left (%s)", pins, error)
        return None
    return loader.Loaded(programs, (), tuple(note["maps"]), None, "", 0.0, 0.0)


def _tag(pin: Path) -> str:
    program = bpf.obj_get(str(pin))
    try:
        return bpf.program_info(program).tag
    finally:
        os.close(program)


def _digest(node: Node) -> str:
    """Of what the code depends on: sources, kernel, sizes."""
    seen = hashlib.sha256(f"{platform.release()} {node.flows_per_cpu}".encode())
    for source in sorted(loader.sources()):
        seen.update(source.read_bytes())
    return seen.hexdigest()


def _note(node: Node) -> dict[str, Any]:
    """Empty: it is not known what was loaded."""
    try:
        found = json.loads(_path(node).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path(node: Node) -> Path:
    return Path(node.state_dir) / "program"
