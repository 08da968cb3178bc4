"""The reader: embeddings and a recurrent stack that learn to tell each token from what stands before and after it.

Labels are few, tokens are many: a recurrent layer that is trained on 400 labels alone memorises the texts, one that
learns which token comes next learns the language they are written in (Peters et al. 2018, arXiv 1802.05365, read
language models of both directions the same way). What the states are then good for is in document_classifier.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import CELLS, inside_mask
from tasks.training.models.window_classifier import Noise
from tasks.vocabulary.tokenizer_file import PAD

if TYPE_CHECKING:
    from tasks.training.settings import TrainingSettings


TOLD = 4_000
"""Tokens that are told apart; those learned after them, which are rarer, count as one. To tell 16,000 takes longer than
to read."""


NOTHING = -100
"""No token's id: what stands at a padded place."""


@dataclass(frozen=True)
class ReaderArchitecture:
    """What it takes to build the reader again; sizes as in the settings."""

    vocabulary_size: int
    cell: str
    embedding_size: int
    hidden_size: int
    layers: int
    bidirectional: bool

    @classmethod
    def of(cls, settings: TrainingSettings, vocabulary_size: int) -> Self:
        """The architecture that the settings describe."""
        return cls(
            vocabulary_size,
            settings.cell,
            settings.embedding_size,
            settings.hidden_size,
            settings.num_layers,
            settings.bidirectional,
        )

    @property
    def told(self) -> int:
        """Tokens that are told apart, the rare ones being one."""
        return min(self.vocabulary_size, TOLD + 1)

    @property
    def state_size(self) -> int:
        """Features that the last recurrent layer puts out."""
        return self.hidden_size * (2 if self.bidirectional else 1)


class Reader(nn.Module):
    """A language model over windows, in both directions unless the architecture says one.

    A stack of layers in both directions would let the token to be told leak into the states beside it, so that two
    layers and more read in one direction.
    """

    def __init__(self, architecture: ReaderArchitecture, noise: Noise | None = None) -> None:
        super().__init__()
        self.architecture, self.noise = architecture, noise or Noise()
        size, hidden = architecture.embedding_size, architecture.hidden_size
        self.embedding = nn.Sequential(
            nn.Embedding(architecture.vocabulary_size, size, padding_idx=PAD), nn.LayerNorm(size)
        )
        self.cells = nn.ModuleList()
        features = size
        for _ in range(architecture.layers):
            self.cells.append(CELLS[architecture.cell](features, hidden, architecture.bidirectional))
            features = architecture.state_size
        self.expect = nn.Linear(architecture.state_size, size)
        self.name = nn.Linear(size, architecture.told)

    def read(self, ids: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embeddings and states [time, batch, features] of windows `ids` [time, batch]; lengths as in cells.py."""
        embedded = self._with_noise(self.embedding(ids))
        states = embedded
        for depth, cell in enumerate(self.cells):
            if depth > 0:
                states = functional.dropout(states, self.noise.dropout, self.training)
            states = cell(states, lengths)
        return embedded, states

    def tell(self, states: Tensor, lengths: Tensor | None, positions: Tensor) -> Tensor:
        """Logits [positions, batch, told] of the tokens at these `positions`, from the states around each.

        The state before it in the forward direction, and the one after it in the backward direction, which is zero
        past the end of a window.
        """
        before, after = torch.split(states, self.architecture.hidden_size, dim=-1) if self._both else (states, None)
        around = _rows(before, positions - 1)
        if after is not None:
            behind = _rows(after, positions + 1)
            if lengths is not None:
                inside = inside_mask(len(states) + 1, lengths, states.device)
                behind = behind * inside[positions + 1].unsqueeze(-1)
            around = torch.cat([around, behind], dim=-1)
        logits: Tensor = self.name(functional.dropout(self.expect(around), self.noise.dropout, self.training))
        return logits

    def told(self, ids: Tensor, lengths: Tensor | None, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summed cross-entropy of the tokens at these positions, how many are right, and how many there are.

        Scalars on the device; padding is not asked for.
        """
        _, states = self.read(ids, lengths)
        logits = self.tell(states, lengths, positions)
        wanted = self.names(ids[positions])
        inside = torch.ones_like(wanted, dtype=torch.bool)
        if lengths is not None:
            inside = inside_mask(len(ids), lengths, ids.device)[positions]
            wanted = wanted.masked_fill(~inside, NOTHING)
        logits, wanted = logits.flatten(0, 1).float(), wanted.flatten()
        losses = functional.cross_entropy(logits, wanted, ignore_index=NOTHING, reduction="sum")
        right = (logits.detach().argmax(-1) == wanted).sum()
        return losses, right, inside.sum().float()  # nothing here waits for the device

    def names(self, ids: Tensor) -> Tensor:
        """What is to be told of tokens: their ids, and one number for all rare ones."""
        return ids.clamp(max=self.architecture.told - 1)

    @property
    def _both(self) -> bool:
        return self.architecture.bidirectional

    def _with_noise(self, embedded: Tensor) -> Tensor:
        """Tokens blank, and the same dimensions off at all steps of a window (Gal & Ghahramani 2016)."""
        if not self.training:
            return embedded
        seen = functional.dropout(torch.ones_like(embedded[..., :1]), self.noise.token_dropout) > 0
        dimensions = functional.dropout(torch.ones_like(embedded[:1]), self.noise.embedding_dropout)
        return embedded * seen * dimensions


def _rows(states: Tensor, positions: Tensor) -> Tensor:
    """states[positions], zeros where a position lies outside."""
    there = (positions >= 0) & (positions < len(states))
    return states[positions.clamp(0, len(states) - 1)] * there[:, None, None]
