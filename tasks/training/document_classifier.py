"""The document classifier: a reader, a codebook of its states, and a linear head on what a text was read as.

The reader turns each token into a state that knows its surroundings. A text of any length becomes two blocks of
counts: how often each token stands in it, and how often each code of a state. The head classifies the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.training.codebook import Codebook, learn_codebook
from tasks.training.counts import count_part, count_slices, read
from tasks.training.device import repeatable
from tasks.training.document_head import DocumentHead, Scaling, best_temperature, learn_heads, log_softmax
from tasks.training.metrics import Validation, score
from tasks.training.reader import Reader, ReaderArchitecture
from tasks.training.windows import Indices, tiles

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments
    from tasks.training.counts import Follow
    from tasks.training.settings import TrainingSettings

SAMPLE = 50_000
"""States that the codebook is learned from, drawn evenly from the training texts."""
CODES_SHARES = (0.0, 0.1, 0.3, 1.0)
"""How much the codes of states may count, the tokens counting 1."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DocumentArchitecture:
    """What it takes to build the classifier again; `window` in tokens."""

    reader: ReaderArchitecture
    labels: int
    codes: int
    window: int
    codes_share: float
    """How much the codes count, the tokens counting 1."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises TypeError or KeyError for values that are not an architecture's."""
        return cls(**{**values, "reader": ReaderArchitecture(**values["reader"])})

    @property
    def vocabulary_size(self) -> int:
        """Tokens, with [PAD]."""
        return self.reader.vocabulary_size


class DocumentClassifier(nn.Module):
    """All that predicting needs; its state is the model's weights."""

    def __init__(self, architecture: DocumentArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.reader = Reader(architecture.reader)
        labels, codes = architecture.labels, architecture.codes
        features = architecture.reader.embedding_size + architecture.reader.state_size
        counts = architecture.vocabulary_size + codes
        sizes = {
            "codebook_centres": (codes, features),
            "codebook_mean": (features,),
            "codebook_scale": (features,),
            "head_mean": (counts,),
            "head_inverse_deviation": (counts,),
            "head_weight": (counts,),
            "head_weights": (labels, counts),
            "head_bias": (labels,),
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(size))

    def log_probabilities(self, ids: NDArray[Any], offsets: Indices) -> Floats:
        """Log-probabilities [texts, labels]; text i is ids[offsets[i]:offsets[i + 1]] and has a token at least."""
        device = self.get_buffer("codebook_mean").device
        codebook = Codebook(*(self.get_buffer(f"codebook_{name}") for name in ("centres", "mean", "scale")))
        parts = [self._numpy(f"head_{name}") for name in ("mean", "inverse_deviation", "weight")]
        ends = (0, self.architecture.vocabulary_size, len(parts[0]))
        scalings = [Scaling(*(part[begin:end] for part in parts)) for begin, end in pairwise(ends)]
        head = DocumentHead(scalings, self._numpy("head_weights"), self._numpy("head_bias"))
        counts = count_slices(self.reader, codebook, ids, offsets, self.architecture.window, device)
        return log_softmax(np.concatenate([head.logits(blocks) for blocks in counts]))

    def fill(self, reader: Reader, codebook: Codebook, head: DocumentHead) -> None:
        """Takes over what was learned."""
        self.reader.load_state_dict(reader.state_dict())
        learned: dict[str, Any] = {
            "codebook_centres": codebook.centres,
            "codebook_mean": codebook.mean,
            "codebook_scale": codebook.scale,
            "head_weights": head.weights,
            "head_bias": head.bias,
        }
        for name in ("mean", "inverse_deviation", "weight"):
            learned[f"head_{name}"] = np.concatenate([getattr(scaling, name) for scaling in head.scalings])
        for name, value in learned.items():
            self.get_buffer(name).copy_(torch.as_tensor(value))

    def _numpy(self, name: str) -> Floats:
        found: Floats = self.get_buffer(name).cpu().double().numpy()
        return found


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

    It says how much the codes count beside the tokens, and at what temperature the answers are best: a reader knows its
    own training texts too well for them to say it. `follow` passes on what is read, and may say how far it is; in
    `folder` lie the texts' counts until it returns.
    """
    labels = len(training.label_names)
    tried = []
    with repeatable(device, settings.deterministic):
        codebook = learn_codebook(
            sample_states(reader, training, settings.window, settings.seed, device, follow),
            settings.codes,
            torch.Generator().manual_seed(settings.seed),
        )
        how = (settings.window, device, follow, folder)
        with count_part(reader, codebook, training, *how) as seen:
            choices = [(1.0, share) for share in CODES_SHARES]
            power = settings.class_weight_power
            heads = learn_heads(seen, choices, training.labels, labels, settings.head_strength, power)
        with count_part(reader, codebook, validation, *how) as held_out:
            for share, head in zip(CODES_SHARES, heads, strict=True):
                logits = head.logits(held_out)
                temperature = best_temperature(logits, validation.labels)
                judged = score(log_softmax(logits / temperature), validation.labels, window_accuracy=None)
                tried.append((judged.loss, share, head.at(temperature), judged))
    _, share, head, judged = min(tried, key=lambda one: one[:2])
    architecture = DocumentArchitecture(reader.architecture, labels, len(codebook.centres), settings.window, share)
    classifier = DocumentClassifier(architecture).to(device)
    classifier.fill(reader, codebook, head)
    return classifier.eval(), judged


def sample_states(
    reader: Reader, documents: TokenizedDocuments, window: int, seed: int, device: torch.device, follow: Follow
) -> Tensor:
    """Up to SAMPLE vectors of tokens in their places, [n, features], as many from each text as from the others."""
    rng = np.random.default_rng(seed)
    each = -(-SAMPLE // len(documents))
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
