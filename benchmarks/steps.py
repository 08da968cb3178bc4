"""A training step on random tokens, as the training loop makes it: gathered on the CPU, copied, learned from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.training.data.windows import cut, gather
from tasks.training.models.language_model import Reader, ReaderArchitecture
from tasks.training.models.window_classifier import Architecture, Noise, WindowClassifier
from tasks.training.runtime.device import to_device
from tasks.training.runtime.precision import computing_in

LABELS = 7


def make(architecture: Architecture | ReaderArchitecture, noise: Noise | None = None) -> WindowClassifier | Reader:
    """The model of objective labels or language, whose architecture it is."""
    kind = Reader if isinstance(architecture, ReaderArchitecture) else WindowClassifier
    return kind(architecture, noise)  # type: ignore[arg-type]


class TrainingStep:
    """Forward, backward, clipping and AdamW of a batch of equally long windows; nothing is fetched from the device."""

    def __init__(
        self,
        architecture: Architecture | ReaderArchitecture,
        window: int,
        batch: int,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        self.device, self.precision, self.tokens = device, precision, window * batch
        self.model = make(architecture, Noise(0.3, 0.3, 0.5)).to(device)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=device.type != "mps")
        self.ids = rng.integers(2, architecture.vocabulary_size, self.tokens).astype(np.uint16)
        self.windows = cut(np.arange(0, self.tokens + 1, window), window, window)
        self.labels = torch.from_numpy(rng.integers(0, LABELS, batch))

    def run(self) -> Tensor:
        """One step; its loss, on the device."""
        ids, lengths = gather(self.ids, self.windows, np.arange(len(self.windows)), self.device)
        labels = to_device(self.labels, self.device)
        with computing_in(self.precision, self.device):
            if isinstance(self.model, Reader):  # as in tasks/training/objectives/language.py
                positions = torch.randperm(len(ids), device=ids.device)[: -(-len(ids) // 5)].sort().values
                losses, _, count = self.model.told(ids, lengths, positions)
                loss = losses / count
            else:
                loss = functional.cross_entropy(self.model(ids, lengths), labels, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()
