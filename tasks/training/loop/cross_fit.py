"""Cross-fitting: a network per fold, each trained on the other folds.

So every labelled text gets an out-of-fold prediction, and a new text gets the mean prediction of all networks, which
together have learned from every text. They share the vocabulary and the known pairs, which depend on no label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tasks.shared.statistics.log_probabilities import Scores
from tasks.shared.statistics.metrics import Ints
from tasks.training.input.evidence import NO_EVIDENCE, Evidence, Pairs, learn_evidence, learn_pairs
from tasks.training.input.vocabulary import Ids, Vocabulary
from tasks.training.input.windows import cut, windows_per_text
from tasks.training.loop.checkpoint import Checkpoints
from tasks.training.loop.epoch_metrics import NO_CALLBACK, Callback
from tasks.training.loop.fold_training import train_fold
from tasks.training.loop.recipe import Recipe, TrainingTexts
from tasks.training.models.member import RnnMember


@dataclass(frozen=True)
class EvidenceOptions:
    """The settings of the same names, see settings.py."""

    pseudo_count: float = 0.5
    max_pairs: int = 300_000
    dimensions: int = 64


@dataclass(frozen=True)
class CrossFitted:
    """The member, the out-of-fold log-probabilities [texts, labels], and how the networks were trained."""

    member: RnnMember
    scores: Scores
    history: list[dict[str, Any]]
    gradients: list[dict[str, Any]]


def cross_fit(
    recipe: Recipe,
    windows: int,
    options: EvidenceOptions | None,
    vocabulary: Vocabulary,
    ids: list[Ids],
    labels: Ints,
    label_count: int,
    folds: Ints,
    device: torch.device,
    checkpoints: Callable[[int], Checkpoints | None] = lambda fold: None,
    callback: Callback = NO_CALLBACK,
) -> CrossFitted:
    """Trains all networks on texts, given as token ids; without `options` they read no evidence.

    About `windows` windows are cut altogether; `checkpoints` gives those of a fold.
    """
    pairs, evidence = _learn_evidence(options, vocabulary, ids, labels, label_count, folds)
    per_text = windows_per_text(len(ids), windows)
    texts = TrainingTexts(cut(ids, pairs, recipe.window, per_text), labels, label_count, folds, vocabulary.size)
    scores = np.full((len(ids), label_count), np.nan, np.float32)
    networks, history, gradients = [], [], []
    for fold in np.unique(folds).tolist():
        tables = NO_EVIDENCE if evidence is None else evidence.for_network(fold)
        trained = train_fold(recipe, texts, tables, fold, device, checkpoints(fold), callback)
        networks.append(trained.network)
        scores[trained.positions] = trained.scores
        history += trained.history
        gradients += trained.gradients
    tables = NO_EVIDENCE if evidence is None else evidence.for_new_texts()
    member = RnnMember(vocabulary, pairs, tables, networks, recipe.window, per_text, device)
    return CrossFitted(member, scores, history, gradients)


def _learn_evidence(
    options: EvidenceOptions | None,
    vocabulary: Vocabulary,
    ids: list[Ids],
    labels: Ints,
    label_count: int,
    folds: Ints,
) -> tuple[Pairs | None, Evidence | None]:
    if options is None:
        return None, None
    pairs = learn_pairs(ids, vocabulary.size, options.max_pairs)
    evidence = learn_evidence(ids, pairs, labels, label_count, folds, options.pseudo_count, options.dimensions)
    return pairs, evidence
