# SPDX-License-Identifier: Apache-2.0
"""ExaBGP 5 as the agent starts it: `python -I exabgp_launch.py server CONF`.

ExaBGP forgets a reload that comes while any peer has routes that were not sent yet.  Those of a
peer that never answers wait for ever, so with one such peer nothing could ever be reloaded, the
peer itself included.  Here only established sessions count: theirs are sent in a moment.  The agent
asks which configuration is in force and says so if it is not the new one, so an ExaBGP without that
method is no trap either.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from exabgp.application.main import main
from exabgp.reactor.loop import Reactor


def _sending(self: Any) -> bool:  # noqa: ANN401  # ExaBGP has no types
    established = self.established_peers()
    return any(self._peers[key].neighbor.rib.outgoing.pending() for key in established)


if hasattr(Reactor, "_pending_adjribout"):
    Reactor._pending_adjribout = _sending

if __name__ == "__main__":
    sys.argv[0] = str(Path(sys.prefix, "bin", "exabgp"))  # where it looks for its environment from
    sys.exit(main())
