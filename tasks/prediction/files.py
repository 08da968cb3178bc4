"""Predicts the labels of text files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tasks.extraction.text_files import decode
from tasks.prediction.explained import explanation_as_json
from tasks.shared.errors import InputError


class FileAnswers(NamedTuple):
    """What became of some files: every file is in one of the two lists, in the order given."""

    predictions: list[dict[str, Any]]
    """source, label, the probability of each label, and the explanation if one was asked for."""
    refused: list[dict[str, str]]
    """source, and the message that says why."""


def predict_files(
    model: Path, files: Sequence[Path], encoding: str = "utf-8", explained: int | None = None
) -> FileAnswers:
    """Label and probabilities of each file (`-` is standard input), by a verified model folder.

    With `explained`, also why: that many words and pairs of each text.

    A file that cannot be read, is not text in `encoding`, has NUL or nothing visible is refused; the others are
    answered. Raises ArtifactError for a model of another version.
    """
    texts: dict[int, str] = {}
    problems: dict[int, str] = {}
    for number, file in enumerate(files):
        try:
            texts[number] = _read(file, encoding)
        except InputError as error:
            problems[number] = str(error)
    answers = _predict(model, texts, explained) if texts else {}
    problems |= {number: f"{files[number]}: no text in the file" for number in texts if number not in answers}
    return FileAnswers(
        [{"source": str(files[number]), **answers[number]} for number in sorted(answers)],
        [{"source": str(files[number]), "reason": problems[number]} for number in sorted(problems)],
    )


def _predict(model: Path, texts: dict[int, str], explained: int | None) -> dict[int, dict[str, Any]]:
    """The answers by the texts' numbers, without those that are empty once cleaned."""
    from tasks.prediction.text_classifier import TextClassifier  # torch

    classifier = TextClassifier(model)
    names = classifier.label_names
    answers: dict[int, dict[str, Any]] = {
        number: {
            "label": names[int(row.argmax())],
            "probabilities": dict(zip(names, map(float, row), strict=True)),
        }
        for number, row in zip(texts, classifier.probabilities(list(texts.values())), strict=True)
        if not np.isnan(row).any()
    }
    if explained is not None:
        for number, explanation in zip(texts, classifier.explain(list(texts.values())), strict=True):
            if explanation is not None:
                answers[number]["explanation"] = explanation_as_json(explanation, explained)
    return answers


def _read(file: Path, encoding: str) -> str:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except IsADirectoryError:
        raise InputError(f"{file}: a folder; `corpusflow predict-batch` labels all its files") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    return decode(data, file, encoding, "give --encoding")
