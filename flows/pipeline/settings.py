"""pipeline.yaml: one section per stage, loaded, overridden and validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from flows.pipeline.settings_errors import MOST_CHARACTERS, explain
from flows.pipeline.yaml_file import NotYaml, parse_value, read_mapping
from tasks.cleaning.settings import CleaningLimits, CleaningSettings
from tasks.drift.settings import DriftLimits, DriftSettings
from tasks.evaluation.settings import EvaluationLimits, EvaluationSettings
from tasks.extraction.settings import ExtractionLimits, ExtractionSettings
from tasks.linear.settings import LinearLimits, LinearSettings
from tasks.promotion.settings import PromotionLimits, PromotionSettings
from tasks.shared.errors import SettingsError
from tasks.shared.runner.settings import RunnerSettings
from tasks.shared.section import LocalPath, Section
from tasks.shared.store.known_files import Verify
from tasks.splitting.settings import SplittingLimits, SplittingSettings
from tasks.stacking.settings import StackingLimits, StackingSettings
from tasks.tokenization.settings import TokenizationLimits, TokenizationSettings
from tasks.training.settings import TrainingLimits, TrainingSettings
from tasks.vocabulary.settings import VocabularyLimits, VocabularySettings


class Limits(Section):
    """What the checks between the stages tolerate."""

    extraction: ExtractionLimits = ExtractionLimits()
    cleaning: CleaningLimits = CleaningLimits()
    splitting: SplittingLimits = SplittingLimits()
    vocabulary: VocabularyLimits = VocabularyLimits()
    tokenization: TokenizationLimits = TokenizationLimits()
    linear: LinearLimits = LinearLimits()
    training: TrainingLimits = TrainingLimits()
    stacking: StackingLimits = StackingLimits()
    evaluation: EvaluationLimits = EvaluationLimits()
    promotion: PromotionLimits = PromotionLimits()
    drift: DriftLimits = DriftLimits()


class RetrainSettings(Section):
    """When a run trains a new model."""

    when: Literal["changed", "always"] = Field(
        "changed",
        description="changed: reuse the model if nothing that it depends on has changed; always: train a new one in "
        "every run, with a new random seed",
    )


class Pipeline(Section):
    """The whole of pipeline.yaml, in the order of the stages."""

    name: str = Field("brown", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="The pipeline's name in lists.")
    data: LocalPath = Field(Path("data"), validate_default=True, description="Folder for everything that runs write.")
    site_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s()<>\"']+$",
        description="where data/site/ is served; pages in Prefect's UI then link to it; null: nowhere",
    )
    verify: Verify = Field(
        "stat",
        description="What a run does before it reuses artifacts and a source: stat hashes a file again only if its "
        "size, times or inode changed; hash hashes every file.",
    )
    retrain: RetrainSettings = RetrainSettings()
    runner: RunnerSettings = RunnerSettings()
    extraction: ExtractionSettings = ExtractionSettings()
    cleaning: CleaningSettings = CleaningSettings()
    splitting: SplittingSettings = SplittingSettings()
    vocabulary: VocabularySettings = VocabularySettings()
    tokenization: TokenizationSettings = TokenizationSettings()
    linear: LinearSettings = LinearSettings()
    training: TrainingSettings = TrainingSettings()
    stacking: StackingSettings = StackingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    promotion: PromotionSettings = PromotionSettings()
    drift: DriftSettings = DriftSettings()
    checks: Limits = Limits()

    @model_validator(mode="after")
    def _data_apart_from_texts(self) -> Self:
        texts = self.extraction.folder.path if self.extraction.source == "folder" else None
        if isinstance(texts, Path) and self.data.is_relative_to(texts):
            inside = self.data.relative_to(texts).parts
            if not (inside and inside[0].startswith(".")):  # what is hidden is not read
                raise ValueError(f"data: {self.data} would be read as texts of extraction.folder.path; choose another")
        return self

    @property
    def sections(self) -> dict[str, Section]:
        """Each stage's section, by the stage's name."""
        return {name: getattr(self, name) for name in type(self.checks).model_fields}

    @property
    def limits(self) -> dict[str, Section]:
        """Each stage's limits, by the stage's name."""
        return {name: getattr(self.checks, name) for name in type(self.checks).model_fields}


_SECTIONS = tuple(name for name, field in Pipeline.model_fields.items() if isinstance(field.default, Section))


def load_settings(path: Path, overrides: Mapping[str, Any] | None = None) -> Pipeline:
    """Reads pipeline.yaml; `overrides`, nested like the file, override its values.

    Raises SettingsError, whose message is one line: file, key, what was given, what is allowed.
    """
    values: dict[str, Any] = {name: {} for name in _SECTIONS}  # validated too, so that their paths start here
    values |= read_mapping(path)
    _merge(values, overrides or {})
    try:
        return Pipeline.model_validate(values, context={"root": path.resolve().parent})
    except ValidationError as error:
        raise SettingsError(explain(path, Pipeline, error)) from None


def default_settings(settings: Pipeline) -> Pipeline:
    """The defaults of all settings, with the name and the folders of these."""
    root = settings.data.parent
    values: dict[str, Any] = {name: {} for name in _SECTIONS}
    values |= {"name": settings.name, "data": settings.data}
    return Pipeline.model_validate(values, context={"root": root})


def parse_override(text: str) -> dict[str, Any]:
    """`training.epochs=3` as {"training": {"epochs": 3}}; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set {text}: expected KEY=VALUE, for example --set training.epochs=3")
    try:
        nested: Any = parse_value(value)
    except NotYaml as error:
        shown = text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
        raise SettingsError(f"--set {shown}: the value is not valid YAML ({error})") from None
    for name in reversed(key.split(".")):
        nested = {name: nested}
    return dict(nested)


def merge_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """All `KEY=VALUE` of one command line as one nested mapping; a later one overrides an earlier one."""
    merged: dict[str, Any] = {}
    for text in texts:
        _merge(merged, parse_override(text))
    return merged


def _merge(values: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value
