"""Finds the earlier artifact that a stage continues.

Splits must not change when texts are added, so new splits depend on the previous ones. The previous artifact is an
input of the recipe. It must not cause a rebuild if nothing has changed: an artifact whose recipe is otherwise the same
is reused, no matter which artifact it continued.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Artifact, Store, read_manifest

PREVIOUS = "previous"


def continued(store: Store, stage: Stage, settings: Section, inputs: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The input `previous` of a stage; empty if it has nothing to continue."""
    if stage.continues is None:
        return {}
    recipe = stage.recipe(settings, inputs)
    earlier = _earlier(store, stage)
    by_digest = {artifact.digest: artifact for artifact in earlier}
    for artifact in earlier:
        before = dict(artifact.recipe.inputs)
        previous = before.pop(PREVIOUS, None)
        same = artifact.recipe.model_copy(update={"inputs": before}) == recipe
        if same and (previous is None or previous in by_digest):
            return {} if previous is None else {PREVIOUS: by_digest[previous]}
    paths = {name: store.locate(artifact) for name, artifact in inputs.items()}
    for artifact in earlier:
        path = store.locate(artifact)
        same = artifact.recipe.settings == recipe.settings
        if same and store.find_damage(path) is None and stage.continues(settings, path, paths):
            return {PREVIOUS: artifact}
    return {}


def _earlier(store: Store, stage: Stage) -> list[Artifact]:
    """The stage's committed artifacts, newest first."""
    artifacts = []
    for path in store.all(stage.folder):
        try:
            artifacts.append(read_manifest(path))
        except ArtifactError:
            continue  # `corpusflow verify` names it
    return sorted(artifacts, key=lambda artifact: artifact.created, reverse=True)
