"""The stages, in the order in which they run."""

from __future__ import annotations

from tasks.cleaning.task import clean
from tasks.drift.task import compare
from tasks.evaluation.task import evaluate
from tasks.extraction.task import extract
from tasks.linear.task import fit_linear
from tasks.promotion.task import promote
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import InputError
from tasks.shared.store.artifacts import Artifact, Store
from tasks.splitting.task import split
from tasks.stacking.task import stack
from tasks.tokenization.task import tokenize
from tasks.training.task import train
from tasks.vocabulary.task import learn_vocabulary

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        extract,
        clean,
        split,
        learn_vocabulary,
        tokenize,
        fit_linear,
        train,
        stack,
        evaluate,
        promote,
        compare,
    )
}


def newest(store: Store, name: str) -> Artifact:
    """The newest artifact of a stage; raises InputError if there is none."""
    artifact = store.latest(STAGES[name].folder)
    if artifact is None:
        raise InputError(f"{store.root / STAGES[name].folder}: no {name} artifact yet; `corpusflow run` makes one")
    return artifact
