# SPDX-License-Identifier: Apache-2.0
"""Labels of a node and of what it carries: said when they change, and now and then."""

from __future__ import annotations

from shared.messages.snapshots import Message


class LabelSnapshot(Message, frozen=True, kw_only=True, tag="label"):
    """Topic `label`: the labels of the node, of all its VIPs and of all their reals, complete.

    They hold while the node's snapshot says the same `digest` in its field `labels`.
    """

    digest: str
    """Over all of it."""
    common: str
    """Over `sets`, `vips` and `reals`: equal on nodes whose VIPs and reals are labelled alike."""
    labels: dict[str, str]
    """The node's own."""
    sets: tuple[dict[str, str], ...]
    """Every set of labels that VIPs and reals have, once."""
    vips: dict[str, int]
    """Name of each VIP -> number of its set, from 0."""
    reals: dict[str, dict[str, int]]
    """Name of each VIP -> address of each of its reals -> number of its set."""
