"""Finds the earlier artifact that a stage continues.

Splits must stay where they were when texts are added, so the splits of today depend on those of yesterday. Yesterday's
artifact is then an ingredient like any other, but must not make a run that changes nothing build again: an artifact
that was made from the same ingredients, whatever it continued itself, is the one to reuse.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Artifact, Store, damage, read_manifest

PREVIOUS = "previous"


def continued(store: Store, stage: Stage, settings: Section, inputs: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The input `previous` of a stage, or nothing when it starts afresh."""
    if stage.continues is None:
        return {}
    recipe = stage.recipe(settings, inputs)
    earlier = _earlier(store, stage)
    by_digest = {artifact.digest: artifact for artifact in earlier}
    for artifact in earlier:
        before = dict(artifact.recipe.inputs)
        given = before.pop(PREVIOUS, None)
        if artifact.recipe.model_copy(update={"inputs": before}) == recipe and (given is None or given in by_digest):
            return {} if given is None else {PREVIOUS: by_digest[given]}
    paths = {name: store.locate(artifact) for name, artifact in inputs.items()}
    for artifact in earlier:
        path = store.locate(artifact)
        same = artifact.recipe.settings == recipe.settings
        if same and damage(path) is None and stage.continues(settings, path, paths):
            return {PREVIOUS: artifact}
    return {}


def _earlier(store: Store, stage: Stage) -> list[Artifact]:
    """The stage's committed artifacts, the newest first."""
    found = []
    for path in store.all(stage.folder):
        try:
            found.append(read_manifest(path))
        except ArtifactError:
            continue  # without a manifest there is nothing to continue; `corpusflow verify` names it
    return sorted(found, key=lambda artifact: artifact.created, reverse=True)
