"""Fits the document classifier: the codebook of the language model's states, and the head that validation selects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tasks.training.data.windows import Indices, tiles
from tasks.training.head.codebook import fit_codebook
from tasks.training.head.count_store import Concatenated
from tasks.training.head.counts import count_split, read
from tasks.training.head.document_classifier import DocumentArchitecture, DocumentClassifier
from tasks.training.head.features import Counts, Floats
from tasks.training.head.head import HeadConfig, best_temperature, fit_heads, log_softmax
from tasks.training.models.language_model import LanguageModel
from tasks.training.models.validation import Validation, validation_metrics
from tasks.training.runtime.device import deterministic_rng

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.head.progress import HeadProgress
    from tasks.training.settings import TrainingSettings

SAMPLE = 50_000
"""Number of states that the codebook is fitted to, drawn evenly from the training documents."""
CODES_SHARES = (0.1, 0.0, 0.3, 1.0)
"""Candidate weights of the codes, relative to the tokens; the first is the default."""
EXPONENTS = (0.75, 0.5)
"""Candidate powers of the deviation that a count is divided by: lower ones give rare tokens less weight."""
C_FACTORS = (1, 6, 30)
"""Candidate factors of the setting head_C: more documents need less regularization."""
HEADS = 1 + sum(len(options) - 1 for options in (EXPONENTS, C_FACTORS, CODES_SHARES)) + 1
"""Number of fits: one with all defaults, one for each alternative, and the selected one on both splits."""
MIN_STANDARD_ERRORS = 2.0
"""Standard errors by which an alternative must beat the default."""


def fit_document_classifier(
    reader: LanguageModel,
    settings: TrainingSettings,
    training: TokenizedDocuments,
    validation: TokenizedDocuments,
    device: torch.device,
    progress: HeadProgress,
    folder: Path,
) -> tuple[DocumentClassifier, Validation]:
    """Fits codebook and candidate heads to the training split; the validation split selects a head.

    Validation selects the codes' weight: on its own training documents the language model looks better than it is. It
    also selects the scaling of rare tokens, C and the temperature. The selected head is then fitted to both splits; the
    metrics returned are those before that. `folder` holds temporary files.
    """
    with deterministic_rng(device, settings.deterministic):
        codebook = fit_codebook(
            sample_states(reader, training, settings.window, settings.seed, device, progress),
            settings.codebook_size,
            torch.Generator().manual_seed(settings.seed),
        )
        reading = (settings.window, device, progress, folder)
        with (
            count_split(reader, codebook, training, *reading) as seen,
            count_split(reader, codebook, validation, *reading) as held_out,
        ):
            best = select_head(settings, seen, training.labels, held_out, validation.labels, progress)
            both = [Concatenated(*blocks) for blocks in zip(seen, held_out, strict=True)]
            labels = np.concatenate([training.labels, validation.labels])
            how = (len(training.label_names), settings.class_weight_power)
            head = next(fit_heads(both, [best.config], labels, *how)).at(best.temperature)
    architecture = DocumentArchitecture(
        reader.architecture,
        len(training.label_names),
        len(codebook.centres),
        settings.window,
        best.config.shares[1],
        best.config.inverse_regularization,
        best.config.exponent,
    )
    classifier = DocumentClassifier(architecture).to(device)
    classifier.fill(reader, codebook, head)
    return classifier.eval(), validation_metrics(best.log_probabilities, validation.labels, window_accuracy=None)


def select_head(
    settings: TrainingSettings,
    training: Sequence[Counts],
    labels: Indices,
    validation: Sequence[Counts],
    validation_labels: Indices,
    progress: HeadProgress,
) -> Candidate:
    """The best candidate: fitted to the training split's counts and class ids, scored on the validation split's."""
    options: dict[str, Sequence[Any]] = {
        "exponent": EXPONENTS,
        "inverse_regularization": [settings.head_C * factor for factor in C_FACTORS],
        "shares": [(1.0, share) for share in CODES_SHARES],
    }
    fitted = count(1)

    def candidates(configs: Sequence[HeadConfig]) -> Iterator[Candidate]:
        heads = fit_heads(training, configs, labels, int(labels.max()) + 1, settings.class_weight_power)
        for config, head in zip(configs, heads, strict=True):
            progress.fitted(next(fitted), HEADS)
            yield score_head(config, head.logits(validation), validation_labels)

    best = next(candidates([HeadConfig(**{kind: values[0] for kind, values in options.items()})]))
    for kind, values in options.items():
        best = select([best, *candidates([replace(best.config, **{kind: value}) for value in values[1:]])])
    return best


@dataclass(frozen=True)
class Candidate:
    """A head's configuration, and on the validation split: its temperature, log-probabilities and losses [texts]."""

    config: HeadConfig
    temperature: float
    log_probabilities: Floats
    losses: Floats


def score_head(config: HeadConfig, logits: Floats, labels: Indices) -> Candidate:
    """Scores a head by its logits [texts, labels] of texts with these class ids."""
    temperature = best_temperature(logits, labels)
    log_probabilities = log_softmax(logits / temperature)
    return Candidate(config, temperature, log_probabilities, -log_probabilities[np.arange(len(labels)), labels])


def select(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the lowest mean loss if it clearly beats the first one, the default; else the default.

    Clearly: by MIN_STANDARD_ERRORS standard errors of the paired difference, since few texts rank similar candidates by
    chance.
    """
    default, best = candidates[0], min(candidates, key=lambda candidate: candidate.losses.mean())
    lead = default.losses - best.losses
    error = float(lead.std(ddof=1)) / len(lead) ** 0.5 if len(lead) > 1 else np.inf
    return best if float(lead.mean()) > MIN_STANDARD_ERRORS * error else default


def sample_states(
    reader: LanguageModel,
    documents: TokenizedDocuments,
    window: int,
    seed: int,
    device: torch.device,
    progress: HeadProgress,
) -> Tensor:
    """Up to SAMPLE states with their embeddings, [n, features], equally many from each document."""
    rng = np.random.default_rng(seed)
    per_document = -(-SAMPLE // len(documents))
    if per_document * (len(documents) - 1) > SAMPLE:  # else more than the last document would get too few
        per_document = max(1, SAMPLE // len(documents))
    sampled = np.ones(len(documents), dtype=bool)
    if len(documents) > SAMPLE:  # the first ones, sorted by id, may share a label
        sampled[rng.permutation(len(documents))[SAMPLE:]] = False
    vectors = []
    for chunk in progress.reading(documents.chunks()):
        chosen = np.zeros(len(chunk.ids), dtype=bool)
        for document, (begin, end) in enumerate(pairwise(chunk.offsets.tolist()), chunk.first):
            if sampled[document]:
                chosen[begin + rng.permutation(end - begin)[:per_document]] = True
        for positions, batch in read(reader, chunk.ids, tiles(chunk.offsets, window), device):
            vectors.append(batch[torch.from_numpy(chosen[positions]).to(device)])
    return torch.cat(vectors)[:SAMPLE]
