# SPDX-License-Identifier: Apache-2.0
"""`remora-agent`: the verbs of the edge node."""
