"""Cross-fitting of the linear members: each fit is a call of its own, in a worker or here.

A member's texts are counted first. Then each choice is fitted and judged on the first folds that together hold
`ENOUGH_TEXTS`; then the best one on the remaining folds, and on all texts. The members do not wait for each other, and
are the same for any number of workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.linear.features import read_labels, read_positions, read_terms, read_values, write_features, write_labels
from tasks.linear.fit import Options, choices, fit_weights, make_features
from tasks.linear.member import Choice, LinearMember
from tasks.linear.schema import Kind
from tasks.shared.runner.calls import IN_PROCESS, Call, run_calls
from tasks.shared.statistics.log_probabilities import Scores, best_scale, log_loss, log_softmax
from tasks.shared.statistics.metrics import Ints

Floats32 = NDArray[np.float32]
ReadTexts = Callable[[Ints], Iterable[str]]
"""The texts at these positions, which are in order."""
ENOUGH_TEXTS = 2_000
"""Once the first folds together hold this many texts, no further fold is used to select a choice."""


def cross_fit(
    members: Mapping[Kind, Options],
    read_texts: ReadTexts,
    labels: Ints,
    label_count: int,
    folds: Ints,
    scratch: Path,
    executor: Executor = IN_PROCESS,
    chosen: Mapping[Kind, Ints] | None = None,
) -> Iterator[tuple[Kind, LinearMember, Scores]]:
    """Each member as it is finished: it has learned from all texts, or those at the positions that `chosen` has for it.

    With it come its name and the out-of-fold log-probabilities [texts, labels] of these texts. Workers get them by
    calling `read_texts`; `labels` and `folds` are those of all texts. The choice with the lowest
    log-loss, each at its own best scale, is taken. Files for the workers lie in `scratch`.
    """
    fittings = {}
    for name, some in members.items():
        positions = np.arange(len(labels)) if chosen is None else chosen[name]
        write_labels(scratch / name, labels[positions], folds[positions], positions)
        fittings[name] = _Fitting(name, some, labels[positions], label_count, folds[positions], scratch)
    calls = deque(
        Call(f"{name}, counting", count_texts, (name, members[name], read_texts, label_count, str(scratch)))
        for name in reversed(list(members))  # counts, the quickest, first; the order changes no result
    )
    total = len(calls) + sum(fitting.fits for fitting in fittings.values())
    for call, result in run_calls(executor, calls, scratch / "messages", total):
        name, choice, fold, *_ = call.arguments
        fitting = fittings[name]
        calls.extend(fitting.begin() if call.function is count_texts else fitting.go_on(choice, fold, result))
        if fitting.is_done:
            yield fitting.name, *fitting.finish()


def count_texts(name: str, options: Options, read_texts: ReadTexts, label_count: int, scratch: str) -> None:
    """Writes the features of all texts."""
    folder = Path(scratch, name)
    write_features(folder, make_features(options, read_texts(read_positions(folder)), label_count))


def fit_choice(
    name: str, choice: Choice, fold: int | None, kind: Kind, label_count: int, scratch: str
) -> tuple[Floats32, ...]:
    """Margins [texts, labels] of the fold's texts, learned from the others; without a fold, weights and bias of all."""
    labels, folds = read_labels(Path(scratch, name))
    others, mine = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)  # without a fold: all, and none
    learned, own = _read_rows(Path(scratch, name), others, mine)
    weights, bias = fit_weights(kind, learned, labels[others], label_count, choice)
    return (weights, bias) if fold is None else (np.asarray(own @ weights + bias, np.float32),)


def _read_rows(folder: Path, others: Ints, mine: Ints) -> tuple[csr_array, csr_array]:
    """The features of the texts to learn from, the terms of each in order, and of the others; the files are closed."""
    values = read_values(folder)
    learned, own = values[others], values[mine]
    learned.sort_indices()  # scikit-learn would, for every label
    return learned, own


class _Fitting:
    """One member: which fits are needed, and what they have given so far."""

    def __init__(
        self, name: Kind, options: Options, labels: Ints, label_count: int, folds: Ints, scratch: Path
    ) -> None:
        self.name, self._options, self._labels, self._folds, self._scratch = name, options, labels, folds, scratch
        numbers: list[int] = np.unique(folds).tolist()
        enough = 1 + int(np.searchsorted(np.cumsum(np.bincount(folds)[numbers]), ENOUGH_TEXTS))
        self._first, self._others = numbers[:enough], numbers[enough:]
        shape = (len(labels), label_count)
        self._margins = {choice: np.full(shape, np.nan, np.float32) for choice in choices(options, labels)}
        self._missing = len(self._margins) * len(self._first)
        self.fits = self._missing + len(self._others) + 1
        self._best: Choice | None = None
        self._fitted: tuple[Floats32, ...] = ()

    def begin(self) -> list[Call]:
        """The fits that choose."""
        return [self._call(choice, fold) for choice in self._margins for fold in self._first]

    def go_on(self, choice: Choice, fold: int | None, result: tuple[Floats32, ...]) -> list[Call]:
        """Takes the result of a fit; the fits that it makes possible."""
        if fold is None:
            self._fitted = result
        else:
            self._margins[choice][self._folds == fold] = result[0]
        self._missing -= 1
        if self._missing or self._best is not None:
            return []
        self._best = min(self._margins, key=self._loss)
        self._margins = {self._best: self._margins[self._best]}
        self._missing = len(self._others) + 1
        return [self._call(self._best, fold) for fold in (None, *self._others)]

    @property
    def is_done(self) -> bool:
        """Whether all fits are there."""
        return self._best is not None and not self._missing

    def finish(self) -> tuple[LinearMember, Scores]:
        """The member, and its out-of-fold log-probabilities."""
        assert self._best is not None
        margins = self._margins[self._best]
        scale = best_scale(margins, self._labels)
        terms, idf = read_terms(self._scratch / self.name)
        weights, bias = self._fitted
        member = LinearMember(self._options.kind, terms, idf, weights, bias, scale, self._best)
        return member, log_softmax(margins * scale)

    def _call(self, choice: Choice, fold: int | None) -> Call:
        label_count = next(iter(self._margins.values())).shape[1]
        what = "all texts" if fold is None else f"fold {fold + 1}"
        title = f"{self.name}, {what}, C {choice.C:g}{', balanced' if choice.balanced else ''}"
        title += f", SVM {choice.svm_share:g}" if choice.svm_share < 1 else ""
        return Call(title, fit_choice, (self.name, choice, fold, self._options.kind, label_count, str(self._scratch)))

    def _loss(self, choice: Choice) -> float:
        judged = np.isin(self._folds, self._first)
        margins, labels = self._margins[choice][judged], self._labels[judged]
        return log_loss(margins * best_scale(margins, labels), labels)
