# SPDX-License-Identifier: Apache-2.0
"""The agent of an edge node."""

from agent.host import lean

lean.load("hashlib", without="_hashlib")  # before whoever else imports it
