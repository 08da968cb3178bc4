"""What every section of pipeline.yaml has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from tasks.shared.remote import checked_url, is_url


class _Location:
    """Marks a setting that says where something is, and does not shape the output."""


def _relative_to_settings(path: Path, info: ValidationInfo) -> Path:
    root = (info.context or {}).get("root")
    return path if root is None else Path(root, path.expanduser())


def _local_or_remote(value: Any) -> Any:
    if not is_url(value):
        return Path(value) if isinstance(value, str) else value
    return Path(unquote(urlsplit(value).path)) if value.lower().startswith("file://") else checked_url(value)


def _relative_unless_remote(place: Path | str, info: ValidationInfo) -> Path | str:
    return place if isinstance(place, str) else _relative_to_settings(place, info)


LocalPath = Annotated[Path, AfterValidator(_relative_to_settings), _Location()]
"""A path in pipeline.yaml: relative to the folder of that file, and not part of a fingerprint."""
SourcePath = Annotated[
    Path | str, BeforeValidator(_local_or_remote), AfterValidator(_relative_unless_remote), _Location()
]
"""The same, or a URL, which stays a string."""


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
