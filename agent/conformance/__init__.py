# SPDX-License-Identifier: Apache-2.0
"""Packets with a known outcome, tried on this node's own program."""
