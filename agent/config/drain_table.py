# SPDX-License-Identifier: Apache-2.0
"""The table `drain` of the config file: how a node, or a VIP on it, leaves service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from agent.config.bgp_table import Metric, Prepend
from agent.config.tables import Table


class DrainTable(Table, frozen=True, kw_only=True):
    graceful_shutdown: bool = True
    local_preference: Metric | None = 0
    med: Metric | None = None
    prepend: Prepend = 0
    floor: Annotated[float, Meta(ge=0, le=1e9)] = 1.0
    deadline: Annotated[float, Meta(ge=0, le=86400)] = 60.0
    settle: Annotated[float, Meta(ge=0, le=3600)] = 3.0
