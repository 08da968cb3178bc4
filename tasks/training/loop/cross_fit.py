"""Cross-fitting: a network per fold, each trained on the other folds.

So every labelled text gets an out-of-fold prediction, and a new text gets the mean prediction of all networks, which
together have learned from every text. They share the vocabulary and the known pairs, which depend on no label.

Each network is a call of its own, in a worker or here. It reads the texts from files, and writes its checkpoints where
the run looks for them after an interruption. The networks are the same for any number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls
from tasks.shared.statistics.log_probabilities import Scores
from tasks.shared.statistics.metrics import Ints
from tasks.training.input.counting import Floats32
from tasks.training.input.evidence import NO_EVIDENCE, Pairs, Tables, learn_evidence, learn_pairs
from tasks.training.input.vocabulary import Ids, Vocabulary
from tasks.training.input.windows import windows_per_text
from tasks.training.loop.checkpoint import Checkpoints
from tasks.training.loop.fold_training import train_fold
from tasks.training.loop.inputs import Sizes, read_inputs, write_inputs
from tasks.training.loop.recipe import Recipe
from tasks.training.loop.reports import log_and_report
from tasks.training.models.member import RnnMember
from tasks.training.models.network import Architecture, Dropout, Network


@dataclass(frozen=True)
class EvidenceOptions:
    """The settings of the same names, see settings.py."""

    pseudo_count: float = 0.5
    max_pairs: int = 300_000
    dimensions: int = 64


@dataclass(frozen=True)
class Workplace:
    """Where networks are trained."""

    device: torch.device
    executor: Executor = IN_PROCESS
    scratch: Path | None = None
    """The folder of inputs and checkpoints; None: a temporary one, without checkpoints."""
    identity: Mapping[str, Any] | None = None
    """What a checkpoint must have in common with the training that resumes it."""


@dataclass(frozen=True)
class CrossFitted:
    """The member, the out-of-fold log-probabilities [texts, labels], and how the networks were trained."""

    member: RnnMember
    scores: Scores
    history: list[dict[str, Any]]
    gradients: list[dict[str, Any]]


@dataclass(frozen=True)
class Trained:
    """A trained network as it comes from a worker; the fields are those of TrainedFold."""

    architecture: Architecture
    state: Mapping[str, NDArray[Any]]
    positions: Ints
    scores: Scores
    history: list[dict[str, Any]]
    gradients: list[dict[str, Any]]


def cross_fit(
    recipe: Recipe,
    windows: int,
    options: EvidenceOptions | None,
    vocabulary: Vocabulary,
    ids: list[Ids],
    labels: Ints,
    label_count: int,
    folds: Ints,
    place: Workplace,
) -> CrossFitted:
    """Trains all networks on texts, given as token ids; without `options` they read no evidence.

    About `windows` windows are cut altogether.
    """
    pairs, tables = _learn_evidence(options, vocabulary, ids, labels, label_count, folds)
    per_text, axes = windows_per_text(len(ids), windows), tables.axes
    pseudo_count = None if options is None else options.pseudo_count
    sizes = Sizes(label_count, vocabulary.size, recipe.window, per_text, pseudo_count)
    with TemporaryDirectory(prefix="corpusflow-") as temporary:
        scratch = place.scratch or Path(temporary)
        version = write_inputs(scratch / "inputs", sizes, ids, labels, folds, pairs, axes)
        trained = _train_all(recipe, scratch, version, np.unique(folds).tolist(), place)
    scores = np.full((len(ids), label_count), np.nan, np.float32)
    for each in trained:
        scores[each.positions] = each.scores
    networks = [_network(each, axes, place.device) for each in trained]
    member = RnnMember(vocabulary, pairs, tables, networks, recipe.window, per_text, place.device)
    history = [row for each in trained for row in each.history]
    return CrossFitted(member, scores, history, [row for each in trained for row in each.gradients])


def _train_all(recipe: Recipe, scratch: Path, version: str, folds: list[int], place: Workplace) -> list[Trained]:
    """The networks in the order of the folds."""
    identity = place.identity if place.scratch else None
    fixed = (len(folds), recipe, str(scratch), version, place.device.type, identity)
    calls = [Call(f"network {fold + 1} of {len(folds)}", train_network, (fold, *fixed)) for fold in folds]
    found = {call.title: each for call, each in run_calls(place.executor, calls, scratch / "messages", len(calls))}
    read_inputs.cache_clear()
    return [found[call.title] for call in calls]


def train_network(
    fold: int,
    folds: int,
    recipe: Recipe,
    scratch: str,
    version: str,
    device: str,
    identity: Mapping[str, Any] | None,
) -> Trained:
    """Trains the network of one fold on the inputs in `scratch`; without an `identity` there are no checkpoints."""
    texts, evidence = read_inputs(Path(scratch, "inputs"), version)
    tables = NO_EVIDENCE if evidence is None else evidence.for_network(fold)
    checkpoints = None if identity is None else Checkpoints(Path(scratch, f"fold-{fold}"), {**identity, "fold": fold})
    trained = train_fold(
        recipe, texts, tables, fold, torch.device(device), checkpoints, log_and_report(folds, recipe.epochs)
    )
    state = {name: value.cpu().numpy() for name, value in trained.network.state_dict().items()}
    architecture = trained.network.architecture
    return Trained(architecture, state, trained.positions, trained.scores, trained.history, trained.gradients)


def _network(trained: Trained, axes: Floats32 | None, device: torch.device) -> Network:
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn
        network = Network(trained.architecture, Dropout(), None if axes is None else torch.from_numpy(axes))
    network.load_state_dict({name: torch.from_numpy(value) for name, value in trained.state.items()})
    return network.to(device).eval()


def _learn_evidence(
    options: EvidenceOptions | None,
    vocabulary: Vocabulary,
    ids: list[Ids],
    labels: Ints,
    label_count: int,
    folds: Ints,
) -> tuple[Pairs | None, Tables]:
    """The known pairs, and the tables for new texts, with the axes of all tables; the counts are not kept."""
    if options is None:
        return None, NO_EVIDENCE
    pairs = learn_pairs(ids, vocabulary.size, options.max_pairs)
    evidence = learn_evidence(ids, pairs, labels, label_count, folds, options.pseudo_count, options.dimensions)
    return pairs, evidence.for_new_texts()
