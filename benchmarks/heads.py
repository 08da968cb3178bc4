"""What the document head makes of a text's tokens alone, without an RNN, by size of the vocabulary.

    python -m benchmarks.heads [--seeds 100 101 102] [--sizes 1000 2000 4000 8000] [--strengths 5] [--json]

Five stratified folds of Brown a seed, vocabulary and head from the other four; mean over the seeds of accuracy,
macro-F1 and log-loss over all 500 texts, the log-loss at the one temperature that suits all of a seed's answers best.
The seeds from 100 on are those that choices were made on (docs/experiments.md): look at others for honest figures.
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
from tasks.training.head.head import best_temperature, learn_head, log_softmax
from tasks.vocabulary.bpe import learn_merges
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import Vocabulary

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--strengths", type=float, nargs="+", default=[5.0])
    parser.add_argument("--corpus", type=Path, help="brown.zip, or its folder, where NLTK does not find it")
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
        for strength in arguments.strengths:
            figures = np.mean([judge(folds, labels, strength) for folds in counted], axis=0)
            names = ("vocabulary", "strength", "accuracy", "macro_f1", "log_loss")
            rows.append(dict(zip(names, (size, strength, *(round(figure, 4) for figure in figures)), strict=True)))
            if not arguments.json:
                print(" ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


def count(texts: Sequence[str], labels: Ints, size: int, seed: int) -> list[tuple[Floats, Ints, Ints]]:
    """Of each fold: counts of all texts' tokens [texts, size], and positions of its training and test texts."""
    found = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        encoder = Encoder(Vocabulary(tuple(learn_merges((texts[i] for i in train), size))))
        counts = [np.bincount(ids, minlength=size) for ids in encoder.encode(texts)]
        found.append((np.array(counts, np.float64), train, test))
    return found


def judge(folds: Sequence[tuple[Floats, Ints, Ints]], labels: Ints, strength: float) -> tuple[float, ...]:
    """Accuracy, macro-F1 and log-loss over all texts."""
    classes = int(labels.max()) + 1
    logits = np.empty((len(labels), classes))
    for counts, train, test in folds:
        head = learn_head([counts[train]], (1,), labels[train], classes, strength, class_weight_power=1.0)
        logits[test] = head.logits([counts[test]])
    predicted = logits.argmax(axis=1)
    answers = log_softmax(logits / best_temperature(logits, labels))
    accuracy = float((predicted == labels).mean())
    macro_f1 = float(f1_score(labels, predicted, average="macro"))
    return accuracy, macro_f1, -float(answers[np.arange(len(labels)), labels].mean())


if __name__ == "__main__":
    main()
