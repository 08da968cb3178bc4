"""A stage: a function that fills a folder, and what the engine needs to know without running it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.shared.store.fingerprint import Recipe, code_digests, digest_of, library_versions
from tasks.shared.store.known_files import KnownFiles

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from tasks.shared.section import Section
    from tasks.shared.store.artifacts import Artifact

StageFunction = Callable[..., dict[str, Any]]
ExternalDigests = Callable[[Any, KnownFiles | None], dict[str, str]]
Continues = Callable[[Any, "Path", Mapping[str, "Path"]], bool]
MissingSource = Callable[[Any], "Callable[[], object] | None"]


@dataclass(frozen=True)
class Stage:
    """What the decorator `stage` makes of a function; `function` is the function itself."""

    name: str
    folder: str
    function: StageFunction
    libraries: tuple[str, ...]
    volatile: tuple[str, ...]
    external_digests: ExternalDigests | None
    missing_source: MissingSource | None
    continues: Continues | None
    tags: tuple[str, ...]
    resumes_from: tuple[str, ...]

    @property
    def display_name(self) -> str:
        """What people see in the UI: the function's name in words."""
        return self.function.__name__.replace("_", " ")

    @property
    def contract(self) -> str:
        """Name of the module with the expectations on the output."""
        return f"{self.function.__module__.rpartition('.')[0]}.contract"

    @property
    def show(self) -> ModuleType | None:
        """The module that shows more of the output than what every stage shows; None if the stage has none."""
        name = f"{self.function.__module__.rpartition('.')[0]}.show"
        return importlib.import_module(name) if importlib.util.find_spec(name) else None

    def recipe(self, settings: Section, inputs: Mapping[str, Artifact], known: KnownFiles | None = None) -> Recipe:
        """What the artifact would be made of; `known` has digests of files outside the data folder."""
        return Recipe(
            stage=self.name,
            settings=settings.cache_values(),
            inputs={name: artifact.digest for name, artifact in inputs.items()},
            sources=self.external_digests(settings, known) if self.external_digests else {},
            code=code_digests(self.function.__module__),
            libraries=library_versions(self.libraries),
        )

    def check_key(self, artifact: Artifact, limits: Section) -> str:
        """What a check's verdict depends on, as one digest."""
        judged = {
            "artifact": [artifact.fingerprint, artifact.digest],
            "limits": limits.cache_values(),
            "code": code_digests(self.contract),
            "libraries": library_versions(("great-expectations", "pandas", "pyarrow")),
        }
        return digest_of(judged)[:20]


def stage(
    name: str,
    folder: str,
    libraries: tuple[str, ...],
    volatile: tuple[str, ...] = (),
    external_digests: ExternalDigests | None = None,
    missing_source: MissingSource | None = None,
    continues: Continues | None = None,
    tags: tuple[str, ...] = (),
    resumes_from: tuple[str, ...] = (),
) -> Callable[[StageFunction], Stage]:
    """Makes a stage of a function `(settings, out, *, <inputs>: Path) -> {"rows": …, <summary>}`.

    `libraries`: distributions whose version shapes the output.
    `volatile`: patterns of files that may differ between identical builds (timings).
    `external_digests(settings, known)`: digests of what the stage reads outside the data folder; `known` hashes
    files.
    `missing_source(settings)`: a function that downloads it, or None if this machine has it.
    `continues(settings, earlier, inputs)`: whether an earlier artifact of this stage must be continued; the newest such
    one is the input `previous`.
    `tags`: those of the Prefect task, for concurrency limits.
    `resumes_from`: patterns of the files in `scratch` from which a build goes on that was interrupted, in whatever
    process and on whatever machine. They appear whole and never change.

    A function that takes `scratch` gets an empty folder for what its calls hand to each other, and one that takes
    `executor` what to compute its parts on (tasks/shared/runner/calls.py). One that takes `kept` gets the finished
    parts of earlier builds (tasks/shared/parts/kept.py).
    """

    def decorate(function: StageFunction) -> Stage:
        hooks = external_digests, missing_source, continues
        return Stage(name, folder, function, libraries, volatile, *hooks, tags, resumes_from)

    return decorate
