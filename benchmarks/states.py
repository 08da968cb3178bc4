"""What the language model's states add to the counts of tokens: fits the heads of a finished cross-validation again.

    corpusflow crossvalidate --folds 5 --repeats 3 --seed 1
    python -m benchmarks.states data/crossvalidation/RUN.json [--json]

or of a single run, on its test split:

    python -m benchmarks.states data/07_reports/latest

For each fold the head is fitted again with the C selected there, for each weight of the codes relative to the tokens
(0, 0.1, 0.3, 1, and the selected one): as in training, first to the training split, to set the temperature on the
validation split, then to both. The control are codes of the embeddings alone, which depend on a token but not on its
surroundings. Accuracy, macro-F1 and log-loss over all texts, mean over the repeats; the difference in log-loss to the
tokens alone is paired by text, ± its standard error.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.shared.statistics.metrics import Ints, accuracy, confusion_matrix, macro_f1
from tasks.shared.store.artifacts import read_manifest
from tasks.tokenization.store import TokenizedDocuments, open_tokens
from tasks.training.classifier import load_classifier
from tasks.training.head.codebook import Codebook, fit_codebook
from tasks.training.head.counts import count_all
from tasks.training.head.document_classifier import DocumentClassifier
from tasks.training.head.features import Floats
from tasks.training.head.fit import CODES_SHARES
from tasks.training.head.head import DocumentHead, HeadConfig, best_temperature, fit_heads, log_softmax


@dataclass(frozen=True)
class Predictions:
    """A head's log-probabilities [texts, labels] on the test split of a fold."""

    repeat: int
    test: TokenizedDocuments
    log_probabilities: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, help="a result in data/crossvalidation, or a report's folder")
    parser.add_argument("--json", action="store_true", help="one JSON list")
    arguments = parser.parse_args()
    result = arguments.result.resolve()
    folds = [{"repeat": 0, "report": result}] if result.is_dir() else json.loads(result.read_text())["folds"]
    predictions: dict[str, list[Predictions]] = {}
    for number, fold in enumerate(folds, 1):
        for name, test, log_probabilities in heads(Path(fold["report"])):
            predictions.setdefault(name, []).append(Predictions(fold["repeat"], test, log_probabilities))
        if not arguments.json:
            print(f"{number} of {len(folds)} folds", flush=True)
    rows = [row(name, folds, predictions["tokens alone"]) for name, folds in predictions.items()]
    if arguments.json:
        print(json.dumps(rows))
        return
    for one in rows:
        print(" | ".join(f"{key} {value}" for key, value in one.items()))


def heads(report: Path) -> Iterator[tuple[str, TokenizedDocuments, Floats]]:
    """For each head of a fold: its name, the test split, and the log-probabilities [texts, labels] of its texts."""
    lineage, data = read_manifest(report).lineage, report.parents[1]
    model = data / "06_models" / lineage["training"]["fingerprint"]
    tokens = data / "05_tokens" / lineage["tokenization"]["fingerprint"]
    classifier = load_classifier(model, "cpu").model
    if not isinstance(classifier, DocumentClassifier):
        raise SystemExit(f"{model}: not trained with objective: language, so it has no codes of states")
    splits = [open_tokens(tokens, name) for name in ("train", "validation", "test")]
    counts = [count(classifier, split) for split in splits]
    selected = classifier.architecture
    for kind in ("states", "embeddings"):
        for share in sorted(CODES_SHARES):
            if share == 0 and kind == "embeddings":
                continue
            log_probabilities = refit(
                lineage["training"]["settings"],
                splits,
                counts,
                kind,
                HeadConfig((1, share), selected.inverse_regularization, selected.exponent),
            )
            yield f"codes of {kind} × {share:g}" if share else "tokens alone", splits[2], log_probabilities
            if kind == "states" and share == selected.codes_share:
                yield "codes of states, as selected", splits[2], log_probabilities


