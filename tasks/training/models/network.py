"""The network: for each token its embedding, its label evidence and that of the pair that ends there; then an RNN.

The logits are a sum of two terms: a linear layer, zero at first, on states and inputs pooled over the window; and the
evidence itself, each token's times a gate computed from its state. The second is naive Bayes whose terms the RNN
weighs in context. Its parameters are shared by all labels, so labels with few texts profit from those with many, and it
says which tokens speak for which label (`Network.gated_evidence`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import CELLS, token_mask
from tasks.training.input.windows import Batch
from tasks.training.models.controls import CONTROLS


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build the network again."""

    labels: int
    tokens: int
    """Ids, padding and unknown words included."""
    dimensions: int
    """Of the evidence of a token, and of a pair; 0: the network reads embeddings alone."""
    embedding_size: int
    hidden_size: int
    """Units per direction."""
    layers: int
    bidirectional: bool
    cell: str
    """One of tasks.training.cells.cells.CELLS or of controls.CONTROLS."""


@dataclass(frozen=True)
class Dropout:
    """Probabilities in training."""

    output: float = 0.0
    """Of the pooled features, and between layers."""
    embedding: float = 0.0
    """Of the embedding's dimensions, the same ones at all tokens of a window (Gal & Ghahramani 2016)."""
    tokens: float = 0.0
    """Of whole tokens, evidence included."""
    gates: float = 0.0
    """Of the states, before the gates are computed from them."""


class Network(nn.Module):
    """See the module. `axes` [labels, dimensions]: what the evidence is projected onto, if it is."""

    axes: Tensor | None

    def __init__(self, architecture: Architecture, dropout: Dropout, axes: Tensor | None = None) -> None:
        super().__init__()
        self.architecture, self.dropout = architecture, dropout
        self.register_buffer("axes", axes, persistent=False)
        self.embedding = nn.Embedding(architecture.tokens, architecture.embedding_size, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            self.embedding.weight[0] = 0
        self.norm = nn.LayerNorm(architecture.embedding_size)
        inputs = architecture.embedding_size + 2 * architecture.dimensions
        states = architecture.hidden_size * (2 if architecture.bidirectional else 1)
        self.cells = nn.ModuleList(
            _layer(architecture, states if depth else inputs, states) for depth in range(architecture.layers)
        )
        self.gates = nn.Linear(states, 2) if architecture.dimensions else None
        self.output = nn.Linear(2 * (states + inputs), architecture.labels)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [batch, labels]."""
        inputs = self.inputs(batch)
        states = self.states(inputs, batch.lengths)
        mask = token_mask(len(inputs), batch.lengths, inputs.device).unsqueeze(2)
        pooled = torch.cat([*_pool(states, mask, batch.lengths), *_pool(inputs, mask, batch.lengths)], 1)
        logits: Tensor = self.output(functional.dropout(pooled, self.dropout.output, self.training))
        return logits if self.gates is None else logits + self.contributions(inputs, states, mask).sum(0)

    def inputs(self, batch: Batch) -> Tensor:
        """Embeddings and evidence, [time, batch, features]."""
        embedded = self.norm(self.embedding(batch.tokens))
        if self.training:
            ones = torch.ones(1, *embedded.shape[1:], device=embedded.device)
            embedded = embedded * functional.dropout(ones, self.dropout.embedding)
        inputs = torch.cat([embedded, batch.evidence], 2)
        if self.training:
            inputs = inputs * (torch.rand(*batch.tokens.shape, 1, device=inputs.device) >= self.dropout.tokens)
        return inputs

    def states(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """States of the last layer, [time, batch, features]."""
        for depth, cell in enumerate(self.cells):
            if depth:
                inputs = functional.dropout(inputs, self.dropout.output, self.training)
            inputs = cell(inputs, lengths)
        return inputs

    def contributions(self, inputs: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """What the evidence at each token adds to the logits, [time, batch, labels]: the sum of `gated_evidence`."""
        return self._on_labels(torch.add(*self._gated(inputs, states, mask)))

    def gated_evidence(self, inputs: Tensor, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the evidence of each token, and that of its pair, adds to the logits, [time, batch, labels] each.

        Each is the evidence times its gate, over the root of the window's length; `mask` [time, batch, 1] is true at
        tokens.
        """
        of_token, of_pair = self._gated(inputs, states, mask)
        return self._on_labels(of_token), self._on_labels(of_pair)

    def _gated(self, inputs: Tensor, states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        assert self.gates is not None
        gates = functional.softplus(self.gates(functional.dropout(states, self.dropout.gates, self.training)))
        gates = gates.masked_fill(~mask, 0) * mask.sum(0).clamp(min=1).rsqrt()
        start, size = self.architecture.embedding_size, self.architecture.dimensions
        of_token, of_pair = inputs[..., start : start + size], inputs[..., start + size :]
        return gates[..., :1] * of_token, gates[..., 1:] * of_pair

    def _on_labels(self, evidence: Tensor) -> Tensor:
        return evidence if self.axes is None else evidence @ self.axes.t()


def _layer(architecture: Architecture, features: int, states: int) -> nn.Module:
    control = CONTROLS.get(architecture.cell)
    if control is not None:
        return control(features, states)
    return CELLS[architecture.cell](features, architecture.hidden_size, architecture.bidirectional)


def _pool(values: Tensor, mask: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum of `values` [time, batch, features] where `mask` [time, batch, 1] is true, [batch, features]."""
    mean = values.masked_fill(~mask, 0).sum(0) / lengths.to(values).unsqueeze(1)
    return mean, values.masked_fill(~mask, -torch.inf).amax(0)
