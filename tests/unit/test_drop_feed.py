# SPDX-License-Identifier: Apache-2.0
"""Drop events: told as long as they are few, and none of many is lost without a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dataplane.events import EVENT
from agent.wire.drop_feed import MOST, drop_events
from shared.messages import DropEvent, LostEvent


def records(count: int) -> Any:  # noqa: ANN401  # numpy records
    made = np.zeros(count, EVENT)
    made["rx_queue"], made["vip_num"], made["reason"] = np.arange(count) % 65536, 1, 1
    return made


@given(st.integers(0, 5000), st.integers(1, 200))
def test_told_and_left_out_are_all(count: int, most: int) -> None:
    """C2: what is lost is counted exactly; the first and the last are told."""
    told = list(drop_events(records(count), {}, most))
    lost = [body for body in told if isinstance(body, LostEvent)]
    drops = [body for body in told if isinstance(body, DropEvent)]
    assert len(drops) + sum(body.count for body in lost) == count
    assert len(drops) == min(count, most)
    assert told == [*drops, *lost], "the number comes last"
    assert [body.rx_queue for body in drops] == sorted({body.rx_queue for body in drops})
    if count and most > 1:
        assert (drops[0].rx_queue, drops[-1].rx_queue) == (0, count - 1)


@pytest.mark.parametrize("count", [1, MOST])
def test_a_few_are_all_told(count: int) -> None:
    told = list(drop_events(records(count), {1: "web"}))
    assert all(isinstance(body, DropEvent) and body.vip == "web" for body in told)
