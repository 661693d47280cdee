# SPDX-License-Identifier: Apache-2.0
"""`python -m agent` is `remora-agent`."""

import sys

from agent.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
