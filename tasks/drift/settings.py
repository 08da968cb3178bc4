"""The drift section of pipeline.yaml: which texts are compared, and how far they may have moved."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.shared.section import Section


class DriftSettings(Section):
    """How today's texts are compared with those that the champion was trained on."""

    compare: Literal["all", "new"] = Field(
        "all", description="today's texts that are compared: all, or those that the champion's corpus lacks"
    )
    rare_count: int = Field(
        5, ge=1, description="a token is rare when the champion's training texts use it fewer times than this"
    )


class DriftLimits(Section):
    """How far today's texts may have moved from the champion's; each figure goes from 0 (alike) to 1."""

    max_label_shift: float = Field(0.2, ge=0, le=1, description="half the sum of the differences of the label shares")
    max_length_shift: float = Field(
        0.3, ge=0, le=1, description="largest difference of the shares of texts up to any length (Kolmogorov-Smirnov)"
    )
    max_rare_rise: float = Field(0.05, ge=0, le=1, description="rise of the share of rare tokens")
    max_token_divergence: float = Field(
        0.05, ge=0, le=1, description="Jensen-Shannon divergence of the token distributions, base 2"
    )
    min_documents: int = Field(30, ge=1, description="fewest texts to judge; of fewer the figures are only noted")
    beyond: Literal["ignore", "warn", "stop"] = Field("warn", description="what happens beyond one of these limits")
