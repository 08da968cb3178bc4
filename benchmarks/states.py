"""What the reader's states add to the tokens that a text consists of: the heads of a finished cross-validation, anew.

    corpusflow crossvalidate --folds 5 --repeats 3 --seed 1
    python -m benchmarks.states data/crossvalidation/RUN.json [--json]

or of a single run, on its test part:

    python -m benchmarks.states data/07_reports/latest

For each fold the head is learned again, at the strength that was chosen there, with the codes counting 0, 0.1, 0.3 and
1 beside the tokens, and as much as was chosen: as in training from the training part for the temperature, which the
validation part says, then from both. A control takes codes of the embeddings
alone in their place, which know a token but not its surroundings. Accuracy, macro-F1 and log-loss over all texts, mean
over the repeats; the difference in log-loss to the tokens alone is paired by text, ± its standard error.
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

from tasks.shared.statistics.metrics import Ints
from tasks.shared.store.artifacts import read_manifest
from tasks.tokenization.store import TokenizedDocuments, open_tokens
from tasks.training.classifier import load_classifier
from tasks.training.head.codebook import Codebook, learn_codebook
from tasks.training.head.counts import count_all
from tasks.training.head.document_classifier import DocumentClassifier
from tasks.training.head.features import Floats
from tasks.training.head.fit import CODES_SHARES
from tasks.training.head.head import Choice, DocumentHead, best_temperature, learn_heads, log_softmax
from tasks.training.models.validation import macro_f1


@dataclass(frozen=True)
class Answered:
    """The log-probabilities [texts, labels] that a head gave for the test part of a fold of that repeat."""

    repeat: int
    test: TokenizedDocuments
    log_probabilities: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "result", type=Path, help="what crossvalidate wrote below data/crossvalidation, or a report's folder"
    )
    parser.add_argument("--json", action="store_true", help="one JSON list")
    arguments = parser.parse_args()
    result = arguments.result.resolve()
    folds = [{"repeat": 0, "report": result}] if result.is_dir() else json.loads(result.read_text())["folds"]
    answers: dict[str, list[Answered]] = {}
    for number, fold in enumerate(folds, 1):
        for name, test, log_probabilities in heads(Path(fold["report"])):
            answers.setdefault(name, []).append(Answered(fold["repeat"], test, log_probabilities))
        if not arguments.json:
            print(f"{number} of {len(folds)} folds", flush=True)
    rows = [row(name, found, answers["tokens alone"]) for name, found in answers.items()]
    if arguments.json:
        print(json.dumps(rows))
        return
    for found in rows:
        print(" | ".join(f"{key} {value}" for key, value in found.items()))


def heads(report: Path) -> Iterator[tuple[str, TokenizedDocuments, Floats]]:
    """Of one fold: each head's name, the test part, and log-probabilities [texts, labels] of its texts."""
    lineage, data = read_manifest(report).lineage, report.parents[1]
    model = data / "06_models" / lineage["training"]["fingerprint"]
    tokens = data / "05_tokens" / lineage["tokenization"]["fingerprint"]
    classifier = load_classifier(model, "cpu").model
    if not isinstance(classifier, DocumentClassifier):
        raise SystemExit(f"{model}: was not trained with objective: language, so it has no states to weigh")
    parts = [open_tokens(tokens, name) for name in ("train", "validation", "test")]
    counts = [count(classifier, part) for part in parts]
    chosen = classifier.architecture
    for kind in ("states", "embeddings"):
        for share in sorted(CODES_SHARES):
            if share == 0 and kind == "embeddings":
                continue
            answers = learn(
                lineage["training"]["settings"],
                parts,
                counts,
                kind,
                Choice((1, share), chosen.strength, chosen.exponent),
            )
            yield f"codes of {kind} × {share:g}" if share else "tokens alone", parts[2], answers
            if kind == "states" and share == chosen.codes_share:
                yield "codes of states, as chosen", parts[2], answers


def count(classifier: DocumentClassifier, part: TokenizedDocuments) -> dict[str, Floats]:
    """Counts of tokens, of codes of states and embeddings, and of codes of embeddings alone, [texts, …] each."""
    names = ("centres", "mean", "scale")
    codebook = Codebook(*(classifier.get_buffer(f"codebook_{name}") for name in names))
    window, cpu = classifier.architecture.window, torch.device("cpu")
    chunks = [count_all(classifier.reader, codebook, chunk.ids, chunk.offsets, window, cpu) for chunk in part.chunks()]
    tokens, codes = (np.concatenate(block) for block in zip(*chunks, strict=True))
    with torch.inference_mode():  # an embedding is that of its token wherever it stands: clusters of tokens
        embeddings = classifier.reader.embedding(torch.arange(classifier.architecture.vocabulary_size))
        kinds = learn_codebook(embeddings, codes.shape[1], torch.Generator().manual_seed(0)).codes(embeddings)
    merged = np.zeros((len(tokens), codes.shape[1]))
    np.add.at(merged.T, kinds.numpy(), tokens.T)
    return {"tokens": tokens, "states": codes, "embeddings": merged}


def learn(
    settings: Mapping[str, Any],
    parts: list[TokenizedDocuments],
    counts: list[dict[str, Floats]],
    kind: str,
    choice: Choice,
) -> Floats:
    """Log-probabilities [texts, labels] that a head gives for the test part."""
    training, validation, test = ([one["tokens"], one[kind]] for one in counts)
    label_count, power = len(parts[0].label_names), settings["class_weight_power"]

    def learned(blocks: list[Floats], labels: Ints) -> DocumentHead:
        return next(learn_heads(blocks, [choice], labels, label_count, power))

    temperature = best_temperature(learned(training, parts[0].labels).logits(validation), parts[1].labels)
    both = [np.concatenate(blocks) for blocks in zip(training, validation, strict=True)]
    head = learned(both, np.concatenate([part.labels for part in parts[:2]])).at(temperature)
    return log_softmax(head.logits(test))


def row(name: str, found: list[Answered], tokens: list[Answered]) -> dict[str, Any]:
    """The figures of a head over all folds of all repeats."""
    accuracies, scores, losses = zip(*(figures(*some) for some in by_repeat(found)), strict=True)
    alone = [figures(*some)[2] for some in by_repeat(tokens)]
    differences = np.mean(losses, axis=0) - np.mean(alone, axis=0)
    return {
        "head": name,
        "accuracy": round(float(np.mean(accuracies)), 4),
        "macro_f1": round(float(np.mean(scores)), 4),
        "log_loss": round(float(np.mean(losses)), 4),
        "log_loss_difference": round(float(differences.mean()), 4),
        "standard_error": round(float(differences.std(ddof=1) / np.sqrt(len(differences))), 4),
    }


def by_repeat(found: list[Answered]) -> Iterator[tuple[Ints, Floats]]:
    """Class ids and log-probabilities of all of a repeat's texts, in the order of their ids."""
    for repeat in sorted({one.repeat for one in found}):
        mine = [one for one in found if one.repeat == repeat]
        order = np.argsort([doc_id for one in mine for doc_id in one.test.doc_ids])
        labels = np.concatenate([one.test.labels for one in mine])
        yield labels[order], np.concatenate([one.log_probabilities for one in mine])[order]


def figures(labels: Ints, answers: Floats) -> tuple[float, float, Floats]:
    """Accuracy, macro-F1, and the log-loss of each text."""
    predicted = answers.argmax(axis=1)
    losses: Floats = -answers[np.arange(len(labels)), labels]
    return float((predicted == labels).mean()), macro_f1(labels, predicted), losses


if __name__ == "__main__":
    main()
