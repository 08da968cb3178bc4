"""The evaluation stage: measures the model on the test split; writes metrics, predictions and the report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from tasks.evaluation.inputs import (
    count_labels,
    label_notices,
    read_gradient_profiles,
    read_lineage,
    read_max_grad_norm,
    read_texts,
    validation_scores,
)
from tasks.evaluation.results import Evaluation, Predictions, Resampling, ValidationScores
from tasks.evaluation.schema import (
    BASELINE_PREDICTIONS,
    METRICS,
    PREDICTIONS,
    REPORT,
    baselines_table,
    predictions_table,
)
from tasks.evaluation.scores import evaluate as measure
from tasks.evaluation.settings import EvaluationSettings
from tasks.evaluation.summary import metrics
from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError, CorpusError
from tasks.shared.files import write_text
from tasks.shared.progress import logger, progress
from tasks.splitting.schema import SPLITS
from tasks.tokenization.store import TokenizedDocuments, open_tokens
from tasks.training.history import read_history

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.evaluation.report import Report
    from tasks.shared.statistics.metrics import Floats, Ints
    from tasks.training.classifier import Classifier


def template_digest(settings: EvaluationSettings) -> dict[str, str]:
    """The template shapes the report, but is not a module that the code digest covers."""
    template = Path(__file__).with_name("template.html")
    return {template.name: hashlib.sha256(template.read_bytes()).hexdigest()}


@stage(
    "evaluation",
    folder="07_reports",
    libraries=("jinja2", "matplotlib", "numpy", "pyarrow", "scikit-learn", "scipy", "torch"),
    external_digests=template_digest,
)
def evaluate(
    settings: EvaluationSettings, out: Path, *, cleaned: Path, splits: Path, tokens: Path, model: Path
) -> dict[str, JsonValue]:
    """Compares the model with baselines, which learn from the texts of the training and validation splits."""
    from tasks.evaluation.report import render  # matplotlib and torch: a reused report does not load them
    from tasks.training.classifier import load_classifier

    train, validation, test = (open_tokens(tokens, split) for split in SPLITS)
    if not len(test):
        raise CorpusError(f"{splits}: the test split has no documents, so nothing can be measured; add documents")
    classifier = load_classifier(model, settings.device)
    _check_compatible(classifier, test, model)
    predictions = _predict(classifier, test)
    texts = read_texts(cleaned, {*train.doc_ids, *validation.doc_ids, *test.doc_ids})
    known_labels = np.concatenate([train.labels, validation.labels])
    known_texts = [texts[doc_id] for documents in (train, validation) for doc_id in documents.doc_ids]
    baselines = _baselines(settings, known_texts, known_labels, [texts[doc_id] for doc_id in test.doc_ids])
    evaluation = measure(
        predictions,
        baselines,
        known_labels,
        test.label_names,
        Resampling(settings.bootstrap_samples, settings.confidence, settings.seed),
        settings.calibration_bins,
    )
    history = read_history(model)
    on_validation = validation_scores(history, len(validation))
    measured = json.dumps(metrics(evaluation, on_validation), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(out / METRICS, measured + "\n")
    pq.write_table(predictions_table(predictions, test.label_names), out / PREDICTIONS)
    pq.write_table(baselines_table(test.doc_ids, baselines, test.label_names), out / BASELINE_PREDICTIONS)
    report = _report(settings, evaluation, history, on_validation, predictions, texts, splits, model)
    notices = label_notices(cleaned, test.label_names)
    write_text(out / REPORT, render(replace(report, notices=notices)))
    return _summary(evaluation)


def _check_compatible(classifier: Classifier, test: TokenizedDocuments, model: Path) -> None:
    if (classifier.label_names, classifier.vocabulary_digest) != (test.label_names, test.vocabulary_digest):
        raise ArtifactError(f"{model}: trained on other labels or another vocabulary than the tokens have; train again")


def _predict(classifier: Classifier, documents: TokenizedDocuments) -> Predictions:
    from scipy.special import softmax

    logs = np.concatenate([classifier.log_probabilities(list(chunk)) for chunk in documents.chunks()])
    return Predictions(documents.doc_ids, documents.labels, softmax(logs, axis=-1))


def _baselines(
    settings: EvaluationSettings, known_texts: Sequence[str], known_labels: Ints, test_texts: Sequence[str]
) -> dict[str, Ints]:
    from tasks.evaluation.baselines import BASELINES  # scikit-learn

    return {
        name: BASELINES[name].predict(known_texts, known_labels, test_texts)
        for name in progress(settings.baselines, "evaluation", "baselines", len(settings.baselines))
    }


def _report(
    settings: EvaluationSettings,
    evaluation: Evaluation,
    history: Mapping[str, Floats],
    on_validation: ValidationScores | None,
    predictions: Predictions,
    texts: Mapping[str, str],
    splits: Path,
    model: Path,
) -> Report:
    from tasks.evaluation.baselines import BASELINES
    from tasks.evaluation.report import Report, find_mistakes, stages

    lineage = {**read_lineage(model), "evaluation": {"settings": settings.cache_values()}}
    return Report(
        evaluation=evaluation,
        titles={name: BASELINES[name].title for name in evaluation.baselines},
        counts=count_labels(splits, evaluation.label_names),
        history=history,
        validation=on_validation,
        max_grad_norm=read_max_grad_norm(model),
        profiles=read_gradient_profiles(model),
        mistakes=find_mistakes(
            predictions, texts, evaluation.label_names, settings.mistakes, settings.excerpt_characters
        ),
        stages=stages(lineage),
    )


def _summary(evaluation: Evaluation) -> dict[str, JsonValue]:
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
    }
