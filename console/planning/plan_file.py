# SPDX-License-Identifier: Apache-2.0
"""The file of `plan -o json`, which `apply` takes: read as strictly as a peer's bytes.  Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from console.exits import VerbError
from console.model.objects import Verb
from console.planning.desired import API_VERSION
from console.planning.plan import Answered
from console.planning.wish import Order, Wish
from shared.messages import Action, Answer, Change

KIND = "Plan"
ANEW = "make it anew with remora plan VERB ... -o json"

Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0.0)]
Some = Annotated[list[Text], Meta(min_length=1)]


class Item(msgspec.Struct, frozen=True):
    """What one node said of its part."""

    node: Text
    address: Text
    action: Action
    result: Literal["planned", "unchanged", "applied", "refused", "failed", "no answer"]
    revision: int | None
    """None: it did not answer."""
    changes: tuple[Change, ...]
    guard: str | None = None
    error: str | None = None

    @property
    def answered(self) -> Answered:
        if self.revision is None or self.result == "no answer":
            return Answered(self.address, self.node, None)
        answer = Answer(
            id="",
            node=self.node,
            status=self.result,
            revision=self.revision,
            guard=self.guard or "",
            error=self.error or "",
            changes=self.changes,
        )
        return Answered(self.address, self.node, answer)


class PlanFile(msgspec.Struct, frozen=True, rename="camel"):
    expires_at: Annotated[datetime, Meta(tz=True)]
    verb: Literal[Verb, "reload", "rollback"]
    objects: Some
    as_cli: Some
    items: Annotated[list[Item], Meta(min_length=1)]
    reason: str = ""
    allow: list[Text] = []
    expires: Seconds = msgspec.field(name="expires_s", default=0.0)
    confirm: Seconds = msgspec.field(name="confirm_s", default=0.0)

    @property
    def wish(self) -> Wish:
        orders = tuple(Order(item.address, item.node, item.action) for item in self.items)
        return Wish(self.verb, "", tuple(self.objects), orders, tuple(self.as_cli))


def read(text: str, name: str) -> PlanFile:
    """Raises VerbError, which names the file and the field."""
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise VerbError(f"{name}: a damaged plan: {error}; {ANEW}") from error
    said = (found.get("apiVersion"), found.get("kind")) if isinstance(found, dict) else None
    if said != (API_VERSION, KIND):
        raise VerbError(f"{name}: not a plan of this version; {ANEW}")
    try:
        plan = msgspec.convert(found, PlanFile)
    except msgspec.ValidationError as error:
        raise VerbError(f"{name}: a damaged plan: {error}{_value(found, error)}; {ANEW}") from error
    addresses = [item.address for item in plan.items]
    twice = [each for each in dict.fromkeys(addresses) if addresses.count(each) > 1]
    if twice:
        raise VerbError(f"{name}: a damaged plan: items name {twice[0]} twice; {ANEW}")
    return plan


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number that can be sent")


def _value(found: Mapping[str, Any], error: msgspec.ValidationError) -> str:
    """The value at a key of the plan itself, which is what somebody may have typed."""
    key = str(error).rpartition("`$.")[2].rstrip("`")
    return f": {found[key]!r:.80}" if key in found else ""
