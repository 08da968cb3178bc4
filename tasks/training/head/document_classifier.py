"""The document classifier: a language model, a codebook of its states, and a linear head on counts.

The language model turns each token into a state that depends on its surroundings. A text of any length becomes two
blocks of counts: of its tokens, and of the codes of their states. The head classifies the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tasks.training.data.windows import Indices
from tasks.training.head.codebook import Codebook
from tasks.training.head.counts import count_row_blocks
from tasks.training.head.features import Floats, Scaling
from tasks.training.head.head import DocumentHead, log_softmax
from tasks.training.models.language_model import LanguageModel, LanguageModelArchitecture

SCALING = "prior", "mean", "weight"


@dataclass(frozen=True)
class DocumentArchitecture:
    """All that is needed to build the classifier again; `window` in tokens."""

    reader: LanguageModelArchitecture
    labels: int
    codes: int
    window: int
    codes_share: float
    """Weight of the codes, relative to the tokens."""
    inverse_regularization: float
    """C of the head's logistic regression."""
    exponent: float
    """Counts are divided by their deviation to this power."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises TypeError or KeyError for other values than those of `as_json`."""
        return cls(**{**values, "reader": LanguageModelArchitecture(**values["reader"])})

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, [PAD] included."""
        return self.reader.vocabulary_size


class DocumentClassifier(nn.Module):
    """All that prediction needs; its state is the model's weights."""

    def __init__(self, architecture: DocumentArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.reader = LanguageModel(architecture.reader)
        labels, codes = architecture.labels, architecture.codes
        features = architecture.reader.embedding_size + architecture.reader.state_size
        counts = architecture.vocabulary_size + codes
        sizes = {
            "codebook_centres": (codes, features),
            "codebook_mean": (features,),
            "codebook_scale": (features,),
            "head_prior": (counts,),
            "head_mean": (counts,),
            "head_weight": (counts,),
            "head_weights": (labels, counts),
            "head_bias": (labels,),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size))

    def log_probabilities(self, ids: NDArray[Any], offsets: Indices) -> Floats:
        """Log-probabilities [texts, labels]; text i is ids[offsets[i]:offsets[i + 1]], with at least one token."""
        device = self.get_buffer("codebook_mean").device
        codebook = Codebook(*(self.get_buffer(f"codebook_{name}") for name in ("centres", "mean", "scale")))
        values = [self._numpy(f"head_{name}") for name in SCALING]
        ends = (0, self.architecture.vocabulary_size, len(values[0]))
        scalings = [Scaling(*(value[begin:end] for value in values)) for begin, end in pairwise(ends)]
        head = DocumentHead(scalings, self._numpy("head_weights"), self._numpy("head_bias"))
        counts = count_row_blocks(self.reader, codebook, ids, offsets, self.architecture.window, device)
        return log_softmax(np.concatenate([head.logits(blocks) for blocks in counts]))

    def fill(self, reader: LanguageModel, codebook: Codebook, head: DocumentHead) -> None:
        """Copies the fitted parts into this module."""
        self.reader.load_state_dict(reader.state_dict())
        fitted: dict[str, Any] = {
            "codebook_centres": codebook.centres,
            "codebook_mean": codebook.mean,
            "codebook_scale": codebook.scale,
            "head_weights": head.weights,
            "head_bias": head.bias,
        }
        for name in SCALING:
            fitted[f"head_{name}"] = np.concatenate([getattr(scaling, name) for scaling in head.scalings])
        for name, value in fitted.items():
            self.get_buffer(name).copy_(torch.as_tensor(value))

    def _numpy(self, name: str) -> Floats:
        values: Floats = self.get_buffer(name).cpu().double().numpy()
        return values
