# SPDX-License-Identifier: Apache-2.0
"""What the core is told (facts) and what it asks for (effects).  The agent on one page."""

from __future__ import annotations


class EffectError(Exception):
    """The world refused an effect (kernel, BGP, disk); the text says what and why."""
