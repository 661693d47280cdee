# SPDX-License-Identifier: Apache-2.0
"""`remora-agent preflight`: read_* look at the machine, survey gathers, rules* judge (pure)."""
