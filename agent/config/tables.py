# SPDX-License-Identifier: Apache-2.0
"""What every table of the config file is made of: the strict struct and the types of its values."""

from __future__ import annotations

import abc
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from shared.model import Address
else:

    class Address(abc.ABC):  # noqa: B024
        """Of either family.  msgspec takes one foreign type per field: this stands for the two."""

    Address.register(IPv4Address)
    Address.register(IPv6Address)

__all__ = ["Address", "Asn", "Count", "Name", "Port", "Seconds", "Table"]

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(ge=0.05, le=3600)]
Count = Annotated[int, Meta(ge=1, le=100)]
Asn = Annotated[int, Meta(ge=1, le=4294967295)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: unknown keys are errors."""
