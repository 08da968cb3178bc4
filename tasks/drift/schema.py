"""The files of the drift stage, and the figures that have limits."""

from __future__ import annotations

FIGURES_FILE, PAGE = "drift.json", "drift.md"

FIGURES = {
    "label_shift": "label shares",
    "length_shift": "lengths of the texts",
    "rare_rise": "share of rare tokens",
    "token_divergence": "distribution of tokens",
}
"""Name and title of each figure; its limit is `max_<name>`."""
