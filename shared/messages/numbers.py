# SPDX-License-Identifier: Apache-2.0
"""Numbers as they cross the wire."""

from __future__ import annotations

import sys
from typing import Annotated

from msgspec import Meta

Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A float that is a number: of an infinite one, or of none (NaN), no time, age or rate can be made.
msgspec refuses those where it decodes, and names the field."""
