"""Labels files with a trained model: cleaned, tokenized and classified as in the run that made it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.shared.artifacts import read_manifest
from tasks.shared.errors import InputError


def predict_files(model: Path, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Label and probabilities of each file (`-` is standard input), in the order given.

    Raises InputError for a file that cannot be read as UTF-8 text or holds none, ArtifactError for a damaged model.
    """
    from tasks.cleaning.normalize import normalize
    from tasks.cleaning.settings import CleaningSettings
    from tasks.tokenization.encode import Encoder
    from tasks.training.predict import load_classifier

    cleaning = CleaningSettings.model_validate(read_manifest(model).lineage["cleaning"]["settings"])
    texts = [normalize(_read(file), **cleaning.normalization()) for file in files]
    for file, text in zip(files, texts, strict=True):
        if not text:
            raise InputError(f"{file}: no text in it")
    classifier = load_classifier(model)
    encoded = Encoder.from_file(model / "tokenizer.json").encode(texts)
    probabilities = np.exp(classifier.log_probabilities(encoded))
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
