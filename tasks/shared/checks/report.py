"""The results of a check, stored as JSON and cached; does not import Great Expectations."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Expected(BaseModel):
    """One expectation and its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: str
    expectation: str
    arguments: dict[str, Any]
    reason: str
    severity: str
    success: bool
    observed: Any
    examples: list[Any]
    range: tuple[float, float] | None = None
    """Smallest and largest value of a numeric column."""


class CheckReport(BaseModel):
    """All expectations of one check, in the order in which they ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = ""
    """Digest of what the verdict depends on: artifact, limits, contract, libraries."""
    results: list[Expected]

    @property
    def failures(self) -> list[Expected]:
        """What stops the run."""
        return [r for r in self.results if not r.success and r.severity == "critical"]

    @property
    def warnings(self) -> list[Expected]:
        """What people should look at, but does not stop the run."""
        return [r for r in self.results if not r.success and r.severity != "critical"]
