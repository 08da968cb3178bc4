"""Learning to classify what was read: codes of the reader's states, and a head that the validation part chooses."""

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
from tasks.training.head.codebook import learn_codebook
from tasks.training.head.count_store import Joined
from tasks.training.head.counts import count_part, read
from tasks.training.head.document_classifier import DocumentArchitecture, DocumentClassifier
from tasks.training.head.features import Counts, Floats
from tasks.training.head.head import Choice, best_temperature, learn_heads, log_softmax
from tasks.training.models.language_model import Reader
from tasks.training.models.validation import Validation, score
from tasks.training.runtime.device import repeatable

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.head.progress import Watch
    from tasks.training.settings import TrainingSettings

SAMPLE = 50_000
"""States that the codebook is learned from, drawn evenly from the training texts."""
CODES_SHARES = (0.1, 0.0, 0.3, 1.0)
"""How much the codes of states may count, the tokens counting 1."""
EXPONENTS = (0.75, 0.5)
"""The power of its deviation that a count may be divided by: with less, rare tokens count less."""
STRENGTH_FACTORS = (1, 6, 30)
"""What the strength of the settings may be multiplied with: with more texts there is more to trust."""
HEADS = 1 + sum(len(options) - 1 for options in (EXPONENTS, STRENGTH_FACTORS, CODES_SHARES)) + 1
"""That are learned: of the first of each kind, of each other one, and the chosen one with all texts."""
CLEAR = 2.0
"""Standard errors by which a choice must be ahead of the first of its kind."""


def learn_documents(
    reader: Reader,
    settings: TrainingSettings,
    training: TokenizedDocuments,
    validation: TokenizedDocuments,
    device: torch.device,
    watch: Watch,
    folder: Path,
) -> tuple[DocumentClassifier, Validation]:
    """Learns codebook and head from the training part, and has the validation part choose between heads.

    It says how much the codes count beside the tokens, for a reader knows its own training texts too well for them to
    say it; how rare tokens are scaled and how strong the head is; and at what temperature its answers are best. The
    head that was chosen then learns from both parts; the figures are those that it had before.
    `watch` is told how far it is; in `folder` lie the texts' counts until it returns.
    """
    with repeatable(device, settings.deterministic):
        codebook = learn_codebook(
            sample_states(reader, training, settings.window, settings.seed, device, watch),
            settings.codebook_size,
            torch.Generator().manual_seed(settings.seed),
        )
        reading = (settings.window, device, watch, folder)
        with (
            count_part(reader, codebook, training, *reading) as seen,
            count_part(reader, codebook, validation, *reading) as held_out,
        ):
            best = choose(settings, seen, training.labels, held_out, validation.labels, watch)
            both = [Joined(*blocks) for blocks in zip(seen, held_out, strict=True)]
            labels = np.concatenate([training.labels, validation.labels])
            how = (len(training.label_names), settings.class_weight_power)
            head = next(learn_heads(both, [best.choice], labels, *how)).at(best.temperature)
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
    classifier.fill(reader, codebook, head)
    return classifier.eval(), score(best.log_probabilities, validation.labels, window_accuracy=None)


def choose(
    settings: TrainingSettings,
    training: Sequence[Counts],
    labels: Indices,
    validation: Sequence[Counts],
    validation_labels: Indices,
    watch: Watch,
) -> Tried:
    """The best head that learns from the training part's counts and class ids, as the validation part's say."""

    options: dict[str, Sequence[Any]] = {
        "exponent": EXPONENTS,
        "strength": [settings.head_C * factor for factor in STRENGTH_FACTORS],
        "shares": [(1.0, share) for share in CODES_SHARES],
    }
    done = count(1)

    def try_out(choices: Sequence[Choice]) -> Iterator[Tried]:
        heads = learn_heads(training, choices, labels, int(labels.max()) + 1, settings.class_weight_power)
        for choice, head in zip(choices, heads, strict=True):
            watch.learned(next(done), HEADS)
            yield judge(choice, head.logits(validation), validation_labels)

    best = next(try_out([Choice(**{kind: values[0] for kind, values in options.items()})]))
    for kind, values in options.items():
        best = clearly_best([best, *try_out([replace(best.choice, **{kind: value}) for value in values[1:]])])
    return best


@dataclass(frozen=True)
class Tried:
    """A choice, its head's best temperature, and that head's answers [texts, labels] and losses [texts].

    All of them on the validation part.
    """

    choice: Choice
    temperature: float
    log_probabilities: Floats
    losses: Floats


def judge(choice: Choice, logits: Floats, labels: Indices) -> Tried:
    """A head by its logits [texts, labels] for texts with these class ids."""
    temperature = best_temperature(logits, labels)
    answers = log_softmax(logits / temperature)
    return Tried(choice, temperature, answers, -answers[np.arange(len(labels)), labels])


def clearly_best(tried: Sequence[Tried]) -> Tried:
    """The one with the lowest mean loss if it is clearly ahead of the first, else the first.

    Clearly: by CLEAR standard errors of the difference, paired by text. Fifty texts tell close choices apart by chance,
    and one tells nothing.
    """
    first, best = tried[0], min(tried, key=lambda one: one.losses.mean())
    lead = first.losses - best.losses
    error = float(lead.std(ddof=1)) / len(lead) ** 0.5 if len(lead) > 1 else np.inf
    return best if float(lead.mean()) > CLEAR * error else first


def sample_states(
    reader: Reader, documents: TokenizedDocuments, window: int, seed: int, device: torch.device, watch: Watch
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
    for chunk in watch.reading(documents.chunks()):
        chosen = np.zeros(len(chunk.ids), dtype=bool)
        for document, (begin, end) in enumerate(pairwise(chunk.offsets.tolist()), chunk.first):
            if asked[document]:
                chosen[begin + rng.permutation(end - begin)[:each]] = True
        for places, vectors in read(reader, chunk.ids, tiles(chunk.offsets, window), device):
            drawn.append(vectors[torch.from_numpy(chosen[places]).to(device)])
    return torch.cat(drawn)[:SAMPLE]
