"""The linear stage: cross-fits the linear members of the stack, and then fits them on all labelled texts."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.linear.schema import LABELS, out_of_fold_file
from tasks.linear.settings import LinearSettings
from tasks.shared.engine.stage import stage
from tasks.shared.files import write_text
from tasks.shared.progress import logger, report_progress
from tasks.shared.runner.calls import IN_PROCESS, worth_workers

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tasks.linear.fit import Options
    from tasks.linear.schema import Kind
    from tasks.shared.statistics.metrics import Ints
    from tasks.splitting.labelled import LabelledTexts

COUNTED = (3_000, 16_000)
"""Terms of counts, at least and at most, if `counts_max_terms` is null; between them `COUNTED_PER_TEXT` per text."""
COUNTED_PER_TEXT = 4


@stage("linear", folder="06_linear", libraries=("numpy", "scipy", "scikit-learn", "safetensors", "pyarrow"))
def fit_linear(
    settings: LinearSettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    scratch: Path,
    executor: Executor = IN_PROCESS,
) -> dict[str, JsonValue]:
    """Fits each member on the training and validation texts, and predicts each text by a model of the other folds."""
    from tasks.linear.cross_fit import cross_fit  # scipy: a reused artifact does not load it
    from tasks.shared.out_of_fold import write_out_of_fold
    from tasks.shared.statistics.log_probabilities import log_loss
    from tasks.splitting.labelled import read_labels, read_texts

    known, sizes = read_labels(cleaned, splits)
    write_text(out / LABELS, json.dumps(list(known.label_names), ensure_ascii=False, indent=1) + "\n")
    chosen = {name: _choose(settings, name, known, sizes) for name in settings.members}
    options = {name: make_options(settings, name, len(chosen[name])) for name in settings.members}
    executor = worth_workers(executor, int(sizes.sum()))
    read, count = partial(read_texts, cleaned, splits), len(known.label_names)
    summaries: dict[str, dict[str, JsonValue]] = {}
    report_progress(0)
    for name, member, scores in cross_fit(options, read, known.labels, count, known.folds, scratch, executor, chosen):
        (out / name).mkdir()
        member.save(out / name)
        own = chosen[name]
        labels, folds = known.labels[own], known.folds[own]
        doc_ids = [known.doc_ids[position] for position in own.tolist()]
        write_out_of_fold(out / out_of_fold_file(name), doc_ids, labels, folds, known.label_names, scores)
        accuracy = float((scores.argmax(axis=1) == labels).mean())
        summaries[name] = {
            f"{name}_terms": len(member.terms),
            f"{name}_C": member.choice.C,
            f"{name}_balanced": member.choice.balanced,
            f"{name}_out_of_fold_accuracy": round(accuracy, 4),
            f"{name}_out_of_fold_log_loss": round(log_loss(scores, labels), 4),
        }
        if len(own) < len(known):
            summaries[name][f"{name}_texts"] = len(own)
        logger("linear").info(
            "linear: %s: %s terms, C %g, out-of-fold accuracy %.3f",
            name,
            f"{len(member.terms):,}",
            member.choice.C,
            accuracy,
        )
    return {"rows": len(known), **{key: value for name in settings.members for key, value in summaries[name].items()}}


def _choose(settings: LinearSettings, name: Kind, known: LabelledTexts, sizes: Ints) -> Ints:
    """The positions of the texts that a member learns from; logs it if they are not all."""
    from tasks.linear.sample import most_megabytes, sample
    from tasks.splitting.labelled import log_sample

    chosen = sample(settings, name, known, sizes)
    log_sample(name, len(chosen), sizes, f"linear.{name}_max_megabytes", most_megabytes(settings, name))
    return chosen


def make_options(settings: LinearSettings, name: Kind, texts: int) -> Options:
    """The settings of a member that is fitted to `texts` texts, as pure code takes them."""
    from tasks.linear.fit import Options

    max_terms: int | None = getattr(settings, f"{name}_max_terms")
    if max_terms is None:
        max_terms = min(max(COUNTED[0], COUNTED_PER_TEXT * texts), COUNTED[1])
    return Options(
        name,
        getattr(settings, f"{name}_min_df"),
        max_terms,
        settings.counts_strength if name == "counts" else settings.C,
    )
