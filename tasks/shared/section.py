"""What every section of pipeline.yaml has in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from tasks.shared.remote import checked_url, is_url


class _Location:
    """Marks a setting that says where something is, and does not shape the output."""


def _relative_to_settings(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError("NUL cannot be part of a path")
    root = (info.context or {}).get("root")
    try:
        return path if root is None else Path(root, path.expanduser())
    except RuntimeError:
        raise ValueError(f"there is no home folder for {path.parts[0]!r}") from None


def _local_or_remote(value: Any) -> Any:
    if not is_url(value):
        return Path(value) if isinstance(value, str) else value
    parts = urlsplit(value)
    if parts.scheme != "file":
        return checked_url(value)
    if parts.netloc not in ("", "localhost"):
        raise ValueError("the path of a file:// URL begins with a third slash: file:///home/…")
    return Path(unquote(parts.path))


def _relative_unless_remote(place: Path | str, info: ValidationInfo) -> Path | str:
    return place if isinstance(place, str) else _relative_to_settings(place, info)


LocalPath = Annotated[Path, AfterValidator(_relative_to_settings), _Location()]
"""A path in pipeline.yaml: relative to the folder of that file, and not part of a fingerprint."""
SourcePath = Annotated[
    Path | str, BeforeValidator(_local_or_remote), AfterValidator(_relative_unless_remote), _Location()
]
"""The same, or a URL, which stays a string."""


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for each in inner:
        yield from _kinds(each)


class Section(BaseModel):
    """One section of pipeline.yaml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML takes `yes`, `no`, `on` and `off` for truth values, and pydantic would take these for 1 and 0."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds = set(_kinds(cls.model_fields[info.field_name].annotation))
            if kinds & {int, float} and bool not in kinds:
                raise ValueError("should be a number (YAML takes yes, no, on and off for true and false)")
        return value

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
