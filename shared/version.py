# SPDX-License-Identifier: Apache-2.0
"""The version, for everybody who says it: the build reads it here (pyproject.toml).

A constant, because importlib.metadata costs an agent 3 MB and a verb of the console half its time.
"""

VERSION = "0.1.0"
