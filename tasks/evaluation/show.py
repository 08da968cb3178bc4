"""What evaluation shows in Prefect's UI: the model beside its baselines, the labels, the confusion matrix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.evaluation.baselines import BASELINES
from tasks.evaluation.figures import confusion
from tasks.evaluation.schema import METRICS
from tasks.shared.plots.drawing import opaque
from tasks.shared.ui.markdown import Markdown, Note, table


def notes(artifact: Path) -> Iterator[Note]:
    """The figures of metrics.json, for people."""
    metrics = json.loads((artifact / METRICS).read_text(encoding="utf-8"))
    yield Markdown(
        "evaluation-metrics",
        f"Accuracy {metrics['accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f} on {metrics['documents']:,} documents",
        f"## Test part: {metrics['documents']:,} documents\n\n{_beside(metrics)}\n### Labels\n\n{_labels(metrics)}",
    )
    picture = confusion(metrics["confusion"]["labels"], np.array(metrics["confusion"]["matrix"]))
    yield Markdown(
        "evaluation-confusion",
        "Confusion matrix of the test part",
        f"![{picture.alt}]({opaque(picture.light)})\n\nRows are true labels, columns predicted ones.\n",
    )


def _beside(metrics: Mapping[str, Any]) -> str:
    scored = {"model": metrics} | {BASELINES[name].title: found for name, found in metrics["baselines"].items()}
    share = f"{metrics['intervals']['confidence']:.0%} interval"
    rows = [
        (name, *(cell for key in ("accuracy", "macro_f1") for cell in _score(found, key)), _lead(found))
        for name, found in scored.items()
    ]
    return table(("", ">accuracy", f">{share}", ">macro-F1", f">{share}", ">model leads by (accuracy)"), rows)


def _score(found: Mapping[str, Any], key: str) -> tuple[str, str]:
    low, high = found[f"{key}_interval"]
    return f"{found[key]:.3f}", f"{low:.3f} to {high:.3f}"


def _lead(found: Mapping[str, Any]) -> str:
    if "accuracy_difference" not in found:
        return ""
    low, high = found["accuracy_difference_interval"]
    return f"{found['accuracy_difference']:+.3f} ({low:+.3f} to {high:+.3f})"


def _labels(metrics: Mapping[str, Any]) -> str:
    rows = [
        (label, found["support"], *(f"{found[key]:.2f}" for key in ("precision", "recall", "f1")))
        for label, found in metrics["per_label"].items()
    ]
    return table(("label", ">documents", ">precision", ">recall", ">F1"), rows)
