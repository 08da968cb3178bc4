"""The cleaning section of pipeline.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.section import Section

Policy = Literal["drop", "group", "keep"]
ConflictPolicy = Literal["warn", "drop_both", "fail"]


class DuplicateSettings(Section):
    """What happens to a document that repeats an earlier text, exactly or nearly.

    `drop` leaves it out and records which document it repeats; `group` keeps it in one group with the earlier one, so
    that both land in the same split; `keep` ignores the repetition.
    """

    exact: Policy = Field("drop", description="the same text, once cleaned, as an earlier document")
    near: Policy = Field("group", description="nearly the same text as an earlier document")
    threshold: float = Field(
        0.9, gt=0, le=1, description="least Jaccard similarity of two texts' shingles to count as near duplicates"
    )
    shingle_words: int = Field(3, ge=1, le=32, description="words per shingle; more make the comparison stricter")
    permutations: int = Field(
        128, ge=16, le=1024, description="hashes per MinHash signature; more use more memory and miss fewer pairs"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the MinHash signatures")


class CleaningSettings(Section):
    """How texts are cleaned, and which documents are dropped."""

    normalize_unicode: bool = Field(True, description="Unicode normalization form C (NFC)")
    remove_controls: bool = Field(
        True, description="tabs become spaces, line breaks \\n; other control characters are removed"
    )
    straighten_quotes: bool = Field(True, description="typographic quotes become ' and \"")
    collapse_whitespace: bool = Field(
        True, description="one space between words, one blank line between paragraphs, none at the ends"
    )
    min_characters: int = Field(
        20,
        ge=1,
        description="fewest characters of a cleaned text; shorter ones are dropped. A character of Chinese, Japanese, "
        "Korean, Thai and the like counts as three",
    )
    conflicting_labels: ConflictPolicy = Field(
        "warn",
        description="the same text under two labels; warn: the first document counts if duplicates.exact is drop; "
        "drop_both: none does; fail: the run stops",
    )
    duplicates: DuplicateSettings = Field(default_factory=DuplicateSettings, description="repeated texts")

    def normalization(self) -> dict[str, bool]:
        """The keyword arguments of `normalize`."""
        names = ("normalize_unicode", "remove_controls", "straighten_quotes", "collapse_whitespace")
        return {name: getattr(self, name) for name in names}


class CleaningLimits(Section):
    """What the check of the cleaned documents tolerates."""

    min_documents: int = Field(3, ge=1, description="fewest documents that must be kept")
    max_dropped_share: float = Field(0.2, ge=0, le=1, description="largest share of documents dropped, from 0 to 1")
    max_characters: int = Field(10_000_000, ge=1, description="longest text, in characters")
