# SPDX-License-Identifier: Apache-2.0
"""The table `vips.check` of the config file: what is asked of a real, and what counts as an answer.

Values alone are checked here, what they mean together in check_contradictions.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from agent.config.tables import Address, Count, Seconds, Table
from agent.core.health import FIRST_HOLD

Kind = Literal["tcp", "http", "https", "tls", "dns", "udp", "exec", "file"]
Via = Literal["tunnel", "direct", "both"]
Percent = Annotated[int, Meta(ge=1, le=100)]
Status = Annotated[str, Meta(pattern=r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?\Z")]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:\[\]-]{0,255}\Z")]


class Check(Table, frozen=True, kw_only=True):
    kind: Kind = "tcp"
    via: Via = "tunnel"
    address: Address | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    source: Address | None = None
    interval: Seconds = 2.0
    fast_interval: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    jitter: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    timeout: Seconds = 1.0
    rise: Count = 2
    fall: Count = 3
    hold: Annotated[float, Meta(ge=0, le=600)] = FIRST_HOLD
    # http and https
    method: Literal["GET", "HEAD"] = "GET"
    path: Annotated[str, Meta(pattern=r"^/[!-~]*\Z")] = "/"
    host: Host = ""
    status: Annotated[tuple[Status, ...], Meta(min_length=1)] = ("200-399",)
    # https and tls
    sni: Host = ""
    ca_file: str = ""
    verify: bool = True
    # dns
    query: str = ""
    record: Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9]{0,9}\Z")] = "A"
    transport: Literal["udp", "tcp"] = "udp"
    # tcp and udp; what is expected also of http, https and dns
    send: str = ""
    expect: str = ""
    # exec and file
    command: tuple[str, ...] = ()
    file: str = ""
    # the weight that the answer may name
    weight_header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,64}\Z")] = ""
    weight_least: Percent = 10
    weight_most: Percent = 100

    @property
    def quick(self) -> float:
        """Seconds between checks while the verdict may be changing."""
        return self.fast_interval or self.interval
