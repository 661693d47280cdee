# SPDX-License-Identifier: Apache-2.0
"""One module per kind of check: each asks once and says what came of it."""
