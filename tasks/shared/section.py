"""What every section of pipeline.yaml has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class _Location:
    """Marks a setting that says where something is, and does not shape the output."""


def _relative_to_settings(path: Path, info: ValidationInfo) -> Path:
    root = (info.context or {}).get("root")
    return path if root is None else Path(root, path.expanduser())


LocalPath = Annotated[Path, AfterValidator(_relative_to_settings), _Location()]
"""A path in pipeline.yaml: relative to the folder of that file, and not part of a fingerprint."""


class Section(BaseModel):
    """One section of pipeline.yaml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def cache_values(self) -> dict[str, Any]:
        """The values that the stage's output depends on, for its fingerprint, as plain JSON; locations are left out."""
        values = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if any(isinstance(mark, _Location) for mark in field.metadata):
                del values[name]
            elif isinstance(value, Section):
                values[name] = value.cache_values()
        return values
