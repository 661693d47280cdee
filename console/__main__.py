# SPDX-License-Identifier: Apache-2.0
"""`python3 -m console` is the command `remora`."""

import sys

from console.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
