"""Learning to classify what was read: codes of the reader's states, and a head that the validation part chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tasks.training.codebook import learn_codebook
from tasks.training.counts import count_part, read
from tasks.training.device import repeatable
from tasks.training.document_classifier import DocumentArchitecture, DocumentClassifier
from tasks.training.document_head import Choice, DocumentHead, best_temperature, learn_heads, log_softmax
from tasks.training.features import Floats
from tasks.training.metrics import Validation, score
from tasks.training.reader import Reader
from tasks.training.windows import Indices, tiles

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.counts import Follow
    from tasks.training.settings import TrainingSettings

SAMPLE = 50_000
"""States that the codebook is learned from, drawn evenly from the training texts."""
CODES_SHARES = (0.1, 0.0, 0.3, 1.0)
"""How much the codes of states may count, the tokens counting 1."""
EXPONENTS = (0.75, 0.5)
"""The power of its deviation that a count may be divided by: with less, rare tokens count less."""
STRENGTH_FACTORS = (1, 6, 30)
"""What the strength of the settings may be multiplied with: with more texts there is more to trust."""
CLEAR = 2.0
"""Standard errors by which a choice must be ahead of the first of its kind."""


def learn_documents(
    reader: Reader,
    settings: TrainingSettings,
    training: TokenizedDocuments,
    validation: TokenizedDocuments,
    device: torch.device,
    follow: Follow,
    folder: Path,
) -> tuple[DocumentClassifier, Validation]:
    """Learns codebook and head from the training part, and has the validation part choose between heads.

    It says how much the codes count beside the tokens, for a reader knows its own training texts too well for them to
    say it; how rare tokens are scaled and how strong the head is; and at what temperature its answers are best.
    `follow` passes on what is read, and may say how far it is; in `folder` lie the texts' counts until it returns.
    """
    with repeatable(device, settings.deterministic):
        codebook = learn_codebook(
            sample_states(reader, training, settings.window, settings.seed, device, follow),
            settings.codes,
            torch.Generator().manual_seed(settings.seed),
        )
        how = (settings.window, device, follow, folder)
        with (
            count_part(reader, codebook, training, *how) as seen,
            count_part(reader, codebook, validation, *how) as held_out,
        ):

            def try_out(choices: Sequence[Choice]) -> list[Tried]:
                power = settings.class_weight_power
                heads = learn_heads(seen, choices, training.labels, len(training.label_names), power)
                logits = [head.logits(held_out) for head in heads]
                return [judge(*one, validation.labels) for one in zip(choices, heads, logits, strict=True)]

            choices: dict[str, Sequence[Any]] = {
                "exponent": EXPONENTS,
                "strength": [settings.head_strength * factor for factor in STRENGTH_FACTORS],
                "shares": [(1.0, share) for share in CODES_SHARES],
            }
            best = try_out([Choice(**{kind: values[0] for kind, values in choices.items()})])[0]
            for kind, values in choices.items():
                best = clearly_best([best, *try_out([replace(best.choice, **{kind: value}) for value in values[1:]])])
    architecture = DocumentArchitecture(
        reader.architecture,
        len(training.label_names),
        len(codebook.centres),
        settings.window,
        best.choice.shares[1],
        best.choice.strength,
        best.choice.exponent,
    )
    classifier = DocumentClassifier(architecture).to(device)
    classifier.fill(reader, codebook, best.head)
    return classifier.eval(), score(best.log_probabilities, validation.labels, window_accuracy=None)


@dataclass(frozen=True)
class Tried:
    """A head at its best temperature, with its answers [texts, labels] and losses [texts] on the validation part."""

    choice: Choice
    head: DocumentHead
    log_probabilities: Floats
    losses: Floats


def judge(choice: Choice, head: DocumentHead, logits: Floats, labels: Indices) -> Tried:
    """A head by its logits [texts, labels] for texts with these class ids."""
    temperature = best_temperature(logits, labels)
    answers = log_softmax(logits / temperature)
    return Tried(choice, head.at(temperature), answers, -answers[np.arange(len(labels)), labels])


def clearly_best(tried: Sequence[Tried]) -> Tried:
    """The one with the lowest mean loss if it is clearly ahead of the first, else the first.

    Clearly: by CLEAR standard errors of the difference, paired by text. Fifty texts tell close choices apart by chance.
    """
    first, best = tried[0], min(tried, key=lambda one: one.losses.mean())
    lead = first.losses - best.losses
    return best if float(lead.mean()) > CLEAR * float(lead.std()) / len(lead) ** 0.5 else first


def sample_states(
    reader: Reader, documents: TokenizedDocuments, window: int, seed: int, device: torch.device, follow: Follow
) -> Tensor:
    """Up to SAMPLE vectors of tokens in their places, [n, features], as many from each text as from the others."""
    rng = np.random.default_rng(seed)
    each = -(-SAMPLE // len(documents))
    if each * (len(documents) - 1) > SAMPLE:  # more than the last text would go short
        each = max(1, SAMPLE // len(documents))
    asked = np.ones(len(documents), dtype=bool)
    if len(documents) > SAMPLE:  # the first ones, sorted by id, may be of one label
        asked[rng.permutation(len(documents))[SAMPLE:]] = False
    drawn = []
    for run in follow(documents.runs()):
        chosen = np.zeros(len(run.ids), dtype=bool)
        for document, (begin, end) in enumerate(pairwise(run.offsets.tolist()), run.first):
            if asked[document]:
                chosen[begin + rng.permutation(end - begin)[:each]] = True
        for places, vectors in read(reader, run.ids, tiles(run.offsets, window), device):
            drawn.append(vectors[torch.from_numpy(chosen[places]).to(device)])
    return torch.cat(drawn)[:SAMPLE]
