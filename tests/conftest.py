# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: root tests run in an enclosure, and a skipped one is told about.

As root the whole pytest process moves into private namespaces first (fabric/enclosure.py), so that
no test can leave anything on the machine.  Without root, tests marked `root` are skipped; with CI
set in the environment that is a failure.

With pytest-xdist (`make test`) each worker has a room of its own in the enclosure: its network, its
fabric, its data planes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.fabric import enclosure

LONG = (
    "test_preflight.py",
    "test_unit.py",
    "test_states.py",
    "test_node_drain.py",
    "test_remote.py",
    "test_other_abi.py",
    "test_reload.py",
    "test_console.py",
    "test_restarts.py",
    "test_tunnel.py",
    "test_operations.py",
    "test_drain.py",
    "test_announce.py",
    "test_placing.py",
    "test_conformance_run.py",
    "test_screens.py",
    "test_sequences.py",
    "test_server.py",
)
"""Half a minute and more, the longest first (`--durations=0` says)."""
_skipped_root: list[str] = []

# A socket path has room for about 100 bytes: a long TMPDIR must not use them up.
os.environ["PYTEST_DEBUG_TEMPROOT"] = "/tmp"

# pytest imports readline, which puts the size of pytest's own terminal there for all children: a
# console in a test's terminal would draw for that one, and not for its own.
for _name in ("LINES", "COLUMNS"):
    os.environ.pop(_name, None)
    os.unsetenv(_name)


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


# The same examples everywhere: as hypothesis does by itself where it finds CI in the environment.
hypothesis.settings.register_profile(
    "remora", deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)  # fmt: skip
hypothesis.settings.load_profile("remora")


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    if worker is not None and enclosure.directory():
        enclosure.nest(worker["workerid"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _when(item.path))
    inside = enclosure.directory() is not None
    needs = pytest.mark.skip(reason="needs root: run `make test`, or pytest with sudo")
    for item in items:
        if item.get_closest_marker("root") and not inside:
            item.add_marker(needs)


def _when(path: Path) -> tuple[bool, int]:
    """Those of the network wait more than they work: they begin, the others fill the processors.
    A long file goes to one worker: begun last, the others would wait for it."""
    long = LONG.index(path.name) if path.name in LONG else len(LONG)
    return "fabric" not in path.parts, long


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of the process that has the last word, wherever the test ran."""
    if report.skipped and "root" in report.keywords:
        _skipped_root.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") and _skipped_root:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and _skipped_root:
        terminalreporter.section("root tests skipped: a failure in CI")
        for name in _skipped_root:
            terminalreporter.line(name)
