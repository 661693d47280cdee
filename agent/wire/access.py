# SPDX-License-Identifier: Apache-2.0
"""Who may do what: the role that a command needs.  Pure.  Who has which: shared/grants.py."""

from __future__ import annotations

import msgspec

from shared.messages import Command
from shared.model import Role

_NEEDED = {
    "look": Role.VIEWER,
    "replay": Role.VIEWER,
    "ring": Role.VIEWER,
    "config": Role.VIEWER,
    "history": Role.VIEWER,
    "flow-ages": Role.VIEWER,
    "audit": Role.OPERATOR,
    "drain": Role.OPERATOR,
    "undrain": Role.OPERATOR,
    "disable": Role.OPERATOR,
    "confirm": Role.OPERATOR,
    "weight": Role.OPERATOR,
    "withdraw": Role.OPERATOR,
    "announce": Role.OPERATOR,
    "batch": Role.OPERATOR,
    "rollout": Role.OPERATOR,
    "trace": Role.OPERATOR,
    "flow": Role.OPERATOR,
    "flows": Role.OPERATOR,
    "untrace": Role.OPERATOR,
    "reload": Role.ADMIN,
    "rollback": Role.ADMIN,
}
"""Every action; one that is forgotten here needs an admin, and a test asks for a decision."""


def needed(command: Command) -> Role:
    """The least role that may give this command."""
    if command.allow:
        return Role.ADMIN  # passes a guard by name
    return _NEEDED.get(tag(command), Role.ADMIN)


def tag(command: Command) -> str:
    """The action's name on the wire."""
    struct: msgspec.Struct = command.action
    return str(type(struct).__struct_config__.tag)
