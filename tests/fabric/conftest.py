# SPDX-License-Identifier: Apache-2.0
"""One fabric for all tests; each test puts back what it changed, and it is checked that it did.

TESTSHELL=1 opens a shell inside the fabric where a test failed, before anything is put back.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest

from shared.model import Admin, Health
from tests.fabric import enclosure, netns, wire
from tests.fabric import topology as t
from tests.fabric.agents import config
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import DeadlineError, until

_built: list[Fabric] = []


@pytest.fixture(scope="session")
def whole() -> Iterator[Fabric]:
    """The fabric, built once; the enclosure takes down what is no process of ours."""
    place = enclosure.directory()
    assert place is not None, "root tests run inside an enclosure (tests/conftest.py)"
    fabric = Fabric(place)
    _built.append(fabric)
    fabric.build(lambda text: None)
    yield fabric
    fabric.close()


@pytest.fixture(scope="session")
def network(whole: Fabric) -> netns.Picture:
    """The network as it was built."""
    at_rest(whole)
    return netns.picture()


@pytest.fixture(scope="module")
def lent(whole: Fabric, network: netns.Picture) -> Iterator[Fabric]:
    """The fabric for one file of tests, which may change it for all of them: what the file leaves
    behind fails there, and not in whichever file the worker takes next."""
    at_rest(whole)
    yield whole
    at_rest(whole)
    for name, agent in whole.agents.items():
        assert agent.config.read_text() == config(name, whole.place), f"{name}: another config"
        assert set(whole.look(name).vips) == {"web", "echo"}, f"{name}: another config in force"
        assert not whole.is_tracing(name), f"{name}: still tracing"
    _as_built(network)


def _as_built(network: netns.Picture) -> None:
    """Routes of VIPs that only the file had may go a little after the node that announced them."""
    with suppress(DeadlineError):
        until(lambda: netns.picture() == network, 10, "the network as it was built", every=0.2)
    assert netns.picture() == network


@pytest.fixture
def fabric(lent: Fabric) -> Iterator[Fabric]:
    """The fabric in its resting state, which the test leaves as it was."""
    at_rest(lent)
    yield lent
    at_rest(lent)


def at_rest(fabric: Fabric) -> None:
    """Both nodes announce all VIPs, every real is enabled, up and at its weight, nothing is pending
    or under way."""
    fabric.await_routes()
    left: list[str] = []

    def settled() -> bool:
        left[:] = [what for name in t.NODES for what in _unsettled(fabric.look(name), name)]
        return not left

    try:
        until(settled, 15, "all at rest")
    except DeadlineError as error:
        raise DeadlineError(f"{error}: {', '.join(left)}") from None


def _unsettled(seen: wire.Look, name: str) -> Iterator[str]:
    """What differs from the resting state, in words."""
    node = seen.node
    found = {
        "peers": ({peer.state for peer in node.peers}, {"up"}),
        "admin": ((node.admin, node.phase, node.withdrawn), (Admin.ENABLED, "", None)),
        "pending": ((node.pending, node.rollouts), ((), ())),
        "program": (node.xdp_attached, "native"),
        "disk silent": (node.disk_silent, 0),
    }
    for vip, row in seen.vips.items():
        found[vip] = ((row.announced, row.phase, row.withdrawn), (True, "", None))
    for real, at in seen.reals.items():
        found["@".join(real[::-1])] = (
            (at.admin, at.health, at.weight),
            (Admin.ENABLED, Health.UP, 100),
        )
    yield from (f"{name}: {what} {was}" for what, (was, rest) in found.items() if was != rest)


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
