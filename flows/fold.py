"""One fold of a cross-validation: the stages of a retraining, with the fold as the test split."""

from __future__ import annotations

from prefect import flow

from flows.pipeline.runs import open_run, read_metrics
from flows.steps.fold_spec import FoldResult, FoldSpec
from tasks.evaluation.task import evaluate
from tasks.linear.task import fit_linear
from tasks.splitting.task import split
from tasks.stacking.task import stack
from tasks.tokenization.task import tokenize
from tasks.training.task import train
from tasks.vocabulary.task import learn_vocabulary


@flow(name="fold", flow_run_name="repeat {spec.repeat}, fold {spec.fold}", persist_result=False)
def run_fold(spec: FoldSpec) -> FoldResult:
    """Trains and evaluates on one fold; the `latest` links do not change."""
    cleaned = spec.cleaned
    with open_run("fold", spec.config, spec.settings(), latest=False) as run:
        splits = run(split, cleaned=cleaned)
        vocabulary = run(learn_vocabulary, cleaned=cleaned, splits=splits)
        tokens = run(tokenize, cleaned=cleaned, splits=splits, vocabulary=vocabulary)
        linear = run(fit_linear, cleaned=cleaned, splits=splits)
        training = run(train, cleaned=cleaned, splits=splits, tokens=tokens, vocabulary=vocabulary)
        model = run(stack, linear=linear, training=training)
        status = run.record.stages[-1].status
        report = run(evaluate, cleaned=cleaned, splits=splits, linear=linear, training=training, model=model)
        run.record.metrics = metrics = read_metrics(run.store.locate(report))
    return FoldResult(
        repeat=spec.repeat,
        fold=spec.fold,
        seed=spec.seed,
        run=run.record.id,
        status=status,
        seconds=linear.seconds + training.seconds + model.seconds,
        documents=report.rows,
        accuracy=metrics["accuracy"],
        macro_f1=metrics["macro_f1"],
        report=str(run.store.locate(report)),
    )
