# SPDX-License-Identifier: Apache-2.0
"""One fabric for all tests; each test puts back what it changed, and it is checked that it did.

TESTSHELL=1 opens a shell inside the fabric where a test failed, before anything is put back.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from shared.model import Admin, Health
from tests.fabric import enclosure
from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import DeadlineError, until

_built: list[Fabric] = []


@pytest.fixture(scope="session")
def whole() -> Fabric:
    """The fabric, built once; the enclosure takes it down."""
    place = enclosure.directory()
    assert place is not None, "root tests run inside an enclosure (tests/conftest.py)"
    fabric = Fabric(place)
    _built.append(fabric)
    fabric.build(lambda text: None)
    return fabric


@pytest.fixture(scope="module")
def lent(whole: Fabric) -> Iterator[Fabric]:
    """The fabric for a file that changes it for all its tests: what the file leaves behind fails
    there, and not in whichever file the worker takes next."""
    at_rest(whole)
    yield whole
    at_rest(whole)


@pytest.fixture
def fabric(whole: Fabric) -> Iterator[Fabric]:
    """The fabric in its resting state, which the test leaves as it was."""
    at_rest(whole)
    yield whole
    at_rest(whole)


def at_rest(fabric: Fabric) -> None:
    """Both nodes announce, every real is enabled, up and at its weight."""
    fabric.await_routes()
    left: list[str] = []

    def settled() -> bool:
        left[:] = [what for name in t.NODES for what in _unsettled(fabric, name)]
        return not left

    try:
        until(settled, 10, "all reals up and enabled")
    except DeadlineError as error:
        raise DeadlineError(f"{error}: {', '.join(left)}") from None


def _unsettled(fabric: Fabric, node: str) -> Iterator[str]:
    """What differs from the resting state, in words."""
    seen = fabric.look(node)
    if (state := seen.node.peers[0].state) != "up":
        yield f"{node}: peer {state}"
    for real, row in seen.reals.items():
        if (found := (row.admin, row.health, row.weight)) != (Admin.ENABLED, Health.UP, 100):
            yield f"{node}: {real} {found}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TESTSHELL"):
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and _built:
        report.sections.append(("fabric logs", _built[0].logs()))
        if os.environ.get("TESTSHELL"):
            print(report.longreprtext)
            capture = item.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                _built[0].shell()
    return report
