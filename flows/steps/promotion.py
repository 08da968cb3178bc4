"""The last step of retraining: compares the new model with the champion, and replaces it if the new one is better."""

from __future__ import annotations

from tasks.promotion.task import promote
from tasks.shared.engine.run import Run
from tasks.shared.engine.stage import Stage
from tasks.shared.errors import ArtifactError
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Artifact, Store, find_damage, read_manifest
from tasks.shared.store.champion import MODELS, Champion, read_champion, replace_champion_if
from tasks.splitting.task import split

log = logger("promotion")
BY_HAND = "`corpusflow champion --set` makes it the champion"


def challenge(run: Run, *, cleaned: Artifact, splits: Artifact, model: Artifact, report: Artifact) -> None:
    """Compares the model with the champion and applies the decision; the run's record gets the result in one sentence.

    A model that a person took out of use is not promoted again.
    """
    champion = read_champion(run.store)
    if champion is not None and champion.current.digest == model.digest:
        _relocate(run, champion, model)
        run.record.decision = f"{model.fingerprint} is the champion already"
    elif champion is not None and model.digest in champion.withdrawn:
        run.record.decision = f"{model.fingerprint} was taken out of use by hand and stays so; {BY_HAND}"
    else:
        rival = {} if champion is None else _rival(run.store, champion)
        if rival is None:
            run.record.decision = (
                f"champion kept: the texts it was trained on are gone, so nothing can be compared; {BY_HAND}"
            )
        else:
            decision = run(promote, cleaned=cleaned, splits=splits, model=model, report=report, **rival)
            run.record.decision = _apply_decision(run, champion, model, decision)
    log.info("promotion: %s", run.record.decision)


def _relocate(run: Run, champion: Champion, model: Artifact) -> None:
    """Points to the same model, built again, if the champion's own folder is gone or damaged."""
    before = champion.current.model
    if before != model.fingerprint and find_damage(run.store.place(MODELS, before)) is not None:
        replace_champion_if(run.store, before, model, f"the same model as {before}, built again", run.record.id)


def _rival(store: Store, champion: Champion) -> dict[str, Artifact] | None:
    """The champion and its splits as inputs; empty if it is damaged, None if it is intact but cannot be compared."""
    place = store.place(MODELS, champion.current.model)
    fault = find_damage(place)
    if fault is not None:
        log.warning("promotion: the champion is damaged (%s); the candidate is judged like a first model", fault)
        return {}
    model = read_manifest(place)
    try:
        splits = ancestor(store, model, split)
    except ArtifactError as error:
        log.warning("promotion: %s", error)
        return None
    return {"champion": model, "champion_splits": splits}


def _apply_decision(run: Run, champion: Champion | None, model: Artifact, decision: Artifact) -> str:
    reason = decision.summary["reason"]
    if not decision.summary["promote"]:
        return f"{'no champion yet' if champion is None else 'champion kept'}: {reason}"
    if run.sections["promotion"].model_dump()["when"] == "by_hand":
        return f"{model.fingerprint} would become the champion: {reason}; {BY_HAND}"
    rival = champion.current.model if champion else None
    if replace_champion_if(run.store, rival, model, reason, run.record.id):
        return f"{model.fingerprint} is the new champion: {reason}"
    return f"champion kept: it changed while {model.fingerprint} was compared with {rival or 'none'}; run again"


def ancestor(store: Store, model: Artifact, stage: Stage) -> Artifact:
    """The stage's artifact that a model was made from; raises ArtifactError if it is missing or damaged."""
    place = store.place(stage.folder, str(model.lineage.get(stage.name, {}).get("fingerprint")))
    fault = find_damage(place)
    if fault is not None:
        raise ArtifactError(f"champion {model.fingerprint}: what it was made from is gone or damaged ({fault})")
    return read_manifest(place)
