"""The evaluation stage: measures the model on the test split; writes metrics, predictions and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from tasks.evaluation.inputs import (
    count_labels,
    label_notices,
    read_gradient_profiles,
    read_lineage,
    read_max_grad_norm,
)
from tasks.evaluation.results import Evaluation, MemberScores, Predictions, Resampling, ValidationScores
from tasks.evaluation.schema import (
    BASELINE_PREDICTIONS,
    DOUBTFUL,
    METRICS,
    MISTAKES,
    PREDICTIONS,
    REPORT,
    WORDS,
    baselines_table,
    doubtful_table,
    mistakes_table,
    predictions_table,
    words_table,
)
from tasks.evaluation.scores import evaluate as measure
from tasks.evaluation.scores import judge_members
from tasks.evaluation.settings import EvaluationSettings
from tasks.evaluation.summary import metrics
from tasks.extraction.schema import DATASET
from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError, CorpusError
from tasks.shared.files import write_text
from tasks.shared.parts.part import parts_of
from tasks.shared.progress import logger, report_progress
from tasks.shared.runner.calls import IN_PROCESS, worth_workers
from tasks.shared.store.known_files import KnownFiles
from tasks.shared.ui.style import PAGE_STYLE
from tasks.splitting.documents import read_label_names, read_splits
from tasks.training.history import read_history
from tasks.training.schema import MEMBER as RNN
from tasks.training.skipped import read_skipped

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.evaluation.findings.findings import Findings
    from tasks.evaluation.predicting.calls import Texts
    from tasks.evaluation.report import Report
    from tasks.shared.statistics.log_probabilities import Scores
    from tasks.shared.statistics.metrics import Ints


def template_digest(settings: EvaluationSettings, known: KnownFiles | None = None) -> dict[str, str]:
    """Template and style shape the report, but are no modules that the code digest covers."""
    files = (Path(__file__).with_name("template.html"), PAGE_STYLE)
    return {file.name: (known or KnownFiles()).digest(file) for file in files}


@stage(
    "evaluation",
    folder="08_reports",
    libraries=("jinja2", "matplotlib", "numpy", "pyarrow", "scikit-learn", "scipy", "torch"),
    external_digests=template_digest,
)
def evaluate(
    settings: EvaluationSettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    linear: Path,
    training: Path,
    model: Path,
    scratch: Path,
    executor: Executor = IN_PROCESS,
) -> dict[str, JsonValue]:
    """Compares the model with its members, and with baselines that learn from the same texts as the linear members.

    If these learned from samples, from the largest.
    """
    from tasks.evaluation.findings.find import Folders, Shown, find
    from tasks.evaluation.predicting.calls import Texts  # scikit-learn: a reused report does not load it
    from tasks.evaluation.report import render  # matplotlib
    from tasks.stacking.out_of_fold import in_common, read_each
    from tasks.stacking.stacked import read_model
    from tasks.stacking.weights import combine

    names = tuple(read_label_names(splits))
    test = [document for document in read_splits(splits) if document.split == "test"]
    if not test:
        raise CorpusError(f"{splits}: the test split has no documents, so nothing can be measured; add documents")
    stacked = read_model(model)
    if tuple(stacked["label_names"]) != names:
        raise ArtifactError(f"{model}: trained on other labels than the splits have; train again")
    learned = read_each(linear, training, names)
    out_of_fold = in_common(learned)
    known = max((some for name, some in learned.items() if name != RNN), key=lambda some: len(some.doc_ids))
    number = {name: position for position, name in enumerate(names)}
    doc_ids, labels = [document.doc_id for document in test], np.array([number[d.label] for d in test], np.int64)
    places = {name: (training if name == RNN else linear) / name for name in stacked["members"]}
    texts = Texts(known.doc_ids, known.labels, doc_ids)
    scores, baselines = _predict(settings, places, texts, cleaned, scratch, executor)
    probabilities = np.exp(combine(scores, stacked["weights"]).astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predictions = Predictions(doc_ids, labels, probabilities)
    evaluation = measure(
        predictions,
        baselines,
        known.labels,
        names,
        Resampling(settings.bootstrap_samples, settings.confidence, settings.seed),
        settings.calibration_bins,
    )
    members = judge_members(scores, stacked, labels)
    shown = Shown(settings.mistakes, settings.excerpt_characters, settings.doubtful_labels)
    folders = Folders(cleaned, linear, model)
    weights, device = stacked["weights"], settings.device
    findings = find(folders, out_of_fold, weights, doc_ids, labels, probabilities, names, shown, device)
    validation = ValidationScores(**{key: stacked["out_of_fold"][key] for key in ("documents", "accuracy", "macro_f1")})
    _write(out, metrics(evaluation, validation, members, findings), predictions, baselines, names, findings)
    report = _report(settings, evaluation, members, validation, findings, splits, training, model)
    notices = label_notices(cleaned, names)
    write_text(out / REPORT, render(replace(report, notices=notices)))
    return _summary(evaluation, findings)


def _write(
    out: Path,
    values: Mapping[str, Any],
    predictions: Predictions,
    baselines: Mapping[str, Ints],
    names: tuple[str, ...],
    findings: Findings,
) -> None:
    """Writes the metrics, and a table for each kind of finding."""
    write_text(out / METRICS, json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    pq.write_table(predictions_table(predictions, names), out / PREDICTIONS)
    pq.write_table(baselines_table(predictions.doc_ids, baselines, names), out / BASELINE_PREDICTIONS)
    pq.write_table(doubtful_table(findings.doubtful), out / DOUBTFUL)
    pq.write_table(mistakes_table(findings.mistakes), out / MISTAKES)
    pq.write_table(words_table(findings.words), out / WORDS)


def _predict(
    settings: EvaluationSettings,
    members: Mapping[str, Path],
    texts: Texts,
    cleaned: Path,
    scratch: Path,
    executor: Executor,
) -> tuple[dict[str, Scores], dict[str, Ints]]:
    """Log-probabilities of every member, whether or not it joined, and predictions of the baselines."""
    from tasks.evaluation.predicting.calls import predict  # scikit-learn

    report_progress(0)
    bytes_of_text = sum(part.bytes for part in parts_of(cleaned / DATASET))
    executor = worth_workers(executor, bytes_of_text)
    return predict(members, settings.baselines, texts, cleaned, settings.device, scratch, executor)


def _report(
    settings: EvaluationSettings,
    evaluation: Evaluation,
    members: Mapping[str, MemberScores],
    on_validation: ValidationScores,
    findings: Findings,
    splits: Path,
    training: Path,
    model: Path,
) -> Report:
    from tasks.evaluation.predicting.baselines import BASELINES
    from tasks.evaluation.report import Report, stages

    skipped = read_skipped(training)
    lineage = {**read_lineage(model), "evaluation": {"settings": settings.cache_values()}}
    return Report(
        evaluation=evaluation,
        titles={name: BASELINES[name].title for name in evaluation.baselines},
        members=members,
        counts=count_labels(splits, evaluation.label_names),
        history=read_history(training),
        validation=on_validation,
        max_grad_norm=read_max_grad_norm(training),
        profiles=read_gradient_profiles(training),
        findings=findings,
        doubtful_labels=settings.doubtful_labels,
        not_trained="" if skipped is None else skipped.sentence(),
        stages=stages(lineage),
    )


def _summary(evaluation: Evaluation, findings: Findings) -> dict[str, JsonValue]:
    """Logs the scores; returns those that summarize the artifact."""
    scores = evaluation.scores
    baselines: dict[str, JsonValue] = {name: c.scores.accuracy.value for name, c in evaluation.baselines.items()}
    logger("evaluation").info(
        "evaluation: accuracy %.3f (%.3f to %.3f), macro-F1 %.3f on %d test documents; baselines: %s",
        scores.accuracy.value,
        scores.accuracy.low,
        scores.accuracy.high,
        scores.macro_f1.value,
        scores.documents,
        ", ".join(f"{name} {value:.3f}" for name, value in baselines.items()),
    )
    return {
        "rows": scores.documents,
        "accuracy": scores.accuracy.value,
        "macro_f1": scores.macro_f1.value,
        "baselines": baselines,
        "doubtful_labels": len(findings.doubtful),
    }
