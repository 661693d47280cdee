# SPDX-License-Identifier: Apache-2.0
"""H: a file that hangs is a failed check of its own directory's, and of no other."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.checks.reading import AT_ONCE, Readers


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


@in_a_loop
async def test_what_hangs_takes_no_more_threads_and_holds_up_nobody_else() -> None:
    released, begun = threading.Event(), []

    def read(path: Path) -> str:
        if path.parent == Path("/nfs"):
            begun.append(path)
            assert released.wait(30)
        return f"up {path.name}"

    readers = Readers()
    for number in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await readers(Path(f"/nfs/{number}"), read)
    assert len(begun) == AT_ONCE
    assert await readers(Path("/run/a"), read) == "up a"
    released.set()
    async with asyncio.timeout(60):
        assert await readers(Path("/nfs/5"), read) == "up 5"
    assert len(begun) == AT_ONCE + 1


@in_a_loop
async def test_an_error_is_told_and_gives_its_turn_back(tmp_path: Path) -> None:
    readers = Readers()
    for _ in range(3 * AT_ONCE):
        with pytest.raises(FileNotFoundError):
            async with asyncio.timeout(60):
                await readers(tmp_path / "none", Path.read_text)
