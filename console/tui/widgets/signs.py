# SPDX-License-Identifier: Apache-2.0
"""Signs for terminals without Unicode, and those that draw some signs two cells wide.

One for one, so that columns stay where they are.
"""

from __future__ import annotations

TABLE = str.maketrans(
    {
        "●": "*", "◐": "~", "○": "o", "✕": "X", "▲": "!", "·": ".", "│": "|", "─": "-",
        "›": ">", "…": ".", "↓": "v", "↑": "^", "→": ">", "▼": "v", "░": ".", "▒": ":",
        "▓": "=", "█": "#", "▁": "_", "▂": "_", "▃": ".", "▄": "-", "▅": "-", "▆": "=",
        "▇": "=",
    }
)  # fmt: skip
