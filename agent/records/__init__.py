# SPDX-License-Identifier: Apache-2.0
"""What outlives the agent: journal, audit, configs that were in force, the last hour."""
