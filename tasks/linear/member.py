"""A fitted linear member: TF-IDF of words or of characters, or root frequencies of words, and the weights of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes
from scipy.sparse import csr_array

from tasks.linear import ngrams
from tasks.linear.counting import count_known
from tasks.linear.explain import divide
from tasks.linear.schema import MEMBER, TERMS, WEIGHTS, Kind
from tasks.shared.errors import ArtifactError
from tasks.shared.files import write_text
from tasks.shared.member import Evidence
from tasks.shared.statistics.log_probabilities import Scores, log_softmax

COUNTERS = {
    "words": ngrams.count_words,
    "characters": ngrams.count_characters,
    "counts": ngrams.count_words_and_signs,
}


def weigh(kind: Kind, counts: csr_array, idf: NDArray[np.float32]) -> csr_array:
    """The features of a member, from counts [texts, terms]; like these."""
    return ngrams.root_frequencies(counts) if kind == "counts" else ngrams.tf_idf(counts, idf)


@dataclass(frozen=True)
class Choice:
    """What out-of-fold predictions select."""

    C: float
    """Inverse regularization."""
    balanced: bool
    """Whether labels weigh equally, whatever their number of texts."""
    scaled: bool = False
    """Whether terms are scaled by label evidence."""
    svm_share: float = 1.0
    """Share of the support vector machine in each weight; the rest is naive Bayes: evidence times their mean weight."""


@dataclass(frozen=True)
class LinearMember:
    """Margins are features [texts, terms] @ `weights` [terms, labels] + `bias` [labels]."""

    kind: Kind
    terms: Sequence[str]
    idf: NDArray[np.float32]
    """[terms]; not used by counts"""
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    scale: float
    """Margins times this are the logits."""
    choice: Choice

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}

    def features(self, texts: Sequence[str]) -> csr_array:
        """TF-IDF or root frequencies of the texts, [texts, terms]."""
        counts, _ = COUNTERS[self.kind](texts, self._columns)
        return weigh(self.kind, counts, self.idf)

    def margins(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The margin of each label, [texts, labels]."""
        blocks = (weigh(self.kind, counts, self.idf) for counts in count_known(self.kind, texts, self._columns))
        return np.concatenate([np.asarray(block @ self.weights + self.bias, np.float32) for block in blocks])

    def log_probabilities(self, texts: Sequence[str]) -> Scores:
        """Log-probabilities [texts, labels]."""
        return log_softmax(self.margins(texts) * self.scale)

    def explain(self, text: str, label: int, other: int) -> Evidence:
        """What each word, pair or run of characters adds to the log-odds: scale · weights · feature, exactly.

        The rest is the difference of the biases, scaled.
        """
        counts, _ = COUNTERS[self.kind]([text], self._columns)
        features = weigh(self.kind, counts, self.idf)
        weights, bias = (some.astype(np.float64) for some in (self.weights[features.indices], self.bias))
        amounts = features.data * (weights[:, label] - weights[:, other]) * self.scale
        rest = float(bias[label] - bias[other]) * self.scale
        return Evidence(divide(text, self.kind, self._columns, counts, amounts), rest)

    def save(self, folder: Path) -> None:
        """Writes weights (float16), terms and choice into an existing folder."""
        arrays: dict[str, NDArray[Any]] = {
            "weights": self.weights.astype(np.float16),
            "bias": self.bias,
            "idf": self.idf,
        }
        (folder / WEIGHTS).write_bytes(to_bytes(arrays))  # save_file raises an error of its own for a full disk
        pq.write_table(pa.table({"term": pa.array(self.terms, pa.string())}), folder / TERMS, compression="zstd")
        values = {"kind": self.kind, "scale": self.scale, **asdict(self.choice)}
        write_text(folder / MEMBER, json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` has written. Raises ArtifactError if a file is missing or damaged."""
        try:
            values = json.loads((folder / MEMBER).read_text(encoding="utf-8"))
            arrays = load_file(folder / WEIGHTS)
            with pq.ParquetFile(folder / TERMS) as file:  # read_table would import pandas
                terms = file.read()["term"].to_pylist()
            choice = Choice(values["C"], values["balanced"], values["scaled"], values["svm_share"])
            weights = arrays["weights"].astype(np.float32)
            member = cls(values["kind"], terms, arrays["idf"], weights, arrays["bias"], values["scale"], choice)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, pa.ArrowException) as error:
            raise ArtifactError(f"{folder}: not a linear member ({error!r}); train again") from error
        if weights.shape != (len(terms), len(member.bias)) or len(member.idf) != len(terms):
            raise ArtifactError(f"{folder}: terms and weights do not match; train again")
        return member
