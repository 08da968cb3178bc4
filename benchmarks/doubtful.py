"""How many flipped labels are found: flips a share of a corpus's labels at random and looks for them.

`python -m benchmarks.doubtful FILE.parquet [--share 0.05] [--seeds 3] [--json]`: FILE has the columns text and label,
and may have split, whose test texts are left out. Out-of-fold predictions come from the linear members alone,
stacked. Precision is the share of flipped labels among the doubtful ones, recall the share of flipped
labels that are among them; both again for the first as many as were flipped. The corpus's own mistakes count as false.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.evaluation.findings.doubtful import find_doubtful
from tasks.linear.cross_fit import cross_fit
from tasks.linear.settings import LinearSettings
from tasks.linear.task import make_options
from tasks.shared.statistics.log_probabilities import Scores
from tasks.splitting.labelled import FOLDS, deal_folds
from tasks.stacking.weights import combine, fit_stack


def measure(texts: list[str], labels: np.ndarray, names: list[str], share: float, seed: int) -> dict[str, Any]:
    """Flips `share` of the labels to another one drawn evenly; returns precision and recall."""
    rng = np.random.default_rng(seed)
    flipped = rng.choice(len(labels), round(share * len(labels)), replace=False)
    given = labels.copy()
    given[flipped] = (labels[flipped] + rng.integers(1, len(names), len(flipped))) % len(names)
    doc_ids = [str(number) for number in range(len(texts))]
    folds = deal_folds(given, doc_ids, FOLDS)
    settings = LinearSettings()
    options = {name: make_options(settings, name, len(texts)) for name in settings.members}
    with TemporaryDirectory() as scratch:
        fitted = cross_fit(
            options, lambda positions: [texts[n] for n in positions], given, len(names), folds, Path(scratch)
        )
        found_by = {name: out_of_fold for name, _, out_of_fold in fitted}
    scores: dict[str, Scores] = {name: found_by[name] for name in settings.members}
    found = find_doubtful(combine(scores, fit_stack(scores, given, list(scores)).weights), given, doc_ids, names)
    right = [int(each.doc_id) in set(flipped.tolist()) for each in found]
    restored = [names[labels[int(each.doc_id)]] == each.suggested for each in found]
    first = right[: len(flipped)]
    return {
        "seed": seed,
        "texts": len(texts),
        "flipped": len(flipped),
        "doubtful": len(found),
        "precision": sum(right) / max(1, len(found)),
        "recall": sum(right) / len(flipped),
        "precision_of_first": sum(first) / max(1, len(first)),
        "recall_of_first": sum(first) / len(flipped),
        "true_label_suggested": sum(a and b for a, b in zip(right, restored, strict=True)) / max(1, sum(right)),
    }


def main() -> None:
    """Prints a line per seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    frame = pq.read_table(options.file).to_pandas()
    frame = frame[frame["text"].str.strip() != ""]
    if "split" in frame:
        frame = frame[frame["split"] != "test"]
    names = sorted(frame["label"].unique())
    number = {name: position for position, name in enumerate(names)}
    labels = frame["label"].map(number).to_numpy(np.int64)
    results = [measure(list(frame["text"]), labels, names, options.share, seed) for seed in range(options.seeds)]
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for result in results:
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in result.items()), flush=True)


if __name__ == "__main__":
    main()
