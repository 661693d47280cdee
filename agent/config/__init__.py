# SPDX-License-Identifier: Apache-2.0
"""The config file: its tables, what contradicts what, what differs.  Pure but for reading it."""
