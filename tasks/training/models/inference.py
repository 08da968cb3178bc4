"""Log-probabilities of windows, in batches of bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.training.data.windows import Windows, batches, gather
from tasks.training.models.window_classifier import WindowClassifier

TOKENS_AT_ONCE = 32_768
"""Tokens in a batch at prediction: bounds the memory whatever the window."""


def window_log_probabilities(
    model: WindowClassifier, ids: NDArray[Any], windows: Windows, device: torch.device
) -> NDArray[np.float64]:
    """Log-probabilities [windows, labels] of windows of the flat `ids`, in the order of `windows`."""
    answers = np.empty((len(windows), model.architecture.labels))
    at_once = max(1, TOKENS_AT_ONCE // max(1, int(windows.lengths.max(initial=1))))
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for batch in batches(windows, at_once):
            logits = model(*gather(ids, windows, batch, device))
            answers[batch] = torch.log_softmax(logits.cpu().double(), dim=-1).numpy()
    model.train(was_training)
    return answers
