# SPDX-License-Identifier: Apache-2.0
"""The programs and their maps, from this side: the only code that speaks bpf(2)."""
