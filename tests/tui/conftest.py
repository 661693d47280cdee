# SPDX-License-Identifier: Apache-2.0
"""Coroutine tests run in a loop of their own; the terminal is always the same."""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest

# Before Textual is imported: the pilot waits for frames, the console's own 10 a second are slow.
os.environ["TEXTUAL_FPS"] = "120"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(autouse=True)
def _same_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from console.tui.screens.plan import PlanDialog

    monkeypatch.setattr(PlanDialog, "DEAF", 0.001)  # one test has it as it is
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp()))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
