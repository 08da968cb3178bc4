"""The evaluation in Prefect's UI: scores of the model and its baselines, the labels, the confusion matrix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.evaluation.figures import confusion
from tasks.evaluation.predicting.baselines import BASELINES
from tasks.evaluation.results import MOST_LABELS_IN_MATRIX, worst_confusions
from tasks.evaluation.schema import DOUBTFUL, METRICS
from tasks.evaluation.summary import read_confusion
from tasks.shared.plots.drawing import opaque
from tasks.shared.ui.markdown import Markdown, Page, table

DOUBTFUL_SHOWN = 50


def pages(artifact: Path) -> Iterator[Page]:
    """The content of metrics.json as pages."""
    metrics = json.loads((artifact / METRICS).read_text(encoding="utf-8"))
    yield Markdown(
        "evaluation-metrics",
        f"Accuracy {metrics['accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f} on {metrics['documents']:,} documents",
        f"## Test split: {metrics['documents']:,} documents\n\n{_scores(metrics)}\n### Labels\n\n{_labels(metrics)}",
    )
    yield Markdown("evaluation-confusion", "Confusion matrix of the test split", _confusion(metrics["confusion"]))
    yield _doubtful(artifact, metrics["doubtful_labels"])


def _doubtful(artifact: Path, counts: Mapping[str, int]) -> Markdown:
    found = pq.read_table(artifact / DOUBTFUL).slice(0, DOUBTFUL_SHOWN).to_pylist()
    rows = [
        (
            row["doc_id"],
            row["label"],
            f"{row['label_probability']:.3f}",
            row["suggested"],
            f"{row['suggested_probability']:.3f}",
        )
        for row in found
    ]
    sentence = f"{counts['documents']:,} of {counts['labelled']:,} labelled documents may have the wrong label"
    more = f"\nThe first {len(found)}; {DOUBTFUL} in the evaluation's folder has all.\n"
    text = f"## Labels worth a second look\n\n{sentence}.\n\n" + table(
        ("document", "label", ">probability", "suggested", ">probability"), rows
    )
    return Markdown("evaluation-doubtful", sentence, text + (more if counts["documents"] > len(found) else ""))


def _confusion(found: Mapping[str, Any]) -> str:
    names, matrix = found["labels"], read_confusion(found)
    if len(names) > MOST_LABELS_IN_MATRIX:
        rows = [
            (each.label, each.predicted, each.documents, f"{each.share:.0%}")
            for each in worst_confusions(names, matrix)
        ]
        return "### The most frequent confusions\n\n" + table(
            ("label", "predicted", ">documents", ">of the label"), rows
        )
    picture = confusion(names, matrix)
    return f"![{picture.alt}]({opaque(picture.light)})\n\nRows are true labels, columns are predicted labels.\n"


def _scores(metrics: Mapping[str, Any]) -> str:
    classifiers = {"model": metrics} | {BASELINES[name].title: b for name, b in metrics["baselines"].items()}
    share = f"{metrics['intervals']['confidence']:.0%} interval"
    rows = [
        (name, *(cell for key in ("accuracy", "macro_f1") for cell in _score(scores, key)), _lead(scores))
        for name, scores in classifiers.items()
    ]
    return table(("", ">accuracy", f">{share}", ">macro-F1", f">{share}", ">model leads by (accuracy)"), rows)


def _score(scores: Mapping[str, Any], key: str) -> tuple[str, str]:
    low, high = scores[f"{key}_interval"]
    return f"{scores[key]:.3f}", f"{low:.3f} to {high:.3f}"


def _lead(scores: Mapping[str, Any]) -> str:
    if "accuracy_difference" not in scores:
        return ""
    low, high = scores["accuracy_difference_interval"]
    return f"{scores['accuracy_difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def _labels(metrics: Mapping[str, Any]) -> str:
    rows = [
        (label, scores["support"], *(f"{scores[key]:.2f}" for key in ("precision", "recall", "f1")))
        for label, scores in metrics["per_label"].items()
    ]
    return table(("label", ">documents", ">precision", ">recall", ">F1"), rows)
