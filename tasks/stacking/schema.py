"""The file of the model folder; next to it a subfolder per member that joined."""

from __future__ import annotations

MODEL = "model.json"
FORMAT = 1
"""Of model.json; another one was written by another version."""
