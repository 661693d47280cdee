# SPDX-License-Identifier: Apache-2.0
"""The guards' names: what the agents refuse by, and what `--allow` takes."""

LAST_HEALTHY = "last-healthy"
MIN_HEALTHY = "min-healthy"
BLAST_RADIUS = "blast-radius"
CAPACITY = "capacity"
FRESH = "fresh"
STEERED = "steered"
"""Of no change: two consoles must not steer one operation."""
OTHER_OP = "other-op"
LIVE_FLOWS = "live-flows"
LAST_ANNOUNCER = "last-announcer"
"""Goes by what the sender says of the other nodes: against mistakes, not against who lies; the
audit has what was said."""
NAMES = (
    *(LAST_HEALTHY, MIN_HEALTHY, BLAST_RADIUS, CAPACITY, FRESH, OTHER_OP, LIVE_FLOWS),
    LAST_ANNOUNCER,
)
"""What `--allow` takes."""
