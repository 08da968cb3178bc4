"""The drift section of pipeline.yaml: which texts are compared, and the limits of their drift."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.section import Section


class DriftSettings(Section):
    """How today's texts are compared with the champion's training texts."""

    compare: Literal["all", "new"] = Field(
        "all", description="which of today's texts to compare: all, or only those that the champion's corpus lacks"
    )
    rare_count: int = Field(
        5, ge=1, description="a token is rare if it occurs fewer times than this in the champion's training texts"
    )


class DriftLimits(Section):
    """Limits of the drift from the champion's texts to today's; each figure ranges from 0 (no drift) to 1."""

    max_label_shift: float = Field(0.2, ge=0, le=1, description="half the sum of the differences of the label shares")
    max_length_shift: float = Field(
        0.3,
        ge=0,
        le=1,
        description="largest difference of the cumulative distributions of lengths (Kolmogorov-Smirnov)",
    )
    max_rare_rise: float = Field(0.05, ge=0, le=1, description="increase of the share of rare tokens")
    max_token_divergence: float = Field(
        0.05, ge=0, le=1, description="Jensen-Shannon divergence of the token distributions, base 2"
    )
    min_documents: int = Field(
        30, ge=1, description="minimum number of texts to judge; with fewer the figures are only recorded"
    )
    beyond: Literal["ignore", "warn", "stop"] = Field("warn", description="what to do beyond one of these limits")
