"""The files of a saved RNN member."""

from __future__ import annotations

WEIGHTS, CONFIG, EVIDENCE = "networks.safetensors", "config.json", "evidence.safetensors"
