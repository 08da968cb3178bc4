"""Predicts the labels of text files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.shared.errors import InputError


def predict_files(model: Path, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Label and probabilities of each file (`-` is standard input), in the order given, by a verified model folder.

    Raises InputError for a file that is not UTF-8 text or has no text, ArtifactError for a model of another version.
    """
    from tasks.prediction.text_classifier import TextClassifier

    texts = [_read(file) for file in files]
    classifier = TextClassifier(model)
    probabilities = classifier.probabilities(texts)
    for file, row in zip(files, probabilities, strict=True):
        if np.isnan(row).any():
            raise InputError(f"{file}: no text in the file")
    return [
        {
            "source": str(file),
            "label": classifier.label_names[int(row.argmax())],
            "probabilities": dict(zip(classifier.label_names, map(float, row), strict=True)),
        }
        for file, row in zip(files, probabilities, strict=True)
    ]


def _read(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; convert it first") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
