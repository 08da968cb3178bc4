"""The fitted RNN member: the networks of all folds, and what turns texts into their input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as arrays_to_bytes
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch.nn import functional

from tasks.shared.errors import ArtifactError
from tasks.shared.files import write_text
from tasks.shared.member import Evidence
from tasks.shared.statistics.log_probabilities import Scores, log_softmax
from tasks.shared.statistics.metrics import Ints
from tasks.training.input.evidence import NO_EVIDENCE, Pairs, Tables
from tasks.training.input.vocabulary import Vocabulary, load_vocabulary
from tasks.training.input.windows import Windows, bounded_batches, collate, cut
from tasks.training.models.explain import gated_amounts, locate
from tasks.training.models.files import CONFIG, EVIDENCE, WEIGHTS
from tasks.training.models.network import Architecture, Dropout, Network
from tasks.training.runtime.device import choose_device


@dataclass(frozen=True)
class RnnMember:
    """The prediction is the mean of the log-probabilities of all networks and windows, normalized."""

    vocabulary: Vocabulary
    pairs: Pairs | None
    """None if the networks read embeddings alone."""
    tables: Tables
    """One table, of all texts that the networks learned from."""
    networks: Sequence[Network]
    window: int
    """Tokens."""
    per_text: int
    """Windows of a text, at most."""
    device: torch.device

    def log_probabilities(self, texts: Sequence[str]) -> Scores:
        """Log-probabilities [texts, labels]."""
        windows = cut(self.vocabulary.encode(texts), self.pairs, self.window, self.per_text)
        return score(self.networks, windows, self.tables, np.zeros(len(texts), np.int64), self.device)

    def explain(self, text: str, label: int, other: int) -> Evidence:
        """See tasks/training/models/explain.py."""
        if self.pairs is None:
            (scores,) = self.log_probabilities([text])
            return Evidence([], float(scores[label]) - float(scores[other]))
        windows = cut(self.vocabulary.encode([text]), self.pairs, self.window, self.per_text)
        of_token, of_pair, log_odds = gated_amounts(self.networks, windows, self.tables, label, other, self.device)
        found = locate(text, of_token, of_pair)
        return Evidence(found, log_odds - sum(occurrence.amount for occurrence in found))

    def save(self, folder: Path) -> None:
        """Writes networks (embeddings as float16), tables, vocabulary and sizes into an existing folder."""
        state = {
            f"{number}.{name}": (value.half() if name == "embedding.weight" else value).cpu().contiguous()
            for number, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        (folder / WEIGHTS).write_bytes(to_bytes(state))  # save_file raises an error of its own for a full disk
        if self.pairs is not None:
            arrays: dict[str, NDArray[Any]] = {
                "tokens": self.tables.tokens,
                "pairs": self.tables.pairs,
                "keys": self.pairs.keys,
            }
            if self.tables.axes is not None:
                arrays["axes"] = self.tables.axes
            (folder / EVIDENCE).write_bytes(arrays_to_bytes(arrays))
        self.vocabulary.save(folder)
        sizes = {
            "architecture": asdict(self.networks[0].architecture),
            "networks": len(self.networks),
            "window": self.window,
            "windows_per_text": self.per_text,
        }
        write_text(folder / CONFIG, json.dumps(sizes, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", max_tokens: int | None = None) -> Self:
        """What `save` has written; of BPE tokens only the first `max_tokens` of a text are read.

        Raises ArtifactError if a file is missing or damaged."""
        target = choose_device(device)
        try:
            sizes = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            architecture = Architecture(**sizes["architecture"])
            arrays = load_arrays(folder / EVIDENCE) if architecture.dimensions else {}
            axes = arrays.get("axes")
            state = load_file(folder / WEIGHTS)
            networks = []
            for number in range(sizes["networks"]):
                network = Network(architecture, Dropout(), None if axes is None else torch.from_numpy(axes))
                network.load_state_dict({name: state[f"{number}.{name}"].float() for name in network.state_dict()})
                networks.append(network.to(target).eval())
            tables = Tables(arrays["tokens"], arrays["pairs"], axes) if arrays else NO_EVIDENCE
            pairs = Pairs(arrays["keys"], architecture.tokens) if arrays else None
            window, per_text = int(sizes["window"]), int(sizes["windows_per_text"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ArtifactError(f"{folder}: not an RNN member ({error!r}); train again") from error
        return cls(load_vocabulary(folder, max_tokens), pairs, tables, networks, window, per_text, target)


def score(networks: Sequence[Network], windows: Windows, tables: Tables, table: Ints, device: torch.device) -> Scores:
    """Log-probabilities [texts, labels] of texts from their windows; `table` [texts] is the evidence table of each.

    The normalized geometric mean over windows and networks: each answers the same question, so a long text is no more
    certain than a short one. Every text needs at least one window.
    """
    total = np.zeros((len(table), networks[0].architecture.labels))
    lengths = windows.lengths
    training = [network.training for network in networks]
    for network in networks:
        network.eval()
    with torch.inference_mode():
        for positions in bounded_batches(lengths):
            texts = windows.text[positions]
            batch = collate(windows, positions, tables, table[texts]).to(device)
            for network in networks:
                np.add.at(total, texts, functional.log_softmax(network(batch).double().cpu(), 1).numpy())
    for network, mode in zip(networks, training, strict=True):
        network.train(mode)
    answers = np.bincount(windows.text, minlength=len(table)) * len(networks)
    return log_softmax(total / np.maximum(answers, 1)[:, None])
