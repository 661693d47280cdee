# SPDX-License-Identifier: Apache-2.0
"""`reasons`: why packets are dropped.  Needs no agent, and nothing that talks to one."""

from __future__ import annotations

import json

from console import format as fmt
from shared.reasons import REASONS


def reasons(output: str) -> str:
    """The table of drop reasons; needs no agent."""
    if output == "json":
        from console.views.items import listing  # with all that travels on the wire: 40 ms
        from console.views.written import now_text

        found = [reason._asdict() for reason in REASONS]
        return json.dumps(listing("ReasonList", found, at=now_text(), missing=()), indent=2)
    return "\n".join(
        f"{r.number:>2}  {fmt.fit(r.name, 13)} {r.meaning}\n"
        f"      cause   {r.cause}\n      remedy  {r.remedy}"
        for r in REASONS
    )
