"""Predictions as Parquet parts, each written whole or not at all: an interrupted run resumes after the last part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from tasks.evaluation.schema import probability_column
from tasks.shared.batched import batched
from tasks.shared.errors import RunError
from tasks.shared.files import replacing, write_text
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Artifact, Store, now
from tasks.shared.store.fingerprint import digest_of

if TYPE_CHECKING:
    from tasks.extraction.document import Document
    from tasks.prediction.text_classifier import TextClassifier

FOLDER, MANIFEST = "predictions", "_predictions.json"
"""Readers of Parquet datasets skip names that start with an underscore."""
log = logger("predict")


@dataclass(frozen=True)
class PredictionJob:
    """Texts and the model that labels them; both name the folder, so a repeated job finds its finished parts."""

    store: Store
    model: Artifact
    source_digest: str
    part_rows: int

    @property
    def folder(self) -> Path:
        """Folder of the parts."""
        key = digest_of([self.model.digest, self.source_digest, self.part_rows])
        return self.store.root / FOLDER / key[:20]


def predictions_schema(label_names: Sequence[str]) -> pa.Schema:
    """One row per text; `predicted` and the probabilities are null for a text that is empty once cleaned."""
    return pa.schema(
        [
            pa.field("doc_id", pa.string(), nullable=False),
            pa.field("predicted", pa.string()),
            *(pa.field(probability_column(label), pa.float64()) for label in label_names),
            pa.field("model", pa.string(), nullable=False),
        ]
    )


def predict_parts(job: PredictionJob, texts: Iterable[Document], source: Path) -> dict[str, Any]:
    """Writes the missing parts; returns the content of `_predictions.json`.

    Raises RunError while another run works on the same job.
    """
    from tasks.prediction.text_classifier import TextClassifier  # torch

    job.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(job.folder / ".lock", timeout=0)
    try:
        with lock:
            classifier = TextClassifier(job.store.locate(job.model))
            return _predict(job, classifier, texts, source)
    except Timeout:
        raise RunError(f"{job.folder}: another run labels the same texts; wait for it") from None


def _predict(job: PredictionJob, classifier: TextClassifier, texts: Iterable[Document], source: Path) -> dict[str, Any]:
    rows = empty = reused = parts = 0
    for parts, part in enumerate(_at_least_one(batched(texts, job.part_rows)), 1):
        path = job.folder / f"part-{parts - 1:05d}.parquet"
        if path.exists():
            reused += 1
        else:
            with replacing(path) as unfinished:
                pq.write_table(_predicted(job, classifier, part), unfinished, compression="zstd")
            if part:
                log.info("predict: part %d finished, %s texts so far", parts, f"{rows + len(part):,}")
        rows += len(part)
        empty += pq.read_table(path, columns=["predicted"])["predicted"].null_count
    if empty:
        log.warning("predict: %d texts are empty once cleaned and get no label", empty)
    summary = {
        "path": str(job.folder),
        "model": job.model.fingerprint,
        "source": str(source),
        "rows": rows,
        "without_text": empty,
        "parts": parts,
        "reused_parts": reused,
        "finished": now(),
    }
    write_text(job.folder / MANIFEST, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    if rows:
        log.info("predict: %s texts in %d parts, %d of them reused: %s", f"{rows:,}", parts, reused, job.folder)
    else:
        log.warning("predict: %s has no rows, so its predictions have none: %s", source, job.folder)
    return summary


def _at_least_one(parts: Iterator[list[Document]]) -> Iterator[list[Document]]:
    """The parts; an empty one if there are none, so that a table without rows has predictions that can be read."""
    yield next(parts, [])
    yield from parts


def _predicted(job: PredictionJob, classifier: TextClassifier, part: Sequence[Document]) -> pa.Table:
    names = classifier.label_names
    probabilities = classifier.probabilities([document.text for document in part])
    predicted = [None if np.isnan(row).any() else names[int(row.argmax())] for row in probabilities]
    columns = [
        pa.array([document.doc_id for document in part], pa.string()),
        pa.array(predicted, pa.string()),
        *(pa.array(probabilities[:, i], pa.float64(), from_pandas=True) for i in range(len(names))),  # NaN as null
        pa.array([job.model.fingerprint] * len(part), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=predictions_schema(names))
