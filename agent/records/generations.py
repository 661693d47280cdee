# SPDX-License-Identifier: Apache-2.0
"""Configs that were in force, one file each, by number: what a rollback returns to.

`<state_dir>/generations/000012.toml` is what was read, byte by byte; it holds secrets, so it is
root's alone.  Which number is in force stands in the journal (journal.py): a file that was kept but
never came into force is no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from agent.boundary import EffectError, Proposed
from agent.config import file as config
from agent.config import tree
from agent.records.journal import journal_path, recall
from shared.messages import Command, Reload, Rollback

KEPT = 20
"""The newest ones."""


class InForce(NamedTuple):
    """The config that a starting agent has to serve."""

    listed: tree.Config
    text: str
    generation: int
    """Its number; if `fresh` the one that it gets when it is kept."""
    fresh: bool
    """It was not in force before."""
    passed_over: bool
    """It is not the file's: that was rolled back, and has not changed since."""


def directory(state_dir: str) -> Path:
    return Path(state_dir) / "generations"


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def numbers(kept: Path) -> list[int]:
    """All numbers that are kept, ascending."""
    return sorted(int(path.stem) for path in kept.glob("*.toml") if path.stem.isdigit())


def read(kept: Path, number: int) -> str:
    """Raises EffectError when it is not kept."""
    try:
        return path_of(kept, number).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        there = numbers(kept)
        known = f"there are {there[0]} to {there[-1]}" if there else "none is kept yet"
        raise EffectError(f"generation {number} cannot be read; {known}") from None


def keep(kept: Path, number: int, text: str) -> None:
    """Write it, wholly or not at all, and let go of the oldest.  Raises EffectError."""
    path = path_of(kept, number)
    fresh = path.with_suffix(".new")
    try:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(fresh, "w", encoding="utf-8", opener=_private) as file:  # its mode
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise EffectError(f"generation {path}: {error.strerror}") from error
    for old in numbers(kept)[:-KEPT]:
        with contextlib.suppress(OSError):
            path_of(kept, old).unlink()


def take_back(kept: Path, number: int) -> None:
    """One that was kept so late that it was refused meanwhile.  Raises OSError."""
    path_of(kept, number).unlink(missing_ok=True)


def in_force(path: Path) -> InForce:
    """What an agent that starts with this file serves.  Raises ConfigError and EffectError."""
    text = config.text_of(path)
    listed = config.parse(text, str(path))
    kept = directory(listed.node.state_dir)
    recalled = recall(journal_path(listed.node.state_dir))
    following = max([recalled.generation, *numbers(kept)]) + 1
    with contextlib.suppress(EffectError, config.ConfigError):
        if recalled.generation:
            last = read(kept, recalled.generation)
            if recalled.instead_of == digest(text):
                rolled_back = config.parse(last, f"generation {recalled.generation}")
                return InForce(
                    rolled_back, last, recalled.generation, fresh=False, passed_over=True
                )
            if last == text:
                return InForce(listed, text, recalled.generation, fresh=False, passed_over=False)
    return InForce(listed, text, following, fresh=True, passed_over=False)


def propose(command: Command, sender: bytes, path: Path, kept: Path, present: int) -> Proposed:
    """Read what a reload or rollback is about: `path` the config file, `present` the generation in
    force.  Never raises: what is wrong is in the fact."""
    try:
        text, name, instead_of = _source(command, path, kept, present)
        listed = config.parse(text, name)
    except (EffectError, config.ConfigError) as error:
        return Proposed(command, sender, None, str(error))
    return Proposed(command, sender, listed, text=text, instead_of=instead_of)


def _source(command: Command, path: Path, kept: Path, present: int) -> tuple[str, str, str]:
    """(text, its name, digest of the file that is passed over)."""
    match command.action:
        case Reload(""):
            return config.text_of(path), str(path), ""
        case Reload(text):
            if not command.dry_run:
                raise EffectError(f"a text can be planned only; write it to {path}, then reload")
            return text, "the given text", ""
        case Rollback(number):
            number = number or max((n for n in numbers(kept) if n < present), default=0)
            return read(kept, number), f"generation {number}", digest(config.text_of(path))
    raise AssertionError(command.action)


def path_of(kept: Path, number: int) -> Path:
    return kept / f"{number:06}.toml"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
