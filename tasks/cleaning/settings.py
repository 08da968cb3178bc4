"""The cleaning section of pipeline.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.section import Section

Policy = Literal["drop", "group", "keep"]


class DuplicateSettings(Section):
    """What happens to a document whose text, or nearly its text, came before.

    `drop` leaves it out and says which document it repeats; `group` keeps it, and ties it to the other, so that
    both end in the same part of the split; `keep` looks away.
    """

    exact: Policy = Field("drop", description="the same text, once cleaned, as an earlier document")
    near: Policy = Field("group", description="nearly the same text as an earlier document")
    threshold: float = Field(
        0.9, gt=0, le=1, description="Jaccard similarity of two sets of shingles from which texts count as near"
    )
    shingle_words: int = Field(3, ge=1, le=32, description="words in a shingle; more make the comparison stricter")
    permutations: int = Field(
        128, ge=16, le=1024, description="numbers in a signature; more cost memory and overlook less"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the signatures")


class CleaningSettings(Section):
    """How texts are cleaned, and which documents are left out."""

    normalize_unicode: bool = Field(True, description="Unicode normalization form C (NFC)")
    remove_controls: bool = Field(
        True, description="tabs become spaces, all line breaks \\n; other control characters go"
    )
    straighten_quotes: bool = Field(True, description="typographic quotes become ' and \"")
    collapse_whitespace: bool = Field(
        True, description="runs become one space, or one blank line between paragraphs; none at the ends"
    )
    min_characters: int = Field(20, ge=1, description="characters; a shorter text, once cleaned, is dropped")
    duplicates: DuplicateSettings = Field(default_factory=DuplicateSettings, description="texts that came before")

    def normalization(self) -> dict[str, bool]:
        """The options of `normalize`."""
        names = ("normalize_unicode", "remove_controls", "straighten_quotes", "collapse_whitespace")
        return {name: getattr(self, name) for name in names}


class CleaningLimits(Section):
    """What the check of the cleaned documents tolerates."""

    min_documents: int = Field(3, ge=1, description="documents that must be left")
    max_dropped_share: float = Field(0.2, ge=0, le=1, description="share of the extracted documents, from 0 to 1")
    max_characters: int = Field(10_000_000, ge=1, description="characters of the longest text")
