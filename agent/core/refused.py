# SPDX-License-Identifier: Apache-2.0
"""A command that cannot be taken, whoever finds out."""


class Refused(Exception):
    """The text says why and what would do."""
