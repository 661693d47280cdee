# SPDX-License-Identifier: Apache-2.0
"""Every decision of the agent: facts in, effects out.  Pure."""
