"""What a message says about dropped documents: how many, why, and the setting that drops them."""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS = {
    "too_short": "cleaning.min_characters",
    "exact_duplicate": "cleaning.duplicates.exact",
    "near_duplicate": "cleaning.duplicates.near",
    "conflicting_labels": "cleaning.conflicting_labels",
}
"""The setting behind each reason. Nothing keeps an empty text."""


def dropped_by(reasons: Mapping[str, int]) -> str:
    """For example: 60 too short (cleaning.min_characters), 2 empty; "none" if there are none."""
    parts = [
        f"{count:,} {reason.replace('_', ' ')}" + (f" ({SETTINGS[reason]})" if reason in SETTINGS else "")
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    return ", ".join(parts) or "none"
