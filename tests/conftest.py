# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: root tests run in an enclosure, and a skipped one is told about.

As root the whole pytest process moves into private namespaces first (fabric/enclosure.py), so that
no test can leave anything on the machine.  Without root, tests marked `root` are skipped; with CI
set in the environment that is a failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

from tests.fabric import enclosure

_skipped_root = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Start over inside an enclosure, and report what happened there as our own result."""
    if enclosure.directory() or os.geteuid() != 0 or not _may_run_root_tests(config):
        return None
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)
    command = [sys.executable, "-m", "pytest", *config.invocation_params.args]
    try:
        status = enclosure.run(command)
    except enclosure.EnclosureError as error:
        raise pytest.UsageError(str(error)) from error
    sys.stdout.flush()
    # Everything was said inside; pytest's own ending here would repeat or contradict it.
    os._exit(status)


def _may_run_root_tests(config: pytest.Config) -> bool:
    if config.option.collectonly or "not root" in (config.option.markexpr or ""):
        return False
    paths = [argument.partition("::")[0] for argument in config.args]
    return not all("tests/unit" in path or "tests/tui" in path for path in paths)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_skipped_root] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if enclosure.directory():
        return
    needs = pytest.mark.skip(reason="needs root: run `make test`, or pytest with sudo")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(needs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.get_closest_marker("root"):
        item.config.stash[_skipped_root].append(item.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") and session.config.stash[_skipped_root]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.config.stash[_skipped_root]
    if os.environ.get("CI") and skipped:
        terminalreporter.section("root tests skipped: a failure in CI")
        for name in skipped:
            terminalreporter.line(name)
