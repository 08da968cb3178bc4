"""From labelled texts to an evaluated classifier."""

from __future__ import annotations

from prefect import flow

from flows.pipeline.parameters import Config, Overrides
from flows.pipeline.runs import completed_state, explain_failure, open_run, read_metrics, run_name
from flows.steps.drift import watch_drift
from flows.steps.promotion import challenge
from flows.steps.usefulness import train_unless_useless
from flows.steps.vocabulary import champion_vocabulary
from tasks.cleaning.task import clean
from tasks.evaluation.task import evaluate
from tasks.extraction.task import extract
from tasks.linear.task import fit_linear
from tasks.shared.store.records import RunRecord
from tasks.splitting.task import split
from tasks.stacking.task import stack
from tasks.tokenization.task import tokenize
from tasks.vocabulary.task import learn_vocabulary


@flow(name="retrain", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def retrain(config: Config = "pipeline.yaml", overrides: Overrides | None = None) -> RunRecord:
    """Trains and evaluates a classifier on the corpus that `config` names; a better one becomes the champion.

    Each `run(stage, …)` is two Prefect tasks, the stage and its check, in one transaction. A stage is reused if
    nothing that it depends on has changed.

    Args:
        config: The settings file, relative to the project's folder.
        overrides: Settings for this run only, nested like the file: {"training": {"epochs": 3}}.
    """
    with open_run("retrain", config, overrides) as run:
        documents = run(extract)
        cleaned = run(clean, documents=documents)
        watch_drift(run, cleaned=cleaned)
        splits = run(split, cleaned=cleaned)
        vocabulary = run(learn_vocabulary, cleaned=cleaned, splits=splits, **champion_vocabulary(run))
        tokens = run(tokenize, cleaned=cleaned, splits=splits, vocabulary=vocabulary)
        linear = run(fit_linear, cleaned=cleaned, splits=splits)
        inputs = {"cleaned": cleaned, "splits": splits, "tokens": tokens, "vocabulary": vocabulary}
        training = train_unless_useless(run, linear=linear, **inputs)
        model = run(stack, linear=linear, training=training)
        report = run(evaluate, cleaned=cleaned, splits=splits, linear=linear, training=training, model=model)
        run.record.metrics = read_metrics(run.store.locate(report))
        challenge(run, cleaned=cleaned, splits=splits, model=model, report=report)
    return completed_state(run.record)
