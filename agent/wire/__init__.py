# SPDX-License-Identifier: Apache-2.0
"""Telemetry out, commands in: sockets, gate, snapshots, metrics."""
