"""What the drift stage writes, and the figures in it that limits are set for."""

from __future__ import annotations

FIGURES_FILE, PAGE = "drift.json", "drift.md"

FIGURES = {
    "label_shift": "label shares",
    "length_shift": "lengths of the texts",
    "rare_rise": "share of rare tokens",
    "token_divergence": "distribution of tokens",
}
"""The figures by name, and what people call them; the limit of each is `max_<name>`."""