def count(classifier: DocumentClassifier, documents: TokenizedDocuments) -> dict[str, Floats]:
    """Counts [texts, …] of tokens, of codes of states, and of codes of embeddings alone."""
    names = ("centres", "mean", "scale")
    codebook = Codebook(*(classifier.get_buffer(f"codebook_{name}") for name in names))
    window, cpu = classifier.architecture.window, torch.device("cpu")
    chunks = [
        count_all(classifier.reader, codebook, chunk.ids, chunk.offsets, window, cpu) for chunk in documents.chunks()
    ]
    tokens, codes = (np.concatenate(block) for block in zip(*chunks, strict=True))
    with torch.inference_mode():  # depends on the token alone: clusters of tokens
        embeddings = classifier.reader.embedding(torch.arange(classifier.architecture.vocabulary_size))
        codes_of_tokens = fit_codebook(embeddings, codes.shape[1], torch.Generator().manual_seed(0)).codes(embeddings)
    merged = np.zeros((len(tokens), codes.shape[1]))
    np.add.at(merged.T, codes_of_tokens.numpy(), tokens.T)
    return {"tokens": tokens, "states": codes, "embeddings": merged}


def refit(
    settings: Mapping[str, Any],
    splits: list[TokenizedDocuments],
    counts: list[dict[str, Floats]],
    kind: str,
    config: HeadConfig,
) -> Floats:
    """Log-probabilities [texts, labels] of the test split, from a head with this configuration."""
    training, validation, test = ([one["tokens"], one[kind]] for one in counts)
    label_count, power = len(splits[0].label_names), settings["class_weight_power"]

    def fit(blocks: list[Floats], labels: Ints) -> DocumentHead:
        return next(fit_heads(blocks, [config], labels, label_count, power))

    temperature = best_temperature(fit(training, splits[0].labels).logits(validation), splits[1].labels)
    both = [np.concatenate(blocks) for blocks in zip(training, validation, strict=True)]
    head = fit(both, np.concatenate([split.labels for split in splits[:2]])).at(temperature)
    return log_softmax(head.logits(test))


def row(name: str, folds: list[Predictions], tokens: list[Predictions]) -> dict[str, Any]:
    """A head's metrics over all folds of all repeats."""
    accuracies, scores, losses = zip(*(metrics(*repeat) for repeat in by_repeat(folds)), strict=True)
    alone = [metrics(*repeat)[2] for repeat in by_repeat(tokens)]
    differences = np.mean(losses, axis=0) - np.mean(alone, axis=0)
    return {
        "head": name,
        "accuracy": round(float(np.mean(accuracies)), 4),
        "macro_f1": round(float(np.mean(scores)), 4),
        "log_loss": round(float(np.mean(losses)), 4),
        "log_loss_difference": round(float(differences.mean()), 4),
        "standard_error": round(float(differences.std(ddof=1) / np.sqrt(len(differences))), 4),
    }


def by_repeat(folds: list[Predictions]) -> Iterator[tuple[Ints, Floats]]:
    """Class ids and log-probabilities of all texts of a repeat, sorted by document id."""
    for repeat in sorted({one.repeat for one in folds}):
        repeated = [one for one in folds if one.repeat == repeat]
        order = np.argsort([doc_id for one in repeated for doc_id in one.test.doc_ids])
        labels = np.concatenate([one.test.labels for one in repeated])
        yield labels[order], np.concatenate([one.log_probabilities for one in repeated])[order]


def metrics(labels: Ints, log_probabilities: Floats) -> tuple[float, float, Floats]:
    """Accuracy, macro-F1, and the log-loss of each text."""
    confusion = confusion_matrix(labels, log_probabilities.argmax(axis=1), log_probabilities.shape[1])
    losses: Floats = -log_probabilities[np.arange(len(labels)), labels]
    return float(accuracy(confusion)), float(macro_f1(confusion)), losses


if __name__ == "__main__":
    main()
