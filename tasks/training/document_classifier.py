"""The document classifier: a reader, a codebook of its states, and a linear head on what a text was read as.

The reader turns each token into a state that knows its surroundings. A text of any length becomes two blocks of
counts: how often each token stands in it, and how often each code of a state. The head classifies the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.training.codebook import Codebook, learn_codebook
from tasks.training.device import repeatable
from tasks.training.document_head import DocumentHead, Scaling, best_temperature, learn_head, log_softmax
from tasks.training.metrics import Validation, score
from tasks.training.reader import Reader, ReaderArchitecture
from tasks.training.windows import Indices, Windows, batches, gather, tiles

if TYPE_CHECKING:
    from tasks.tokenization.store import Run, TokenizedDocuments
    from tasks.training.settings import TrainingSettings

    Follow = Callable[[Iterator[Run]], Iterator[Run]]

TOKENS_AT_ONCE = 32_768
"""Tokens that are read at once: bounds the memory whatever the window."""
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
        blocks = count_all(self.reader, codebook, ids, offsets, self.architecture.window, device)
        ends = np.cumsum([0, *(block.shape[1] for block in blocks)])
        parts = [self._numpy(f"head_{name}") for name in ("mean", "inverse_deviation", "weight")]
        scalings = [Scaling(*(part[begin:end] for part in parts)) for begin, end in pairwise(ends)]
        head = DocumentHead(scalings, self._numpy("head_weights"), self._numpy("head_bias"))
        return log_softmax(head.logits(blocks))

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
) -> tuple[DocumentClassifier, Validation]:
    """Learns codebook and head from the training part, and has the validation part choose between heads.

    It says how much the codes count beside the tokens, and at what temperature the answers are best: a reader knows its
    own training texts too well for them to say it. `follow` passes on what is read, and may say how far it is.
    """
    with repeatable(device, settings.deterministic):
        codebook = learn_codebook(
            sample_states(reader, training, settings.window, settings.seed, device, follow),
            settings.codes,
            torch.Generator().manual_seed(settings.seed),
        )
        seen, held_out = (
            _count_part(reader, codebook, part, settings.window, device, follow) for part in (training, validation)
        )
    labels = len(training.label_names)
    tried = []
    for share in CODES_SHARES:
        head = learn_head(
            seen, (1, share), training.labels, labels, settings.head_strength, settings.class_weight_power
        )
        logits = head.logits(held_out)
        head = head.at(best_temperature(logits, validation.labels))
        judged = score(log_softmax(head.logits(held_out)), validation.labels, window_accuracy=None)
        tried.append((judged.loss, share, head, judged))
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


def _count_part(
    reader: Reader,
    codebook: Codebook,
    part: TokenizedDocuments,
    window: int,
    device: torch.device,
    follow: Follow,
) -> list[Floats]:
    runs = [count_all(reader, codebook, run.ids, run.offsets, window, device) for run in follow(part.runs())]
    return [np.concatenate(block) for block in zip(*runs, strict=True)]


def count_all(
    reader: Reader, codebook: Codebook, ids: NDArray[Any], offsets: Indices, window: int, device: torch.device
) -> list[Floats]:
    """How often each token and each code occurs in each text: [texts, vocabulary] and [texts, codes]."""
    sizes = (reader.architecture.vocabulary_size, len(codebook.centres))
    counts = [np.zeros((len(offsets) - 1, size)) for size in sizes]
    for places, vectors in read(reader, ids, tiles(offsets, window), device):
        documents = np.searchsorted(offsets, places, side="right") - 1
        for count, found in zip(counts, (ids[places], codebook.codes(vectors).cpu().numpy()), strict=True):
            np.add.at(count, (documents, found), 1)
    return counts


def read(reader: Reader, ids: NDArray[Any], windows: Windows, device: torch.device) -> Iterator[tuple[Indices, Tensor]]:
    """Positions in the flat ids [n], and beside each its states and embedding [n, features] as float32, by batches."""
    at_once = max(1, TOKENS_AT_ONCE // max(1, int(windows.lengths.max(initial=1))))
    was_training = reader.training
    reader.eval()
    with torch.inference_mode():
        for batch in batches(windows, at_once):
            tokens, lengths = gather(ids, windows, batch, device)
            embedded, states = reader.read(tokens, lengths)
            vectors = torch.cat([states, embedded], dim=-1).transpose(0, 1)
            time = np.arange(len(tokens))
            inside = time < windows.lengths[batch][:, None]
            places = (windows.starts[batch][:, None] + time)[inside]
            yield places, vectors[torch.from_numpy(inside).to(device)].float()
    reader.train(was_training)
