"""Log-probabilities of windows, in batches of bounded memory, and of documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from tasks.shared.statistics.metrics import Floats
from tasks.training.data.windows import Indices, Windows, batches, collate
from tasks.training.models.window_classifier import WindowClassifier

TOKENS_AT_ONCE = 32_768
"""Tokens of a batch: bounds memory for any window size."""


def window_log_probabilities(
    model: WindowClassifier, ids: NDArray[Any], windows: Windows, device: torch.device
) -> Floats:
    """Log-probabilities [windows, labels] of windows of the flat `ids`, in the order of `windows`."""
    log_probabilities = np.empty((len(windows), model.architecture.labels))
    batch_size = max(1, TOKENS_AT_ONCE // max(1, int(windows.lengths.max(initial=1))))
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for positions in batches(windows, batch_size):
            logits = model(*collate(ids, windows, positions, device))
            log_probabilities[positions] = torch.log_softmax(logits.cpu().double(), dim=-1).numpy()
    model.train(was_training)
    return log_probabilities


def pool_documents(window_log_probabilities: Floats, documents: Indices, count: int) -> Floats:
    """Log-probabilities of `count` documents, [count, labels], from their windows' [windows, labels].

    The normalised geometric mean of the windows' probabilities: each window answers the same question, so a long
    document is no more certain than a short one. Every document needs at least one window.
    """
    sums = np.zeros((count, window_log_probabilities.shape[1]))
    np.add.at(sums, documents, window_log_probabilities)
    pooled: Floats = log_softmax(sums / np.bincount(documents, minlength=count)[:, None], axis=1)
    return pooled
