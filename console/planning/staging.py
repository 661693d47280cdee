# SPDX-License-Identifier: Apache-2.0
"""How an operation comes to its nodes: a canary, its soak, batches, and what stops it.  Pure.

Written as the flags of the CLI: so the nodes keep it, for whoever goes on with the operation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from console.model.objects import ObjectError
from console.planning.wish import Order, seconds_of

LONGEST_SOAK = 3000.0
"""Seconds; a canary makes two rings for as long."""


class Stop(NamedTuple):
    """What stops it."""

    drops: float | None = 50.0
    """More drops per second than before, on the nodes that had their turn; None: no matter."""
    health: bool = True
    """Any real of its VIPs whose health changes on any of its nodes."""
    ack: float = 5.0
    """Seconds within which a node must answer."""

    def __str__(self) -> str:
        parts = [] if self.drops is None else [f"drops=+{self.drops:g}/s"]
        return ",".join([*parts, *(["hc"] if self.health else []), f"ack={self.ack:g}s"])


STOP = Stop()


class Staging(NamedTuple):
    canary: str
    """A node's name, or how many nodes are first."""
    soak: float = 30.0
    """Seconds between the canary and the others."""
    batch: int = 1
    """Nodes at a time, after that."""
    stop: Stop = STOP

    @property
    def short(self) -> str:
        """Only what is not as usual."""
        parts = [f"--canary {self.canary}"]
        parts += [f"--soak {self.soak:g}s"] if self.soak != 30.0 else []
        parts += [f"--batch {self.batch}"] if self.batch != 1 else []
        parts += [f"--stop-on {self.stop}"] if self.stop != STOP else []
        return " ".join(parts)

    @property
    def words(self) -> tuple[str, str, str, str]:
        """Canary, soak, batch and what stops it, as one types them."""
        return self.canary, f"{self.soak:g}s", str(self.batch), str(self.stop)

    def __str__(self) -> str:
        canary, soak, batch, stop = self.words
        return f"--canary {canary} --soak {soak} --batch {batch} --stop-on {stop}"


def staging(canary: str, soak: str, batch: str, stop: str) -> Staging | None:
    """What was typed; None without any: all nodes at once.  Raises ObjectError."""
    if not canary.strip():
        named = {"soak": soak, "batch": batch, "stop-on": stop}
        if given := [name for name, text in named.items() if text.strip()]:
            # Whoever says how many at a time does not want all of them at once.
            raise ObjectError(f"{given[0]}: only with a canary: say which node, or how many, first")
        return None
    wait = seconds_of(soak) if soak.strip() else 30.0
    if not 1 <= wait <= LONGEST_SOAK:
        raise ObjectError(f"soak {soak!r}: must be 1s to 50m")
    if not (batch.strip() or "1").isdecimal() or int(batch or 1) < 1:
        raise ObjectError(f"batch {batch!r}: must be a number of nodes, 1 or more")
    return Staging(canary.strip(), wait, int(batch or 1), stop_of(stop))


_DROPS = re.compile(r"drops=\+?(\d+(?:\.\d+)?)(?:/s)?")


def stop_of(text: str) -> Stop:
    """`drops=+50/s,hc,ack=3s`; nothing: the usual.  Raises ObjectError."""
    if not text.strip():
        return STOP
    found = Stop(drops=None, health=False)
    for word in filter(None, re.split(r"[,\s]+", text.strip())):
        if drops := _DROPS.fullmatch(word):
            found = found._replace(drops=float(drops[1]))
        elif word == "hc":
            found = found._replace(health=True)
        elif word.startswith("ack="):
            ack = seconds_of(word.removeprefix("ack="))
            if not 1 <= ack <= 60:
                raise ObjectError(f"stop-on {word}: must be ack=1s to ack=60s")
            found = found._replace(ack=ack)
        else:
            raise ObjectError(f"stop-on {word!r}: takes drops=+50/s, hc, ack=3s, with commas")
    return found


def terms_of(how: Staging, expires: float) -> str:
    """What the nodes keep of it; `expires`: seconds after which each goes back, 0: never."""
    return f"{how} --for {expires:g}s" if expires else str(how)


def of_terms(text: str) -> Staging | None:
    """From what the nodes keep; None: it is not of this kind.  Raises ObjectError."""
    given = _flags(text)
    wanted = ("--canary", "--soak", "--batch", "--stop-on")
    canary, soak, batch, stop = (given.get(name, "") for name in wanted)
    return staging(canary, soak, batch, stop)


def expires_of(text: str) -> float:
    """Seconds, of the same words; 0: never.  Raises ObjectError."""
    return seconds_of(_flags(text).get("--for", ""))


def _flags(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=False))


def batches(orders: Sequence[Order], how: Staging, *, go_on: bool = False) -> list[list[Order]]:
    """The nodes in their order; `go_on`: the canary was before.  Raises ObjectError."""
    first = [] if go_on else _canaries(orders, how.canary)
    rest = [order for order in orders if order not in first]
    steps = [rest[at : at + how.batch] for at in range(0, len(rest), how.batch)]
    return [first, *steps] if first else steps


def _canaries(orders: Sequence[Order], wanted: str) -> list[Order]:
    named = [order for order in orders if order.node == wanted]
    if named:
        return named
    if wanted.isdecimal() and 1 <= int(wanted) <= len(orders):
        return list(orders[: int(wanted)])
    known = ", ".join(order.node for order in orders)
    raise ObjectError(f"canary {wanted}: must be one of {known}, or how many of them")
