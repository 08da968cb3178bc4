"""The stacking stage: weighs the members by their out-of-fold predictions; leaves the model folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.linear.schema import LABELS
from tasks.shared.engine.stage import stage
from tasks.shared.files import write_text
from tasks.shared.progress import logger
from tasks.stacking.schema import FORMAT, MODEL
from tasks.stacking.settings import StackingSettings
from tasks.training.schema import MEMBER as RNN
from tasks.training.skipped import read_skipped

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.stacking.weights import Stack

log = logger("stacking")


@stage("stacking", folder="07_models", libraries=("numpy", "scipy", "pyarrow"))
def stack(settings: StackingSettings, out: Path, *, linear: Path, training: Path) -> dict[str, JsonValue]:
    """Starts with the best member; each other one, the linear ones first, joins if it is clearly of use."""
    from tasks.shared.statistics.log_probabilities import log_loss
    from tasks.shared.statistics.metrics import accuracy, confusion_matrix, macro_f1
    from tasks.stacking.out_of_fold import in_common, read_each
    from tasks.stacking.weights import combine, fit_stack, without_each

    names = json.loads((linear / LABELS).read_text(encoding="utf-8"))
    learned = read_each(linear, training, names)
    predictions = in_common(learned)
    labels = next(iter(predictions.values())).labels
    scores = {name: some.scores for name, some in predictions.items()}
    stacked = fit_stack(scores, labels, list(scores), settings.min_standard_errors)
    together = combine(scores, stacked.weights)

    def judged(values: np.ndarray) -> dict[str, JsonValue]:
        confusion = confusion_matrix(labels, values.argmax(axis=1), len(names))
        return {
            "accuracy": float(accuracy(confusion)),
            "macro_f1": float(macro_f1(confusion)),
            "log_loss": log_loss(values, labels),
        }

    for name in stacked.weights:
        shutil.copytree((training if name == RNN else linear) / name, out / name)
    skipped = read_skipped(training)
    model: dict[str, Any] = {
        "format": FORMAT,
        "label_names": names,
        "weights": dict(stacked.weights),
        "members": {name: judged(some) for name, some in scores.items()},
        "candidates": [asdict(candidate) for candidate in stacked.candidates],
        "not_trained": {} if skipped is None else {RNN: asdict(skipped)},
        "without": without_each(scores, labels, stacked.weights),
        "out_of_fold": {"documents": len(labels), **judged(together)},
    }
    write_text(out / MODEL, json.dumps(model, indent=1, ensure_ascii=False) + "\n")
    _log(stacked)
    labelled = max(len(some.doc_ids) for some in learned.values())
    return {"rows": labelled, "weights": dict(stacked.weights), **judged(together)}


def _log(stacked: Stack) -> None:
    log.info("stacking: weights %s", ", ".join(f"{name} {weight:.2f}" for name, weight in stacked.weights.items()))
    for candidate in stacked.candidates:
        log.info(
            "stacking: %s %s: with it the out-of-fold log-loss changes by %+.4f ± %.4f",
            candidate.member,
            "joins" if candidate.joined else "is left out",
            -candidate.gain,
            candidate.standard_error,
        )
