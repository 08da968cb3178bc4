"""The `stacking` section of pipeline.yaml, and the limits of its check."""

from __future__ import annotations

from pydantic import Field

from tasks.shared.section import Section


class StackingSettings(Section):
    """How the members' predictions are combined."""

    min_standard_errors: float = Field(
        2.0,
        ge=0,
        le=100,
        description="A member joins the best one if it lowers the out-of-fold log-loss by that many standard errors.",
    )


class StackingLimits(Section):
    """Limits of the check of the stack."""

    max_megabytes: float = Field(100.0, gt=0, description="Largest size of the model folder; a larger one only warns.")
