# SPDX-License-Identifier: Apache-2.0
"""ExaBGP: the child, the bridge to it, and what it is told."""
