"""Leaves the training of the RNN out if it was of no use before: `training.when_useless: skip`.

The verdict is the newest model's for which the RNN was trained with the present settings, code and libraries of the
stages linear, training and stacking (the seed and the device aside), and the present labels. It holds while the number
of labelled texts differs from the number then by at most `HOLDS_WITHIN`. The model is an input of the training that is
left out, so a recipe says what it rests on.
"""

from __future__ import annotations

import json

from tasks.linear.schema import LABELS
from tasks.linear.task import fit_linear
from tasks.shared.engine.build import JUDGED
from tasks.shared.engine.run import Run
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Artifact, find_damage, read_manifest
from tasks.shared.store.fingerprint import Recipe
from tasks.stacking.task import stack
from tasks.training.skipped import judged_useless
from tasks.training.task import train

HOLDS_WITHIN = 0.2
"""Share of the labelled texts by which their number may change before the RNN is tried again."""
NOT_COMPARED = ("seed", "device")


def train_unless_useless(run: Run, *, linear: Artifact, **inputs: Artifact) -> Artifact:
    """The training's artifact. Without a member if the settings say `skip` and an earlier model has shown that."""
    judged = _verdict(run, linear, inputs)
    if judged is None:
        return run(train, **inputs)
    verdict = judged_useless(run.store.locate(judged))
    assert verdict is not None
    logger("training").info(
        "training: the RNN is not trained: %s; of labelled documents there were %s then, and there are %s now; "
        "training.when_useless: keep trains it",
        verdict.sentence(),
        f"{_made_by(run, judged, fit_linear).rows:,}",
        f"{linear.rows:,}",
    )
    return run(train, **inputs, judged=judged)


def _verdict(run: Run, linear: Artifact, inputs: dict[str, Artifact]) -> Artifact | None:
    """The model in which the RNN did not join the stack; None if it must be trained, or has been already."""
    settings = run.sections["training"]
    if settings.model_dump()["when_useless"] == "keep":
        return None
    recipe = train.recipe(settings, inputs)
    if run.store.place(train.folder, recipe.fingerprint).exists():
        return None
    stacking = stack.recipe(run.sections[stack.name], {})
    present = {train.name: recipe, fit_linear.name: linear.recipe, stack.name: stacking}
    for model in _models(run):
        if _same(run, model, present, linear) and find_damage(run.store.locate(model)) is None:
            labelled = _made_by(run, model, fit_linear).rows  # then; the model's rows may be those of a sample
            holds = abs(linear.rows - labelled) <= HOLDS_WITHIN * labelled
            useless = judged_useless(run.store.locate(model)) is not None
            return model if holds and useless else None
    return None


def _models(run: Run) -> list[Artifact]:
    """The models with a readable manifest, newest first."""
    found = []
    for path in run.store.all(stack.folder):
        try:
            found.append(read_manifest(path))
        except ArtifactError:
            continue  # `corpusflow verify` names it
    return sorted(found, key=lambda model: model.created, reverse=True)


def _same(run: Run, model: Artifact, present: dict[str, Recipe], linear: Artifact) -> bool:
    """Whether the RNN was trained for a model, all in the present way, and of texts with the present labels."""
    from tasks.stacking.stacked import read_model  # numpy

    try:
        earlier = {stage.name: _made_by(run, model, stage).recipe for stage in (train, fit_linear)}
        earlier |= {stack.name: model.recipe}
        label_names = read_model(run.store.locate(model))["label_names"]
    except ArtifactError:
        return False
    return (
        JUDGED not in earlier[train.name].inputs
        and label_names == json.loads((run.store.locate(linear) / LABELS).read_text(encoding="utf-8"))
        and all(_way(earlier[name]) == _way(recipe) for name, recipe in present.items())
    )


def _made_by(run: Run, model: Artifact, stage: Stage) -> Artifact:
    """The artifact of a stage that a model was made from. Raises ArtifactError if it is gone."""
    fingerprint = str(model.lineage.get(stage.name, {}).get("fingerprint"))
    return read_manifest(run.store.place(stage.folder, fingerprint))


def _way(recipe: Recipe) -> tuple[object, ...]:
    """What a recipe says apart from the texts."""
    settings = {name: value for name, value in recipe.settings.items() if name not in NOT_COMPARED}
    return settings, recipe.code, recipe.libraries
