"""A training step on random tokens, as in the training loop: collated on the CPU, copied, forward, backward, AdamW."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.training.data.windows import collate, sliding_windows
from tasks.training.models.language_model import LanguageModel, LanguageModelArchitecture
from tasks.training.models.recurrent import Noise, RecurrentArchitecture
from tasks.training.models.window_classifier import WindowArchitecture, WindowClassifier
from tasks.training.runtime.device import to_device
from tasks.training.runtime.precision import autocast

LABELS = 7


def build_model(architecture: RecurrentArchitecture, noise: Noise | None = None) -> WindowClassifier | LanguageModel:
    """The model of this architecture, as objective labels or language trains it."""
    if isinstance(architecture, WindowArchitecture):
        return WindowClassifier(architecture, noise)
    assert isinstance(architecture, LanguageModelArchitecture)
    return LanguageModel(architecture, noise)


class TrainingStep:
    """Forward, backward, clipping and AdamW of a batch of windows of equal length; fetches nothing from the device."""

    def __init__(
        self,
        architecture: RecurrentArchitecture,
        window: int,
        batch: int,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        self.device, self.precision, self.tokens = device, precision, window * batch
        self.model = build_model(architecture, Noise(0.3, 0.3, 0.5)).to(device)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=device.type != "mps")
        self.ids = rng.integers(2, architecture.vocabulary_size, self.tokens).astype(np.uint16)
        self.windows = sliding_windows(np.arange(0, self.tokens + 1, window), window, window)
        self.labels = torch.from_numpy(rng.integers(0, LABELS, batch))

    def run(self) -> Tensor:
        """The loss of one step, on the device."""
        ids, lengths = collate(self.ids, self.windows, np.arange(len(self.windows)), self.device)
        labels = to_device(self.labels, self.device)
        with autocast(self.precision, self.device):
            if isinstance(self.model, LanguageModel):  # as in tasks/training/objectives/language.py
                positions = torch.randperm(len(ids), device=ids.device)[: -(-len(ids) // 5)].sort().values
                losses, _, count = self.model.loss(ids, lengths, positions)
                loss = losses / count
            else:
                loss = functional.cross_entropy(self.model(ids, lengths), labels, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()
