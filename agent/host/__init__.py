# SPDX-License-Identifier: Apache-2.0
"""The machine around the agent: links and neighbours, processors, systemd, the log."""
