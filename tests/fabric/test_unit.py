# SPDX-License-Identifier: Apache-2.0
"""What the systemd unit grants the agent is enough, and none of it is too much."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fabric import topology as t
from tests.fabric.fabric import Fabric
from tests.fabric.waiting import DeadlineError
from tests.unit.test_supervisor import setting

pytestmark = pytest.mark.root

CAPABILITIES = [name.removeprefix("CAP_").lower() for name in
                setting("CapabilityBoundingSet").split()]  # fmt: skip


def only(capabilities: list[str]) -> list[str]:
    """The command under which a process and its children have these and no others."""
    bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", "--bounding-set", bounding, "--inh-caps", "-all", "--"]


@pytest.fixture
def stopped(fabric: Fabric) -> Iterator[Fabric]:
    """lb2's agent is stopped for the test, and is as always after it."""
    agent = fabric.agents["lb2"]
    agent.stop()
    yield fabric
    if agent.alive:
        agent.stop()
    agent.start()


def test_the_unit_s_capabilities_are_enough(stopped: Fabric) -> None:
    """F5: to adopt what is there, to serve, to restart after SIGKILL, to stop cleanly."""
    agent = stopped.agents["lb2"]
    agent.start(*only(CAPABILITIES))
    stopped.await_routes()
    with stopped.only_via("lb2"):
        assert stopped.request() in t.REALS
    before = stopped.look("lb2").node
    agent.kill()
    agent.start(*only(CAPABILITIES))
    after = stopped.look("lb2").node
    assert after.boot == before.boot, "the maps were adopted"
    assert after.rx_packets >= before.rx_packets > 0
    assert agent.stop() == 0
    stopped.await_routes(nodes=("lb1",))


@pytest.mark.parametrize("missing", CAPABILITIES)
def test_none_of_them_is_too_much(stopped: Fabric, missing: str) -> None:
    agent = stopped.agents["lb2"]
    with pytest.raises(DeadlineError, match="ended"):
        agent.start(*only([name for name in CAPABILITIES if name != missing]))
    assert not agent.alive


def test_the_watchdog_is_told_in_time(stopped: Fabric) -> None:
    """Ready once, then a ping at least twice in each interval."""
    agent = stopped.agents["lb2"]
    interval = 1.5
    agent.launch("env", f"WATCHDOG_USEC={interval * 1e6:.0f}")
    with agent._ready as hears:
        hears.settimeout(30)
        assert hears.recv(100) in (b"READY=1", b"WATCHDOG=1")
        hears.settimeout(interval)
        said = [hears.recv(100) for _ in range(7)]
    assert said.count(b"WATCHDOG=1") >= 6
    assert agent.stop() == 0
