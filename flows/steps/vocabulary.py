"""Finds the champion's vocabulary, which `vocabulary.keep: champion` keeps while it suits the texts."""

from __future__ import annotations

from flows.steps.promotion import ancestor
from tasks.shared.engine.run import Run
from tasks.shared.errors import ArtifactError
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Artifact, read_manifest
from tasks.shared.store.champion import MODELS, read_champion
from tasks.vocabulary.task import learn_vocabulary


def champion_vocabulary(run: Run) -> dict[str, Artifact]:
    """The vocabulary as an input of its stage; empty without the setting, or if there is none, or it is damaged."""
    if run.sections[learn_vocabulary.name].model_dump()["keep"] != "champion":
        return {}
    try:
        champion = read_champion(run.store)
        if champion is None:
            return {}
        model = read_manifest(run.store.place(MODELS, champion.current.model))
        return {"champion_vocabulary": ancestor(run.store, model, learn_vocabulary)}
    except ArtifactError as error:
        logger("vocabulary").warning("vocabulary: the champion's cannot be kept: %s", error)
        return {}
