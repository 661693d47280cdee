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
from tests.fabric.waiting import until

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


@pytest.fixture
def fabric(whole: Fabric) -> Iterator[Fabric]:
    """The fabric in its resting state, which the test leaves as it was."""
    at_rest(whole)
    yield whole
    at_rest(whole)


def at_rest(fabric: Fabric) -> None:
    """Both nodes announce, every real is enabled, up and at its weight."""
    fabric.await_routes()
    until(lambda: all(_settled(fabric, name) for name in t.NODES), 10, "all reals up and enabled")


def _settled(fabric: Fabric, node: str) -> bool:
    seen = fabric.look(node)
    return seen.node.peers[0].state == "up" and all(
        (row.admin, row.health, row.weight) == (Admin.ENABLED, Health.UP, 100)
        for row in seen.reals.values()
    )


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
