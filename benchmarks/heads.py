"""The document head on the counts of tokens alone, without an RNN, by vocabulary size.

    python -m benchmarks.heads [--seeds 100 101 102] [--sizes 1000 2000 4000 8000] [--C 5] [--json]

Five stratified folds of Brown per seed, vocabulary and head fitted to the other four; mean over the seeds of accuracy,
macro-F1 and log-loss over all 500 texts, at the best temperature for all of a seed's predictions. The seeds
from 100 on were used to select hyperparameters (docs/experiments.md): use others for unbiased figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from tasks.extraction import brown
from tasks.shared.statistics.metrics import Ints
from tasks.training.head.features import Floats
from tasks.training.head.head import best_temperature, fit_head, log_softmax
from tasks.vocabulary.bpe import learn_merges
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import Vocabulary

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--C", type=float, nargs="+", default=[5.0])
    parser.add_argument("--corpus", type=Path, help="brown.zip, or its folder, if NLTK does not find it")
    parser.add_argument("--json", action="store_true", help="one JSON list")
    arguments = parser.parse_args()
    shared = Path(__file__).parents[1] / "../shared/nltk_data"
    corpus = arguments.corpus or brown.find(brown.search_path(Path("data/nltk_data"), shared))
    if corpus is None:
        parser.error("the Brown Corpus was not found; set NLTK_DATA, or give --corpus")
    documents = list(brown.documents(corpus))
    texts = [document.text for document in documents]
    labels = np.unique([document.label for document in documents], return_inverse=True)[1]
    rows = []
    for size in arguments.sizes:
        counted = [count(texts, labels, size, seed) for seed in arguments.seeds]
        for C in arguments.C:  # noqa: N806 (what scikit-learn calls it)
            metrics = np.mean([score(folds, labels, C) for folds in counted], axis=0)
            names = ("vocabulary", "C", "accuracy", "macro_f1", "log_loss")
            rows.append(dict(zip(names, (size, C, *(round(metric, 4) for metric in metrics)), strict=True)))
            if not arguments.json:
                print(" ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


def count(texts: Sequence[str], labels: Ints, size: int, seed: int) -> list[tuple[Floats, Ints, Ints]]:
    """For each fold: token counts [texts, size] of all texts, and the indices of its training and test texts."""
    folds = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        encoder = Encoder(Vocabulary(tuple(learn_merges((texts[i] for i in train), size))))
        counts = [np.bincount(ids, minlength=size) for ids in encoder.encode(texts)]
        folds.append((np.array(counts, np.float64), train, test))
    return folds


def score(folds: Sequence[tuple[Floats, Ints, Ints]], labels: Ints, inverse_regularization: float) -> tuple[float, ...]:
    """Accuracy, macro-F1 and log-loss over all texts."""
    classes = int(labels.max()) + 1
    logits = np.empty((len(labels), classes))
    for counts, train, test in folds:
        head = fit_head([counts[train]], (1,), labels[train], classes, inverse_regularization, class_weight_power=1.0)
        logits[test] = head.logits([counts[test]])
    predicted = logits.argmax(axis=1)
    log_probabilities = log_softmax(logits / best_temperature(logits, labels))
    accuracy = float((predicted == labels).mean())
    macro_f1 = float(f1_score(labels, predicted, average="macro"))
    return accuracy, macro_f1, -float(log_probabilities[np.arange(len(labels)), labels].mean())


if __name__ == "__main__":
    main()
