"""The language model: embeddings and recurrent layers that learn to predict each token from its surroundings.

Labels are few, tokens are many: a recurrent layer trained only on 400 labels memorises the texts, whereas one that
predicts tokens learns their language (as the language models of both directions in Peters et al. 2018, arXiv
1802.05365). document_classifier.py classifies documents by its states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import token_mask
from tasks.training.models.recurrent import (
    Noise,
    RecurrentArchitecture,
    RecurrentStack,
    drop_dimensions,
    recurrent_fields,
)
from tasks.vocabulary.tokenizer_file import PAD

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings

MAX_TARGETS = 4_000
"""Output classes. Rarer tokens share one more class: a softmax over 16,000 costs more than the recurrent layers."""

IGNORE_INDEX = -100
"""Target of padded positions; not a token id."""


class LanguageModelArchitecture(RecurrentArchitecture):
    """All that is needed to build the model again."""

    @classmethod
    def of(cls, settings: TrainingSettings, vocabulary_size: int) -> Self:
        """The architecture that the settings describe."""
        return cls(**recurrent_fields(settings, vocabulary_size))

    @property
    def output_size(self) -> int:
        """Output classes, the one for rare tokens included."""
        return min(self.vocabulary_size, MAX_TARGETS + 1)


class LanguageModel(nn.Module):
    """A language model over windows, bidirectional unless the architecture says otherwise.

    Several bidirectional layers would leak the target token into the states next to it, so two or more layers must be
    unidirectional.
    """

    def __init__(self, architecture: LanguageModelArchitecture, noise: Noise | None = None) -> None:
        super().__init__()
        self.architecture, self.noise = architecture, noise or Noise()
        size = architecture.embedding_size
        self.embedding = nn.Sequential(
            nn.Embedding(architecture.vocabulary_size, size, padding_idx=PAD), nn.LayerNorm(size)
        )
        self.cells = RecurrentStack(architecture, self.noise.dropout)
        self.projection = nn.Linear(architecture.state_size, size)
        self.output = nn.Linear(size, architecture.output_size)

    def encode(self, ids: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embeddings and states [time, batch, features] of windows `ids` [time, batch]; lengths as in cells.py."""
        embedded: Tensor = self.embedding(ids)
        if self.training:
            kept = functional.dropout(torch.ones_like(embedded[..., :1]), self.noise.token_dropout) > 0
            embedded = drop_dimensions(embedded * kept, self.noise.embedding_dropout, self.training)
        return embedded, self.cells(embedded, lengths)

    def logits(self, states: Tensor, lengths: Tensor | None, positions: Tensor) -> Tensor:
        """Logits [positions, batch, output_size] of the tokens at these `positions`, from the states around each.

        These are the forward state before the token and the backward state after it, which is zero past the end of a
        window.
        """
        if self.architecture.bidirectional:
            forward, backward = torch.split(states, self.architecture.hidden_size, dim=-1)
            following = _rows(backward, positions + 1)
            if lengths is not None:
                mask = token_mask(len(states) + 1, lengths, states.device)
                following = following * mask[positions + 1].unsqueeze(-1)
            context = torch.cat([_rows(forward, positions - 1), following], dim=-1)
        else:
            context = _rows(states, positions - 1)
        logits: Tensor = self.output(functional.dropout(self.projection(context), self.noise.dropout, self.training))
        return logits

    def loss(self, ids: Tensor, lengths: Tensor | None, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summed cross-entropy of the tokens at these positions, number of correct predictions, number of tokens.

        Scalars on the device; padding does not count.
        """
        _, states = self.encode(ids, lengths)
        logits = self.logits(states, lengths, positions)
        targets = self.targets(ids[positions])
        mask = torch.ones_like(targets, dtype=torch.bool)
        if lengths is not None:
            mask = token_mask(len(ids), lengths, ids.device)[positions]
            targets = targets.masked_fill(~mask, IGNORE_INDEX)
        logits, targets = logits.flatten(0, 1).float(), targets.flatten()
        loss = functional.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="sum")
        correct = (logits.detach().argmax(-1) == targets).sum()
        return loss, correct, mask.sum().float()  # nothing here waits for the device

    def targets(self, ids: Tensor) -> Tensor:
        """Target classes of tokens: their ids, and one class for all rare ones."""
        return ids.clamp(max=self.architecture.output_size - 1)


def _rows(states: Tensor, positions: Tensor) -> Tensor:
    """states[positions], zeros for positions out of range."""
    valid = (positions >= 0) & (positions < len(states))
    return states[positions.clamp(0, len(states) - 1)] * valid[:, None, None]
