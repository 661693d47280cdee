# SPDX-License-Identifier: Apache-2.0
"""The kernel refuses: an OSError becomes the EffectError that names what was wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent.boundary import EffectError


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """`what`: what is concerned and what cannot be, as "ring row 3: cannot be mapped"."""
    try:
        yield
    except OSError as error:
        raise EffectError(f"{what}: {error.strerror}") from error
